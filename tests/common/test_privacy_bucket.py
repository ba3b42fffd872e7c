import pytest

from fedvox.common.privacy.bucket import bucketed


@pytest.mark.parametrize(
    ("patients", "seen"),
    [
        (0, 0),
        (1, 1),
        (4, 1),
        (5, 5),
        (9, 5),
        (10, 10),
        (19, 15),
        (99, 95),
        (149, 100),
        (1999, 1500),
    ],
)
def test_counts_are_rounded_down(patients: int, seen: int) -> None:
    assert bucketed(patients) == seen
