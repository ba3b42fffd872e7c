"""From patients to a summary: counted by hand, and the same as without the rare."""

import math
from dataclasses import replace
from random import Random

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from fedvox.client.cohort.measure import Measures
from fedvox.client.cohort.noise import charge_for, noised, system_draw
from fedvox.client.cohort.summarise import Heading, reach_of, with_noise, without_noise
from fedvox.client.cohort.suppress import gathered, gathered_kinds, gathered_share
from fedvox.client.cohort.tally import Tally, tally
from fedvox.common.cohort.axes import LABEL_VALUES, NUMBERS, WORDS
from fedvox.common.cohort.summary import NoiseTerms
from fedvox.common.privacy.account import Account

HEADING = Heading("north", "0" * 24, "histograms", 5)


def case(
    spacing: tuple[float, ...] = (1.0, 1.0, 3.0),
    modality: str = "CT",
    labels: tuple[tuple[int | None, str], ...] = ((1, "liver"),),
    intensity: tuple[float, float, float] = (-100.0, 40.0, 200.0),
    size: tuple[int, ...] = (512, 512, 100),
) -> Measures:
    return Measures(spacing, size[: len(spacing)], 1, modality, intensity, frozenset(labels))


def told(name: str, counts: tuple[int, ...]) -> dict[object, int]:
    cells = NUMBERS[name] if name in NUMBERS else WORDS[name]
    return {cell: count for cell, count in zip(cells, counts, strict=True) if count}


def test_a_patient_counts_once_however_many_cases_there_are() -> None:
    people = {f"p{n}": [case()] for n in range(10)}
    people["p0"] = [case((1, 1, 1)), case((1, 1, 5)), case((1, 1, 5.1)), case(), case((1, 1, 5))]
    people["p1"] = [case(labels=((1, "liver"), (2, "tumour")), modality="MR")]
    found = tally(people)
    assert found.patients == 10
    assert told("spacing_mm_2", found.numbers["spacing_mm_2"]) == {3.0: 9, 5.0: 1}
    assert told("cases", found.words["cases"]) == {"1": 9, "3 to 5": 1}
    assert told("modality", found.words["modality"]) == {"CT": 9, "MR": 1}
    assert told("intensity_high", found.numbers["intensity_high"]) == {200.0: 10}
    assert found.labels == {(1, "liver"): 10, (2, "tumour"): 1}
    assert all(sum(counts) == 10 for counts in [*found.words.values(), *found.numbers.values()])


def test_the_rare_are_not_told_and_the_rest_is_rounded_down() -> None:
    people = {f"p{n}": [case()] for n in range(23)}
    people |= {f"q{n}": [case((1, 1, 8), "MR", ((1, "liver"), (9, "Mr Smith")))] for n in range(3)}
    summary = without_noise(tally(people), HEADING)
    assert summary.patients == 25
    assert told("modality", summary.words["modality"]) == {"CT": 25}
    assert told("spacing_mm_2", summary.numbers["spacing_mm_2"]) == {3.0: 25}
    assert [(one.value, one.name, one.patients) for one in summary.labels] == [(1, "liver", 25)]
    text = summary.text()
    assert "Smith" not in text and "MR" not in text
    counts = without_noise(tally(people), replace(HEADING, release="counts"))
    assert counts.numbers == {} and counts.words == summary.words


def test_names_that_few_share_or_that_are_no_names_stay() -> None:
    people = {f"p{n}": [case(labels=((1, f"of patient {n}"), (2, "x/../y")))] for n in range(20)}
    summary = without_noise(tally(people), HEADING)
    assert [(one.value, one.name, one.patients) for one in summary.labels] == [
        (1, "", 20),
        (2, "", 20),
    ]


def test_classes_that_are_rare_are_counted_with_the_most() -> None:
    people = {f"p{n}": [case(labels=((None, "naevus"),))] for n in range(40)}
    people |= {f"q{n}": [case(labels=((None, "melanoma"),))] for n in range(3)}
    summary = without_noise(tally(people), HEADING)
    assert summary.task == "classification"
    assert [(one.name, one.patients) for one in summary.labels] == [("naevus", 40)]


SITES = st.lists(
    st.lists(
        st.builds(
            case,
            st.sampled_from([(1.0, 1.0, 3.0), (0.5, 0.5, 5.0), (1.0, 1.0), (2.0, 1.0, 8.0)]),
            st.sampled_from(["CT", "MR", "PT", "XX"]),
            st.sampled_from([(), ((1, "a"),), ((1, "a"), (2, "b")), ((None, "c"),), ((1, "z"),)]),
        ),
        min_size=1,
        max_size=3,
    ),
    min_size=1,
    max_size=40,
)


