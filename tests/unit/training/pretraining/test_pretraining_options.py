"""What may be asked of pretraining."""

from __future__ import annotations

import pytest

from icudl.errors import ConfigError
from icudl.training.pretraining.options import PretrainOptions

NOTHING = {"value_share": 0.0, "run_share": 0.0, "variable_share": 0.0}


def test_pretraining_is_off_unless_it_is_given_epochs() -> None:
    assert not PretrainOptions().active
    assert not PretrainOptions(**NOTHING).active
    assert PretrainOptions(epochs=1).active


@pytest.mark.parametrize("share", NOTHING)
def test_pretraining_that_hides_nothing_is_refused(share: str) -> None:
    with pytest.raises(ConfigError, match="nothing is hidden"):
        PretrainOptions(epochs=3, **NOTHING)
    assert PretrainOptions(epochs=3, **NOTHING | {share: 0.1}).active
