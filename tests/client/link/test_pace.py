from __future__ import annotations

import random

from fedvox.client.link.pace import Pace


def test_waits_double_up_to_the_longest_and_are_jittered() -> None:
    pace = Pace(1.0, 8.0, random.Random(1))
    waits = [pace.next_s() for _ in range(6)]
    for wait, full in zip(waits, [1, 2, 4, 8, 8, 8], strict=True):
        assert full / 2 <= wait <= full
    assert (
        len({round(wait / full, 6) for wait, full in zip(waits, [1, 2, 4, 8, 8, 8], strict=True)})
        > 3
    )
    pace.reset()
    assert pace.next_s() <= 1.0
