"""What the user gave cannot be used: one clear paragraph, exit status 2, and nothing left behind."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from command import Said, cached_in, fedvox, simulate, summary
from images import image_folder, write_case


@pytest.fixture(scope="module", autouse=True)
def cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    folder = tmp_path_factory.mktemp("cache")
    with cached_in(folder):
        yield folder


def assert_told(said: Said, status: int, *parts: str) -> None:
    assert said.status == status, said.err
    assert said.err.startswith("fedvox simulate: ") and said.err.count("\n") == 1, said.err
    assert "Traceback" not in said.err
    for part in parts:
        assert part in said.err, said.err


@pytest.mark.parametrize(
    ("words", "parts"),
    [
        (["--sites=0"], ["simulation.sites", "greater than or equal to 1"]),
        (["--rounds=0"], ["training.rounds", "greater than or equal to 1"]),
        (["--seed=-1"], ["study.seed"]),
        (["--strategy=fedavgg"], ["fedavgg", "did you mean 'fedavg'"]),
        (["--strategy=krum"], ["flower:Krum"]),
        (["--strategy=flower:Nope"], ["Nope", "FedMedian"]),
        (["--strategy=scaffold"], ["scaffold", "--set training.optimizer=sgd"]),
        (["--engine=rya"], ["simulation.engine", "'ray'"]),
        (["--task=segmantation"], ["task.kind", "'segmentation'"]),
        (["--device=gpu"], ["training.device"]),
        (["--data=nosuch"], ["'nosuch' is no file or folder"]),
        (["--data=msd:Task99"], ["unknown task", "Task04_Hippocampus"]),
        (["--data=medmnist:Nope"], ["Nope"]),
        (["--set=training.learning=1"], ["training.learning", "unknown key"]),
        (["--set=model.norm=batch"], ["batch norm is never used"]),
        (["--set=data.patch=[31, 31, 31]"], ["data.patch", "multiple of"]),
        (["--folds=1"], ["folds at least 2"]),
        (["--set=simulation.folds=2", "--set=simulation.fold=2"], ["must be below folds"]),
    ],
    ids=lambda value: value[0],
)
def test_it_says_what_was_wrong_and_leaves_nothing(
    words: list[str], parts: list[str], tmp_path: Path
) -> None:
    assert_told(simulate(tmp_path / "run", *words), 2, *parts)
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("words", "parts"),
    [
        (["--partition=dirichlet:x"], ["needs a positive number"]),
        (["--partition=half"], ["unknown rule 'half'"]),
        (["--partition=file:/no/such.csv"], ["/no/such.csv", "cannot be read"]),
        (
            ["--sites=9", "--set=simulation.patients=1", "--partition=quantity:9"],
            ["use fewer sites"],
        ),
        (["--folds=20"], ["fewer than 20 folds"]),
    ],
    ids=lambda value: value[0],
)
def test_a_partition_that_cannot_be_is_refused_and_the_folder_stays_free(
    words: list[str], parts: list[str], tmp_path: Path
) -> None:
    assert_told(simulate(tmp_path, *words), 2, *parts)
    assert simulate(tmp_path, "--quiet", "--rounds=1").status == 0


def test_more_sites_than_patients(tmp_path: Path) -> None:
    data = image_folder(tmp_path / "data", cases=3)
    said = simulate(tmp_path / "run", "--data", data, "--sites=4")
    assert_told(said, 2, "4 sites, but only 3 patients")


@pytest.mark.parametrize("kind", ["empty", "no labels", "no folder"])
def test_a_folder_without_usable_images(kind: str, tmp_path: Path) -> None:
    data = tmp_path / "data"
    if kind == "empty":
        data.mkdir()
    elif kind == "no labels":
        image_folder(data)
        for path in (data / "labels").iterdir():
            path.unlink()
    assert_told(simulate(tmp_path / "run", "--data", data), 2, "data")


def test_a_label_outside_the_map_costs_its_case_only(tmp_path: Path) -> None:
    data = image_folder(tmp_path / "data")
    write_case(data, "strange", 20, label_value=7)
    words = ["--data", data, "--set=data.patch=[8, 8, 8]", "--quiet"]
    map_ = ['--set=task.classes=["background", "ball"]', "--set=data.label_map={0 = 0, 1 = 1}"]
    said = simulate(tmp_path / "run", *words, *map_)
    assert said.status == 0, said.err
    found = summary(tmp_path / "run")
    assert [aside["case"] for aside in found["aside_cases"]] == ["strange"]
    assert "7" in found["aside_cases"][0]["detail"]
    assert (
        sum(
            s["patients_train"] + s["patients_validation"] + s["patients_test"]
            for s in found["sites"]
        )
        == 8
    )


def test_when_every_case_is_set_aside_it_says_why(tmp_path: Path) -> None:
    data = image_folder(tmp_path / "data")
    words = ['--set=task.classes=["background", "ball"]', "--set=data.label_map={0 = 0, 5 = 1}"]
    said = simulate(tmp_path / "run", "--data", data, "--set=data.patch=[8, 8, 8]", *words)
    assert_told(said, 2, "no usable case", "8 x ")


def test_a_gpu_that_is_not_there(tmp_path: Path) -> None:
    import torch

    if torch.cuda.is_available():
        pytest.skip("there is a GPU here")
    assert_told(simulate(tmp_path / "run", "--device=cuda"), 1, "torch sees no GPU")
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("words", [
    ["--set=data.patch=[1024, 1024, 1024]"],
    ["--set=model.channels=[4096, 8192]"],
    ["--set=training.batch_size=100000"],
])  # fmt: skip
def test_a_study_larger_than_memory_is_refused_before_it_begins(
    words: list[str], tmp_path: Path
) -> None:
    said = simulate(tmp_path / "run", *words)
    assert_told(said, 1, "GiB", "lower training.batch_size")
    assert not (tmp_path / "run").exists()


def test_fewer_sites_than_the_study_demands(tmp_path: Path) -> None:
    said = simulate(tmp_path, "--set=participation.min_sites=5")
    assert_told(said, 1, "2 of 2 sites can train, the study demands 5")


def test_what_is_no_run_cannot_be_resumed(tmp_path: Path) -> None:
    said = fedvox("simulate", "--resume", tmp_path)
    assert_told(said, 2, "is not the directory of a run")
