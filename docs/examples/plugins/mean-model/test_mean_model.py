import pytest
from mean_model import MeanClassifier

from icudl.testing import MODEL_CHECKS


@pytest.mark.parametrize("check", MODEL_CHECKS, ids=lambda check: check.__name__)
def test_contract(check):
    check(MeanClassifier)
