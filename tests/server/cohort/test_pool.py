"""Merging by hand, and that no one site decides."""

from pathlib import Path

import pytest
from cohorts import histogram, site
from hypothesis import given, settings
from hypothesis import strategies as st

from fedvox.common.cohort.axes import SPACING_MM
from fedvox.common.errors import InputError
from fedvox.server.cohort.pool import (
    capped_weights,
    pool_of,
    quantile,
    read_pool,
    weighted_median,
)


def test_weights_by_hand() -> None:
    assert capped_weights([10, 30]) == (0.5, 0.5)
    assert capped_weights([10, 10, 980]) == pytest.approx((1 / 3, 1 / 3, 1 / 3))
    # The cap c has c = (c + 10 + 20 + 30) / 3: c = 30.
    assert capped_weights([10, 20, 30, 500]) == pytest.approx((1 / 9, 2 / 9, 3 / 9, 3 / 9))
    assert capped_weights([10, 10, 10, 10]) == pytest.approx((0.25,) * 4)
    assert capped_weights([0, 10, 10]) == (0.0, 0.5, 0.5)
    assert capped_weights([0, 0]) == (0.0, 0.0)


@given(st.lists(st.integers(0, 10**6), min_size=1, max_size=9))
def test_weights_add_up_and_none_is_above_the_cap(counts: list[int]) -> None:
    weights = capped_weights(counts)
    here = sum(count > 0 for count in counts)
    assert sum(weights) == pytest.approx(1.0 if here else 0.0)
    if here:
        assert max(weights) <= max(1 / 3, 1 / here) + 1e-9
    assert all((weight > 0) == (count > 0) for weight, count in zip(weights, counts, strict=True))
    ordered = sorted(zip(counts, weights, strict=True))
    assert [weight for _, weight in ordered] == pytest.approx(sorted(weights))


def test_medians_by_hand() -> None:
    assert weighted_median([3.0, 1.0, 2.0], [0.3, 0.3, 0.4]) == 2.0
    assert weighted_median([1.0, 2.0], [0.5, 0.5]) == 1.5
    assert weighted_median([1.0, 9.0], [0.4, 0.6]) == 9.0
    assert weighted_median([1.0, 5.0], [0.0, 1.0]) == 5.0
    counts = histogram("spacing_mm_0", {1.0: 3, 3.0: 5, 8.0: 2})
    assert quantile(counts, SPACING_MM, 0.5) == 3.0
    assert [quantile(counts, SPACING_MM, share) for share in (0.1, 0.3, 0.31, 0.9)] == [1, 1, 3, 8]


SITE = st.tuples(st.integers(5, 10**5), st.sampled_from(SPACING_MM))


@given(st.lists(SITE, min_size=2, max_size=6), SITE)
@settings(deadline=None)
def test_whatever_one_site_says_the_middle_lies_among_the_others(
    others: list[tuple[int, float]], liar: tuple[int, float]
) -> None:
    told = [site(f"s{n}", count, (mm, 1.0, 1.0)) for n, (count, mm) in enumerate(others)]
    pool = pool_of([*told, site("liar", liar[0], (liar[1], 1.0, 1.0))])
    found = [mm for _, mm in others]
    for value in (pool.middle("spacing_mm_0"), pool.lower("spacing_mm_0", 0.1)):
        assert value is not None and min(found) <= value <= max(found)


def test_who_told_nothing_of_a_number_does_not_count() -> None:
    pool = pool_of([site("a"), site("b", 40, (2.0, 1.0, 1.0), numbers={}, release="counts")])
    assert pool.middle("spacing_mm_0") == 1.0
    assert pool_of([site("b", numbers={})]).middle("spacing_mm_0") is None
    assert pool.share("modality", 0) == 1.0


def test_files(tmp_path: Path) -> None:
    for name in ("a", "b"):
        (tmp_path / f"{name}.json").write_text(site(name).text())
    paths = [tmp_path / "b.json", tmp_path / "a.json"]
    assert [one.site for one in read_pool(paths).summaries] == ["a", "b"]
    with pytest.raises(InputError, match="a stands twice"):
        read_pool([*paths, tmp_path / "a.json"])
    with pytest.raises(InputError, match="nothing to plan from"):
        pool_of([site("a", 0)])
