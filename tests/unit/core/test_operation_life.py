from __future__ import annotations

import pytest

from tests.support.operation_life import OperationLife

LIVES = 400
BATCH = 50
OCCASIONS = 30


@pytest.mark.feature("retry.limit")
@pytest.mark.feature("status.consistent")
@pytest.mark.parametrize("first", range(0, LIVES, BATCH))
def test_every_life_keeps_the_rules_and_ends(first: int) -> None:
    """Whatever happens, in whatever order: see the checks of `OperationLife`.

    A run ends or waits with a time to look again, ends once, makes no more attempts than its limit allows, and a
    killed process loses nothing that was written.
    """
    for seed in range(first, first + BATCH):
        OperationLife(seed).live(OCCASIONS)
