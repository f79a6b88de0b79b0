import pytest
from line_attack import LineAttack, LineOptions

from icudl.testing import ATTACK_CHECKS, LinearOracle, check_flips_every_stay, excess_over_optimum


def line():
    return LineAttack(LineOptions())


@pytest.mark.parametrize("check", [*ATTACK_CHECKS, check_flips_every_stay], ids=lambda check: check.__name__)
def test_contract(check):
    check(line)


def test_on_a_linear_model_no_smaller_largest_change_flips():
    ratios = excess_over_optimum(line, "linf", LinearOracle.draw(8, 6, 4, seed=1))
    assert ratios.min() >= 1 - 1e-9
    assert ratios.max() <= 1.001
