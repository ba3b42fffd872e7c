from __future__ import annotations

import re
from collections import Counter
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fedvox.common.errors import DataError
from fedvox.common.study import Study, load_study
from fedvox.simulations.naming import natural, safe_names
from fedvox.simulations.partition import (
    Row,
    partition,
    read_partition,
    table,
    tertiles,
    write_partition,
)
from fedvox.simulations.sources import CaseRef


def a_study(spec: str, sites: int = 4, seed: int = 0, **more: object) -> Study:
    keys = [f'data.partition="{spec}"', f"simulation.sites={sites}", f"study.seed={seed}"]
    return load_study(settings=keys + [f"{k.replace('__', '.')}={v}" for k, v in more.items()])


def a_cohort(patients: int, scans: int = 1, classes: int = 3) -> tuple[list[CaseRef], dict]:
    refs = [
        CaseRef(f"c{p:03d}-{s}", f"p{p:03d}", {"ward": "ABC"[p % 3]})
        for p in range(patients)
        for s in range(1 + p % scans)
    ]
    return refs, {ref.case: int(ref.patient[1:]) % classes for ref in refs}


rules = st.sampled_from(["iid", "dirichlet:5", "dirichlet:1.0", "quantity:0.5", "column:ward"])


@settings(max_examples=60, deadline=None)
@given(rules, st.integers(40, 90), st.integers(1, 3), st.integers(1, 4), st.integers(0, 2**31 - 1))
def test_every_case_is_dealt_once_and_patients_stay_whole(spec, patients, scans, sites, seed):
    refs, strata = a_cohort(patients, scans)
    study = a_study(spec, sites, seed)
    rows = partition(refs, strata, study)
    assert Counter(row.case for row in rows) == Counter(ref.case for ref in refs)
    places: dict[str, set[tuple[str, str]]] = {}
    for row in rows:
        places.setdefault(row.patient, set()).add((row.site, row.split))
    assert all(len(place) == 1 for place in places.values())
    assert len({row.site for row in rows}) == (3 if spec.startswith("column") else sites)
    assert rows == partition(list(reversed(refs)), strata, study)
    for site in {row.site for row in rows}:
        splits = Counter(row.split for row in rows if row.site == site)
        assert splits["train"] and splits["test"] and splits["validation"]


@settings(max_examples=30, deadline=None)
@given(rules, st.integers(2, 5), st.integers(0, 1000))
def test_over_all_folds_each_patient_is_tested_once(spec, folds, seed):
    refs, strata = a_cohort(60, scans=2)
    tested: Counter[str] = Counter()
    sites = set()
    for fold in range(folds):
        more = {"simulation__folds": folds, "simulation__fold": fold}
        rows = partition(refs, strata, a_study(spec, 3, seed, **more))
        tested.update({row.patient for row in rows if row.split == "test"})
        sites.add(tuple(sorted((row.case, row.site) for row in rows)))
    assert tested == Counter({ref.patient: 1 for ref in refs})
    assert len(sites) == 1  # the sites do not depend on the fold


def test_shares_and_strata_are_kept_within_a_site():
    refs, strata = a_cohort(96, classes=2)
    rows = partition(refs, strata, a_study("iid", 2))
    for site in ("site-1", "site-2"):
        own = [row for row in rows if row.site == site]
        assert Counter(r.split for r in own) == {"train": 31, "validation": 5, "test": 12}
        by_class = Counter(strata[r.case] for r in own if r.split == "test")
        assert by_class == {0: 6, 1: 6}


def test_seeds_give_other_partitions():
    refs, strata = a_cohort(60)
    assert partition(refs, strata, a_study("iid", seed=0)) != partition(
        refs, strata, a_study("iid", seed=1)
    )


def test_dirichlet_skews_classes_more_the_smaller_alpha_is():
    refs, strata = a_cohort(400, classes=2)

    def skew(alpha: float) -> float:
        rows = partition(refs, strata, a_study(f"dirichlet:{alpha}", 4))
        counts = table(rows, strata)[:-1]
        return sum(abs(c.by_stratum[0] / c.patients - 0.5) for c in counts) / 4

    assert skew(1000) < 0.03 < 0.1 < skew(0.3)


def test_quantity_skews_sizes_and_zero_does_not():
    refs, strata = a_cohort(200)
    even = table(partition(refs, strata, a_study("quantity:0", 4)), strata)
    uneven = table(partition(refs, strata, a_study("quantity:1.2", 4)), strata)
    assert [c.patients for c in even] == [50, 50, 50, 50, 200]
    sizes = [c.patients for c in uneven[:-1]]
    assert max(sizes) > 2 * min(sizes) >= 8


def test_column_makes_a_site_of_each_value():
    refs = [CaseRef(f"c{n}", f"p{n}", {"w": value}) for n, value in enumerate(["a/b", "a?b", "b"])]
    rows = partition(refs, {}, a_study("column:w"))
    assert {row.case: row.site for row in rows} == {"c0": "a-b", "c1": "a-b-2", "c2": "b"}


