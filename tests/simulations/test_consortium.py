from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pytest
from command import cached_in
from small import ball, tiny

from fedvox.common.errors import DataError
from fedvox.common.volume import Aside, CaseError, Volume
from fedvox.simulations.consortium import gather
from fedvox.simulations.resolve import resolve_study
from fedvox.simulations.site_data import phantom_holdings
from fedvox.simulations.sources.source import CaseRef, Suggestions


@pytest.fixture(autouse=True)
def cache(tmp_path: Path) -> Iterator[None]:
    with cached_in(tmp_path / "cache"):
        yield


@dataclass
class Balls:
    """Twelve balls in two sites; `twins` share their content, `bad` cannot be read."""

    twins: tuple[str, ...] = ()
    bad: tuple[str, ...] = ()
    name: str = "balls"
    loaded: list[str] = field(default_factory=list)

    def suggests(self) -> Suggestions:
        return {}

    def cases(self) -> Sequence[CaseRef]:
        return [CaseRef(f"b{n:02d}", f"p{n:02d}", {"site": f"h{n % 2}"}) for n in range(12)]

    def aside(self) -> Sequence[tuple[str, CaseError]]:
        return [("b99", CaseError(Aside.NO_LABEL, "label file b99 is not there"))]

    def fingerprint(self, ref: CaseRef) -> str:
        return "twin" if ref.case in self.twins else ref.case

    def load(self, ref: CaseRef) -> Volume:
        self.loaded.append(ref.case)
        if ref.case in self.bad:
            raise CaseError(Aside.UNREADABLE, "cut off")
        return ball(int(ref.case[1:]))


STUDY = tiny("data.partition=column:site")


def test_bad_cases_and_twins_are_set_aside_and_the_rest_goes_on() -> None:
    source = Balls(twins=("b02", "b05"), bad=("b07",))
    found = gather(STUDY, source, workers=2)
    reasons = {case.case: case.reason for case in found.aside}
    assert reasons == {"b99": "no-label", "b07": "unreadable", "b05": "duplicate"}
    assert next(c.detail for c in found.aside if c.case == "b05") == "same content as b02"
    kept = {row.case for row in found.rows}
    assert kept == {f"b{n:02d}" for n in range(12)} - {"b05", "b07"}


def test_a_patient_is_at_one_site_and_in_one_split() -> None:
    found = gather(STUDY, Balls(), workers=2)
    assert found.sites == ("h0", "h1")
    keys = [key for r in found.rosters.values() for own in r.keys.values() for key in own]
    assert len(keys) == len(set(keys)) == 12
    pooled = [key for own in found.pooled.keys.values() for key in own]
    assert sorted(pooled) == sorted(keys)
    assert sum(found.pooled.patients.values()) == 12


def test_who_prepares_does_not_matter_and_nothing_is_prepared_twice() -> None:
    source = Balls()
    one = gather(STUDY, source, workers=1)
    assert sorted(source.loaded) == sorted(ref.case for ref in source.cases())
    told: list[tuple[int, int]] = []
    two = gather(STUDY, source, 4, lambda done, total: told.append((done, total)))
    assert len(source.loaded) == 12 and told == [(n, 12) for n in range(1, 13)]
    assert one.rows == two.rows and one.keys == two.keys and one.strata == two.strata


def test_strata_are_tertiles_of_the_labelled_volume() -> None:
    found = gather(STUDY, Balls(), workers=1)
    volumes = {
        case: int(np.count_nonzero(found.store.get(key).label)) for case, key in found.keys.items()
    }
    order = sorted(volumes, key=lambda case: volumes[case])
    assert [found.strata[case] for case in order] == sorted(found.strata.values())
    assert set(found.strata.values()) == {0, 1, 2}


def test_a_source_of_which_nothing_is_usable_is_refused_with_the_reasons() -> None:
    source = Balls(bad=tuple(f"b{n:02d}" for n in range(12)))
    with pytest.raises(DataError, match="no usable case.*1 x no-label.*12 x unreadable"):
        gather(STUDY, source, workers=2)


def test_sites_counted_from_nought_hold_everybody_as_those_counted_from_one(tmp_path: Path) -> None:
    study = resolve_study(None, ["simulation.sites=3", "simulation.patients=4"])[0]
    for numbers in (range(1, 4), range(3)):
        held = [phantom_holdings(str(number), tmp_path) for number in numbers]
        names = {one.seed_name(study) for one in held}
        assert names == {"site-1", "site-2", "site-3"}
        cases = [case for one in held for case in one.roster(study).keys["train"]]
        assert len(cases) == len(set(cases)) > 3
