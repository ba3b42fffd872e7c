from pathlib import Path

import pytest

from fedvox.common.errors import StudyError
from fedvox.common.study import (
    Study,
    contract_hash,
    dump_study,
    load_study,
    parse_study,
    study_hash,
    without_paths,
)
from fedvox.common.study.template import commented

KINDS = ("segmentation", "classification")


@pytest.mark.parametrize("kind", KINDS)
def test_a_dumped_study_reads_back_equal(kind: str) -> None:
    study = load_study(settings=[f"task.kind={kind}", "study.name=a-b", "training.lr=1e-3"])
    assert parse_study(dump_study(study)) == study
    assert study.training.lr == 1e-3


@pytest.mark.parametrize("kind", KINDS)
def test_the_template_with_every_key_uncommented_is_the_same_study(kind: str) -> None:
    study = load_study(settings=[f"task.kind={kind}"])
    text = commented(study, {"task.kind"})
    assert parse_study(text) == study
    lines = [
        ln[1:] if ln.startswith("#") and not ln.startswith("# ") else ln for ln in text.splitlines()
    ]
    assert parse_study("\n".join(lines)) == study


def test_what_is_set_is_written_out() -> None:
    settings = ["training.rounds=3", "training.augment.flip=.2"]
    study = load_study(settings=settings)
    text = commented(study, {"training.rounds", "training.augment.flip"})
    assert parse_study(text) == study
    assert [ln for ln in text.splitlines() if ln and ln[0] not in "#["] == [
        "rounds = 3",
        "flip = 0.2",
    ]


def test_every_key_has_a_documented_default() -> None:
    def walk(model: type) -> None:
        for name, field in model.model_fields.items():  # type: ignore[attr-defined]
            assert not field.is_required(), name
            if hasattr(field.annotation, "model_fields"):
                walk(field.annotation)
            else:
                assert field.description, f"{model.__name__}.{name} is not documented"

    walk(Study)


@pytest.mark.parametrize(
    ("text", "settings", "expected"),
    [
        ("[training]\nlocal_stps = 3", [], "s.toml, line 2: training.local_stps: unknown key; did you mean 'local_steps'?"),
        ("[trainig]\nlr = 1.0", [], "s.toml, line 1: trainig: unknown section; did you mean 'training'?"),
        ("[training]\nlr = '1'", [], 's.toml, line 2: training.lr: input should be a valid number, not "1"'),
        ("[training.augment]\nflipp = 1.0", [], "s.toml, line 2: training.augment.flipp: unknown key; did you mean 'flip'?"),
        ("[training]\nbatch_size = 0", [], "s.toml, line 2: training.batch_size: input should be greater than or equal to 1, not 0"),
        ("[data]\n\npatch = [3, 3]", [], "s.toml, line 3: data.patch: has 2 numbers, but dims = 3"),
        ("", ["model.nam=unet"], "--set model.nam: unknown key; did you mean 'name'?"),
        ("", ["training.lr=fast"], '--set training.lr: input should be a valid number, not "fast"'),
        ("", ["lr=1"], "--set lr=1: write it as SECTION.KEY=VALUE"),
        ("[task\n", [], "s.toml: not valid TOML"),
        ("[model]\nname = 'resnet18'", [], "s.toml, line 2: model.name: 'resnet18' cannot do segmentation"),
        ("[model]\nnorm = 'batch'", [], "batch norm is never used"),
        ("[training]\nlr = nan", [], "s.toml, line 2: training.lr"),
    ],
)  # fmt: skip
def test_an_error_names_file_line_key_and_remedy(
    text: str, settings: list[str], expected: str
) -> None:
    with pytest.raises(StudyError) as caught:
        parse_study(text, "s.toml", settings)
    assert expected in str(caught.value)


def test_a_missing_file_says_how_to_get_one(tmp_path: Path) -> None:
    with pytest.raises(StudyError, match="fedvox study new > gone.toml"):
        load_study(tmp_path / "gone.toml")


def test_defaults_yield_to_the_file_and_the_file_to_the_command_line() -> None:
    defaults = {"training": {"rounds": 3, "local_steps": 5, "batch_size": 7}}
    text = "[training]\nlocal_steps = 6\nbatch_size = 8"
    study = parse_study(text, settings=["training.batch_size=9"], defaults=defaults)
    assert (study.training.rounds, study.training.local_steps) == (3, 6)
    assert study.training.batch_size == 9
    assert defaults["training"]["batch_size"] == 7


def test_the_preset_of_a_task_yields_to_what_is_written() -> None:
    study = parse_study("[task]\nkind = 'classification'\n[data]\nsize = [16, 16, 16]")
    assert study.model.name == "resnet18"
    assert study.data.patch == (16, 16, 16)


def test_the_contract_hash_follows_what_an_image_looks_like_and_nothing_else() -> None:
    plain = load_study()
    assert contract_hash(load_study(settings=["training.lr=0.5"])) == contract_hash(plain)
    assert contract_hash(
        load_study(settings=["data.partition=iid", "data.test=0.3"])
    ) == contract_hash(plain)
    for setting in (
        "data.spacing=[1.0, 1.0, 2.0]",
        "data.window=[-100.0, 200.0]",
        "data.label_map={a = 0}",
    ):
        assert contract_hash(load_study(settings=[setting])) != contract_hash(plain)


def test_the_study_hash_leaves_out_how_a_simulation_is_scheduled() -> None:
    plain = load_study()
    scheduled = load_study(settings=["simulation.workers=7", "simulation.engine=ray"])
    assert study_hash(scheduled) == study_hash(plain)
    assert study_hash(load_study(settings=["study.seed=1"])) != study_hash(plain)
    assert study_hash(load_study(settings=["simulation.threads=2"])) != study_hash(plain)


def test_of_a_folder_on_this_machine_only_the_name_is_shown_to_others() -> None:
    study = load_study(
        settings=["data.source=/home/meier/Task04", "data.partition=file:/home/x/sites.csv"]
    )
    shown = without_paths(study)
    assert (shown.data.source, shown.data.partition) == ("Task04", "file:sites.csv")
    named = load_study(
        settings=["data.source=msd:Task04_Hippocampus", "data.partition=dirichlet:0.5"]
    )
    assert without_paths(named) == named
