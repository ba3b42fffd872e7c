"""One contract out of several sites."""

import math
import random
from collections import Counter

import pytest
from cohorts import site

from fedvox.common.cohort.axes import NUMBERS, WORDS
from fedvox.common.cohort.summary import LabelCount, Summary
from fedvox.common.errors import InputError
from fedvox.common.study import parse_study
from fedvox.server.cohort.labels import labels_of
from fedvox.server.cohort.pool import pool_of
from fedvox.server.cohort.propose import propose
from fedvox.server.cohort.write import study_text


def test_sites_alike() -> None:
    found = propose(pool_of([site("a"), site("b"), site("c")])).settings
    assert found["data.spacing"] == [1.0, 1.0, 1.0] and found["data.orientation"] == "RAS"
    assert found["data.window"] == [-100.0, 200.0]
    assert found["data.patch"] == [128, 128, 64] and found["task.classes"] == [
        "background",
        "liver",
    ]
    assert found["data.dims"] == 3 and found["data.channels"] == 1


def test_one_strange_site_of_four_is_outvoted_however_large() -> None:
    alike = [site(name) for name in "abc"]
    strange = site("d", 100_000, (5.0, 5.0, 5.0), (8, 8, 8), (0.0, 1.0))
    assert propose(pool_of([*alike, strange])).settings == propose(pool_of(alike)).settings


def test_across_thick_slices_the_finer_patients_count() -> None:
    thick = [site(n, 20, (1.0, 1.0, 8.0), (256, 256, 24)) for n in "abc"]
    assert propose(pool_of(thick)).settings["data.spacing"] == [1.0, 1.0, 8.0]
    fine = [site(n, 20, (1.0, 1.0, 3.0), (256, 256, 64)) for n in "de"]
    assert propose(pool_of([*thick, *fine])).settings["data.spacing"] == [1.0, 1.0, 3.0]
    # One site with fine slices does not make all the others resample to them.
    assert propose(pool_of([*thick, fine[0]])).settings["data.spacing"] == [1.0, 1.0, 8.0]


@pytest.mark.parametrize("memory_gib", [0.5, 2.0, 8.0, 40.0])
def test_patches_fit_into_memory_and_keep_the_shape(memory_gib: float) -> None:
    large = pool_of([site(n, 20, (0.7, 0.7, 2.0), (512, 512, 192)) for n in "abc"])
    patch = propose(large, memory_gib=memory_gib, batch_size=2).settings["data.patch"]
    assert math.prod(patch) * 2 * 1000 <= 0.8 * memory_gib * 2**30
    assert all(edge % 8 == 0 and edge >= 16 for edge in patch)
    assert patch[0] == pytest.approx(patch[1], abs=8) and patch[2] <= patch[0]


def test_a_window_is_for_ct_only() -> None:
    mixed = [site("a", modality="MR"), site("b", modality="MR"), site("c")]
    assert "data.window" not in propose(pool_of(mixed)).settings


def test_projections() -> None:
    flat = [site(n, 20, (0.2, 0.2), (2048, 2048), modality="other") for n in "ab"]
    found = propose(pool_of(flat)).settings
    assert found["data.dims"] == 2 and found["data.patch"] == [256, 256]
    assert "data.orientation" not in found


def test_counts_alone_leave_the_geometry_to_the_defaults() -> None:
    found = propose(pool_of([site("a", numbers={}), site("b", numbers={})])).settings
    assert not {"data.spacing", "data.patch", "data.window"} & set(found)
    assert found["task.classes"] == ["background", "liver"]


def test_labels_at_odds_are_named_and_the_many_decide() -> None:
    pool = pool_of([
        site("a", labels={1: "liver", 2: "tumour"}),
        site("b", labels={1: "liver", 2: "tumour"}),
        site("c", labels={1: "tumour", 2: "liver", 9: "stent"}),
    ])  # fmt: skip
    found = labels_of(pool)
    assert found.classes == ("background", "liver", "tumour") and not found.label_map
    assert "value 1 is 'liver' at a, b, 'tumour' at c" in found.conflicts
    assert "'tumour' is value 1 at c, value 2 at a, b" in found.conflicts
    assert "value 9 is told of by c alone, and left out" in found.conflicts[-1]
    assert len(found.conflicts) == 5


