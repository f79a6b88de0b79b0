"""For authors of plug-ins: the contract of each seam as checks, and a model whose smallest change is a formula.

A check is a function that raises AssertionError where a promise is broken. In a test of yours::

    import pytest
    from icudl.testing import ATTACK_CHECKS

    @pytest.mark.parametrize("check", ATTACK_CHECKS, ids=lambda check: check.__name__)
    def test_contract(check):
        check(lambda: MyAttack(MyAttack.Options()))

``ATTACK_CHECKS`` take a function that makes the attack, ``MODEL_CHECKS`` the class of a network,
``CHARTED_MODEL_CHECKS`` that of a model of charted values, ``EXECUTOR_CHECKS`` a function that makes an executor,
``SOURCE_CHECKS`` a source and an empty folder to work in.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from icudl.lazy import imported_on_use

if TYPE_CHECKING:
    from icudl.testing.attack import ATTACK_CHECKS, AttackFactory, check_flips_every_stay, excess_over_optimum
    from icudl.testing.charted_model import CHARTED_MODEL_CHECKS, ChartedModelCheck
    from icudl.testing.executor import EXECUTOR_CHECKS, ExecutorFactory, check_survives_a_killed_worker
    from icudl.testing.model import MODEL_CHECKS, ModelCheck
    from icudl.testing.oracle import LinearOracle
    from icudl.testing.source import SOURCE_CHECKS, check_counts_unknown_names

# Workers import the module of an executor's checks with this package: they need nothing of torch.
_HOMES = {
    "ATTACK_CHECKS": "icudl.testing.attack",
    "AttackFactory": "icudl.testing.attack",
    "check_flips_every_stay": "icudl.testing.attack",
    "excess_over_optimum": "icudl.testing.attack",
    "CHARTED_MODEL_CHECKS": "icudl.testing.charted_model",
    "ChartedModelCheck": "icudl.testing.charted_model",
    "EXECUTOR_CHECKS": "icudl.testing.executor",
    "ExecutorFactory": "icudl.testing.executor",
    "check_survives_a_killed_worker": "icudl.testing.executor",
    "MODEL_CHECKS": "icudl.testing.model",
    "ModelCheck": "icudl.testing.model",
    "LinearOracle": "icudl.testing.oracle",
    "SOURCE_CHECKS": "icudl.testing.source",
    "check_counts_unknown_names": "icudl.testing.source",
}

__getattr__ = imported_on_use(__name__, _HOMES)

__all__ = [
    "ATTACK_CHECKS",
    "CHARTED_MODEL_CHECKS",
    "EXECUTOR_CHECKS",
    "MODEL_CHECKS",
    "SOURCE_CHECKS",
    "AttackFactory",
    "ChartedModelCheck",
    "ExecutorFactory",
    "LinearOracle",
    "ModelCheck",
    "check_counts_unknown_names",
    "check_flips_every_stay",
    "check_survives_a_killed_worker",
    "excess_over_optimum",
]
