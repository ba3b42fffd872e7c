"""What is held in memory is what was put, the newest of it, and never more than the limit."""

from pathlib import Path

import numpy as np
import pytest

from fedvox.client.recent import Groups, Recent
from fedvox.client.state import SiteState


def groups(value: float, size: int = 10) -> Groups:
    return {"moments": {"w": np.full(size, value, np.float32)}}


def test_what_was_used_longest_ago_goes_first() -> None:
    recent = Recent(limit_bytes=80)
    first, second, third = Path("1"), Path("2"), Path("3")
    recent.put(first, groups(1))
    recent.put(second, groups(2))
    assert recent.get(first) is not None
    recent.put(third, groups(3))
    assert recent.get(second) is None
    held = recent.get(first), recent.get(third)
    assert [one["moments"]["w"][0] for one in held if one] == [1, 3]


def test_a_state_put_again_counts_once_and_one_too_large_is_not_held() -> None:
    recent = Recent(limit_bytes=80)
    for value in range(5):
        recent.put(Path("a"), groups(value))
    recent.put(Path("b"), groups(9))
    held = recent.get(Path("a"))
    assert held and held["moments"]["w"][0] == 4
    recent.put(Path("large"), groups(0, 21))
    assert recent.get(Path("large")) is None


@pytest.mark.parametrize("limit_bytes", [0, 1000])
def test_a_site_remembers_the_same_with_and_without_it(tmp_path: Path, limit_bytes: int) -> None:
    state = SiteState(tmp_path, "study", recent=Recent(limit_bytes))
    for number in (1, 2, 3):
        state.keep(number, groups(number))
    assert not state.before(1), "only the two newest are on the disk"
    for number in (2, 3):
        np.testing.assert_array_equal(state.before(number + 1)["moments"]["w"], np.full(10, number))
    np.testing.assert_array_equal(state.before(3)["moments"]["w"], np.full(10, 2))


def test_what_is_not_on_the_disk_any_more_is_not_remembered(tmp_path: Path) -> None:
    state = SiteState(tmp_path, "study", recent=Recent(1000))
    state.keep(1, groups(1))
    for file in tmp_path.iterdir():
        file.unlink()
    assert state.before(2) == {}