def without_the_rare(found: Tally) -> Tally:
    """The tally of a site in which the few are like the many."""
    least, of = HEADING.least_cell, found.patients
    labels: dict[tuple[int | None, str], int] = {}
    for told in without_noise(found, HEADING).labels:
        if told.value is not None:
            labels[(told.value, told.name)] = gathered_share(
                found.with_value(told.value), of, least
            )
    names = sorted(found.classes)
    counts = [found.classes[name] for name in names]
    kept = gathered_kinds([*counts, of - sum(counts)], least)[:-1]
    labels |= {(None, name): n for name, n in zip(names, kept, strict=True) if n}
    return Tally(
        of,
        {name: gathered_kinds(counts, least) for name, counts in found.words.items()},
        {name: gathered(counts, of, least) for name, counts in found.numbers.items()},
        labels,
    )


@given(SITES)
@settings(max_examples=200, deadline=None)
def test_a_site_without_rare_patients_tells_the_very_same(site: list[list[Measures]]) -> None:
    """So nobody can tell from the file, taken as a whole, that there is one."""
    found = tally({str(n): cases for n, cases in enumerate(site)})
    clean = without_the_rare(found)
    every = [*clean.words.values(), *clean.numbers.values()]
    assert not any(0 < cell < 5 for counts in every for cell in counts)
    assert without_noise(clean, HEADING).text() == without_noise(found, HEADING).text()


def vector(found: Tally) -> np.ndarray:
    counts = [found.patients, *(found.with_value(value) for value in LABEL_VALUES)]
    for part in (*found.words.values(), *found.numbers.values()):
        counts += part
    return np.array(counts)


@given(SITES)
@settings(max_examples=100, deadline=None)
def test_one_patient_moves_the_counts_by_no_more_than_is_charged(
    site: list[list[Measures]],
) -> None:
    everyone = tally({str(n): cases for n, cases in enumerate(site)})
    without = tally({str(n): cases for n, cases in enumerate(site[1:], 1)})
    moved = np.linalg.norm(vector(everyone) - vector(without))
    assert moved <= reach_of(HEADING, ()) + 1e-9
    assert reach_of(HEADING, ()) == math.sqrt(1 + len(WORDS) + len(NUMBERS) + len(LABEL_VALUES))


def test_what_is_charged_is_what_was_asked_for() -> None:
    for epsilon in (0.5, 2.0):
        charge = charge_for(epsilon, 1e-3)
        assert (charge.sample_rate, charge.steps) == (1.0, 1)
        spent = Account([charge]).epsilon(1e-3)
        assert 0.98 * epsilon < spent <= epsilon


def test_noise_is_as_wide_as_it_says_and_nowhere_the_same() -> None:
    rng = Random(1)
    draws = [noised([1000], 7.0, 5, lambda d: rng.gauss(0, d))[0] for _ in range(4000)]
    assert abs(np.mean(draws) - 1000) < 0.5 and abs(np.std(draws) - 7) < 0.3
    assert len({system_draw(1.0) for _ in range(100)}) == 100


def test_under_noise_every_cell_is_noised_and_labels_do_not_come_from_the_data() -> None:
    people = {f"p{n}": [case(labels=((1, "Mr Smith"), (99, "b")))] for n in range(200)}
    terms = NoiseTerms(epsilon=1.0, delta=1e-3, deviation=3.0)
    drawn: list[float] = []

    def draw(deviation: float) -> float:
        drawn.append(deviation)
        return 6.4

    summary = with_noise(tally(people), HEADING, terms, (), draw)
    cells = sum(map(len, WORDS.values())) + sum(map(len, NUMBERS.values()))
    assert drawn == [3.0] * (1 + cells + len(LABEL_VALUES))
    assert summary.patients == 206 and summary.noise == terms
    assert {one.value for one in summary.labels} == set(LABEL_VALUES)
    assert "Smith" not in summary.text() and "99" not in summary.text()
    assert {*summary.words["modality"]} == {206, 6}
    classes = with_noise(tally(people), HEADING, terms, ("x", "y"), lambda deviation: 20.0)
    assert [(one.name, one.patients) for one in classes.labels] == [("x", 20), ("y", 20)]
    low = with_noise(tally(people), HEADING, terms, (), lambda deviation: -1.0)
    assert {*low.words["modality"]} == {199, 0}