def test_names_that_nobody_says_or_twice() -> None:
    pool = pool_of([site("a", labels={1: "", 2: "x", 3: "x"})])
    assert labels_of(pool).classes == ("background", "label-1", "x", "label-3")


def test_classes() -> None:
    def of(name: str, *classes: str):  # type: ignore[no-untyped-def]
        told = tuple(LabelCount(name=word, patients=20) for word in classes)
        return site(name, labels={}, task="classification").model_copy(update={"labels": told})

    found = propose(pool_of([of("a", "y", "x"), of("b", "y", "z")]))
    assert found.settings["task.classes"] == ["x", "y", "z"]
    assert found.settings["data.size"] == found.settings["data.patch"]
    assert "class 'x' is told of by a alone" in found.labels.conflicts
    with pytest.raises(InputError, match="--task"):
        propose(pool_of([site("a", labels={}, task="none")]))


def strange(seed: int) -> Summary:
    """A site that says whatever it likes: histograms, labels, task, number of patients."""
    rng = random.Random(seed)

    def counts(cells: int) -> tuple[int, ...]:
        found = [0] * cells
        for _ in range(rng.randrange(4)):
            found[rng.randrange(cells)] = rng.choice([5, 100, 10_000_000])
        return tuple(found)

    values = rng.sample([1, 2, 7, 255], rng.randrange(4))
    labels = [LabelCount(value=v, name=rng.choice(["", "liver", "x"]), patients=50) for v in values]
    if rng.random() < 0.5:
        labels.append(LabelCount(name="y", patients=50))
    return Summary(
        site="strange", dataset="0" * 24, release="histograms", least_cell=5,
        task=rng.choice(["segmentation", "classification", "none"]),
        patients=rng.choice([0, 5, 10_000_000]),
        words={name: counts(len(cells)) for name, cells in WORDS.items()},
        numbers={name: counts(len(cells)) for name, cells in NUMBERS.items()},
        labels=tuple(labels),
    )  # fmt: skip


def test_whatever_one_of_four_says_the_study_stays_that_of_the_others() -> None:
    alike = [site(name) for name in "abc"]
    expected = propose(pool_of(alike)).settings
    for seed in range(400):
        assert propose(pool_of([*alike, strange(seed)])).settings == expected, seed


def test_sites_that_say_anything_are_told_and_never_a_traceback() -> None:
    ended = Counter[str]()
    for seed in range(0, 900, 3):
        sites = [strange(seed + k).model_copy(update={"site": f"s{k}"}) for k in range(3)]
        try:
            found = propose(pool_of(sites[: 1 + seed % 3]))
            ended["planned"] += len(found.settings["task.classes"]) > 1
        except InputError as error:
            ended[str(error)[:20]] += 1
    assert ended["planned"] > 30 and len(ended) > 2


def test_what_one_site_alone_tells_of_is_left_out_and_said() -> None:
    def of(name: str, *classes: str) -> Summary:
        told = tuple(LabelCount(name=word, patients=20) for word in classes)
        return site(name, labels={}, task="classification").model_copy(update={"labels": told})

    found = labels_of(pool_of([of("a", "x", "y"), of("b", "x", "y", "z"), of("c", "x", "y")]))
    assert found.classes == ("x", "y")
    assert found.conflicts == (
        "class 'z' is told of by b alone, and left out; if it belongs to the study, add it to "
        "task.classes",
    )
    few = pool_of([of("a", "x"), of("b", "x"), of("c", "z")])
    with pytest.raises(InputError, match=r"two classes .* class 'z' is told of by c alone"):
        labels_of(few)
    by_hand = labels_of(few, "classification")
    assert by_hand.classes == () and "write task.classes" in by_hand.conflicts[-1]


def test_without_labels_a_task_that_was_asked_for_is_planned_for_people_to_complete() -> None:
    told = pool_of([site(name, labels={}, task="none") for name in "abc"])
    found = propose(told, "segmentation")
    assert "task.classes" not in found.settings and found.settings["data.patch"]
    text = study_text(told, found, "planned", {"data.source": "sites"})
    assert "# TO SETTLE: the sites do not share the two classes" in text
    assert parse_study(text).task.classes == ()