def test_table_counts_patients_not_cases():
    rows = (
        Row("site-1", "train", "p1", "a"),
        Row("site-1", "train", "p1", "b"),
        Row("site-2", "test", "p2", "c"),
    )
    lines = table(rows, {"a": 0, "b": 1, "c": 0})
    assert [(c.site, c.patients, c.train, c.validation, c.test, c.by_stratum) for c in lines] == [
        ("site-1", 1, 1, 0, 0, (0, 1)),
        ("site-2", 1, 0, 0, 1, (1, 0)),
        ("all", 2, 1, 0, 1, (1, 1)),
    ]


def test_a_written_partition_reads_back_and_deals_alike(tmp_path: Path):
    refs, strata = a_cohort(30, scans=2)
    rows = partition(refs, strata, a_study("iid", 3))
    write_partition(tmp_path / "p.csv", rows)
    assert read_partition(tmp_path / "p.csv") == rows
    assert partition(refs, strata, a_study(f"file:{tmp_path}/p.csv", seed=9)) == rows


def test_a_file_may_name_patients_leave_some_out_and_leave_splits_open(tmp_path: Path):
    path = tmp_path / "p.csv"
    path.write_text("patient,site,split\np000,B,test\np001,B,\np002,,\np003,A,val\n")
    refs, strata = a_cohort(4)
    rows = partition(refs, strata, a_study(f"file:{path}"))
    assert [(row.patient, row.site, row.split) for row in rows] == [
        ("p003", "A", "validation"),
        ("p000", "B", "test"),
        ("p001", "B", "train"),
    ]


@pytest.mark.parametrize(
    ("spec", "says"),
    [
        ("dirichelet:1", "did you mean 'dirichlet'"),
        ("dirichlet", "dirichlet:0.5"),
        ("dirichlet:-1", "positive number"),
        ("quantity:x", "quantity:1.0"),
        ("iid:3", "takes no argument"),
        ("column:wardd", "did you mean 'ward'"),
        ("file:/nowhere.csv", "cannot be read"),
        ("dirichlet:0.001", "milder"),
    ],
)
def test_what_cannot_be_dealt_is_explained(spec, says):
    refs, strata = a_cohort(24)
    with pytest.raises(DataError, match=says):
        partition(refs, strata, a_study(spec, 4))


def test_more_sites_or_folds_than_patients_is_an_error():
    refs, strata = a_cohort(3)
    with pytest.raises(DataError, match="4 sites, but only 3 patients"):
        partition(refs, strata, a_study("iid", 4))
    with pytest.raises(DataError, match="fewer than 5 folds"):
        partition(refs, strata, a_study("iid", 1, simulation__folds=5))
    with pytest.raises(DataError, match="no case"):
        partition([], {}, a_study("iid", 1))


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("case,site\nc000-0,A\n", "does not name case 'c001-0'"),
        ("name,site\nx,A\n", "needs columns"),
        ("case,site,split\nc000-0,A,tset\n", "did you mean 'test'"),
        ("case,site\nc000-0,A\nc000-0,B\n", "stands twice"),
        ("case,site\nc000-0,\nc001-0,\nc001-1,\n", "gives no case a site"),
        ("case,site\nc000-0,A\nc001-0,A\nc001-1,B\n", "'p001' stands in more than one site"),
    ],
)
def test_partition_files_that_contradict_are_refused(tmp_path: Path, text, says):
    (tmp_path / "p.csv").write_text(text)
    refs, strata = a_cohort(2, scans=2)
    with pytest.raises(DataError, match=says):
        partition(refs, strata, a_study(f"file:{tmp_path}/p.csv"))


def test_a_patient_with_two_wards_is_refused():
    refs = [CaseRef("a", "p", {"ward": "A"}), CaseRef("b", "p", {"ward": "B"})]
    with pytest.raises(DataError, match="several values"):
        partition(refs, {}, a_study("column:ward"))


@given(st.dictionaries(st.text("abcdef"), st.floats(0, 1e6), min_size=3, max_size=30))
def test_tertiles_are_ordered_and_even(volumes):
    strata = tertiles(volumes)
    for a in volumes:
        for b in volumes:
            assert strata[a] <= strata[b] or volumes[a] >= volumes[b]
    counts = Counter(strata.values())
    assert max(counts.values()) - min(counts.values()) <= 1
    assert set(counts) == {0, 1, 2}


@given(st.sets(st.text(max_size=80), min_size=1, max_size=20))
def test_safe_names_are_safe_and_distinct(values):
    names = safe_names(values)
    assert len(set(names.values())) == len(values)
    assert all(re.fullmatch(r"[A-Za-z0-9._-]{1,68}", name) for name in names.values())


def test_names_sort_naturally():
    assert sorted(["site-10", "site-2", "a"], key=natural) == ["a", "site-2", "site-10"]
