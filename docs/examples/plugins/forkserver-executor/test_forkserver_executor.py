import pytest
from forkserver_executor import ForkserverExecutor

from icudl.testing import EXECUTOR_CHECKS, check_survives_a_killed_worker


@pytest.mark.parametrize("check", EXECUTOR_CHECKS, ids=lambda check: check.__name__)
def test_contract(check):
    check(lambda: ForkserverExecutor(2))


def test_survives_a_killed_worker(tmp_path):
    check_survives_a_killed_worker(lambda: ForkserverExecutor(2), tmp_path)
