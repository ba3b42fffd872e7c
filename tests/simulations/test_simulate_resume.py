"""A run that was cut short ends as if nothing had happened."""

import json
import shutil
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from command import cached_in, contents, fedvox, process, simulate, summary

from fedvox.common.files import RunLock

LONGER = ("--rounds=3", "--baselines", "--set=simulation.patients=12", "--set=data.validation=0.0")


@pytest.fixture(scope="module", autouse=True)
def cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    folder = tmp_path_factory.mktemp("cache")
    with cached_in(folder):
        yield folder


@pytest.fixture(scope="module")
def whole(cache: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run that nothing disturbed."""
    out = tmp_path_factory.mktemp("runs") / "whole"
    assert simulate(out, *LONGER, "--quiet").status == 0
    return out


@pytest.fixture
def copy(whole: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(whole, tmp_path / "run"))


def resume(folder: Path, *words: str) -> Any:
    return fedvox("simulate", "--resume", folder, *words)


def assert_same(folder: Path, whole: Path) -> None:
    one, other = summary(folder), summary(whole)
    for key in ("status", "model_sha256", "metrics", "union", "baselines", "rounds_completed"):
        assert one[key] == other[key], key


def preparing(event: dict[str, Any]) -> bool:
    return bool(event["event"] == "prepare")


def in_round(number: int) -> Callable[[dict[str, Any]], bool]:
    return lambda event: event["event"] == "trained" and event["round"] == number


def in_the_final_evaluation(event: dict[str, Any]) -> bool:
    return bool(event["event"] == "closed" and event["round"] == 3)


def in_the_baselines(event: dict[str, Any]) -> bool:
    return event["event"] == "baseline" and event["figures"]["done"] > 0


MOMENTS: list[tuple[Callable[[dict[str, Any]], bool], signal.Signals]] = [
    (preparing, signal.SIGKILL),
    (in_round(1), signal.SIGTERM),
    (in_round(2), signal.SIGKILL),
    (in_round(3), signal.SIGINT),
    (in_the_final_evaluation, signal.SIGKILL),
    (in_the_baselines, signal.SIGTERM),
]


def test_cut_short_again_and_again_it_ends_with_the_same_bits(whole: Path, tmp_path: Path) -> None:
    run, cache = tmp_path / "run", str(tmp_path / "cache")
    words = ["simulate", "--resume", str(run), "--json"]
    run.mkdir()
    shutil.copy(whole / "study.toml", run)  # begun: killed before anything else was done
    for moment, sent in MOMENTS:
        with process(*words, FEDVOX_CACHE=cache) as running:
            assert running.stdout and running.stderr
            for line in running.stdout:
                if moment(json.loads(line)):
                    running.send_signal(sent)
                    break
            else:
                pytest.fail(f"the run ended before {sent!r}: {running.stderr.read()}")
            running.stdout.read()
            status, told = running.wait(60), running.stderr.read()
        if sent == signal.SIGKILL:
            assert status == -signal.SIGKILL
        else:
            assert (status, told) == (130, "fedvox simulate: interrupted\n")
            assert summary(run)["status"] == "interrupted"
            assert "</html>" in (run / "report.html").read_text()
    assert resume(run, "--quiet").status == 0
    assert_same(run, whole)
    for file in ("model.safetensors", "checkpoints/round-00003.safetensors"):
        assert (run / file).read_bytes() == (whole / file).read_bytes()


def test_resuming_what_is_finished_changes_nothing_that_matters(whole: Path, copy: Path) -> None:
    before = summary(copy)
    assert resume(copy, "--quiet").status == 0
    assert_same(copy, whole)
    assert (copy / "rounds.jsonl").read_bytes() == (whole / "rounds.jsonl").read_bytes()
    assert summary(copy)["wall_s"] > before["wall_s"], "the time of the first sitting counts too"


def test_baselines_can_be_asked_for_afterwards(whole: Path, tmp_path: Path) -> None:
    words = [word for word in LONGER if word != "--baselines"]
    assert simulate(tmp_path, *words, "--quiet").status == 0
    assert summary(tmp_path)["baselines"] is None
    assert resume(tmp_path, "--baselines", "--workers=1", "--quiet").status == 0
    assert_same(tmp_path, whole)


def test_other_settings_are_refused(copy: Path) -> None:
    before = contents(copy)
    said = resume(copy, "--set=training.lr=1e-4")
    assert said.status == 2 and "other settings" in said.err
    said = fedvox("simulate", copy / "study.toml", "--resume", copy)
    assert said.status == 2 and "give no study" in said.err
    assert resume(copy.parent).status == 2
    assert contents(copy) == before


def test_a_run_of_another_version_is_left_alone(copy: Path) -> None:
    """To which the same file was another study."""
    told = {**summary(copy), "study_sha256": "0" * 64}
    (copy / "summary.json").write_text(json.dumps(told))
    before = contents(copy)
    said = resume(copy)
    assert said.status == 2 and "another version of fedvox" in said.err
    assert contents(copy) == before


def test_a_run_in_use_is_left_alone(copy: Path) -> None:
    before = contents(copy)
    with RunLock(copy):
        said = resume(copy)
    assert said.status == 2 and "is working in this folder" in said.err
    assert {k: v for k, v in contents(copy).items() if k != ".lock"} == {
        k: v for k, v in before.items() if k != ".lock"
    }


def test_a_damaged_checkpoint_costs_one_round_and_is_told(whole: Path, copy: Path) -> None:
    newest = copy / "checkpoints/round-00003.safetensors"
    data = bytearray(newest.read_bytes())
    data[-5] ^= 1
    newest.write_bytes(data)
    said = resume(copy)
    assert said.status == 0 and "went back one checkpoint" in said.out
    assert any("round-00003" in note for note in summary(copy)["notes"])
    assert_same(copy, whole)


def test_without_a_whole_checkpoint_it_stops_and_says_what_to_do(copy: Path) -> None:
    for path in (copy / "checkpoints").iterdir():
        path.write_bytes(path.read_bytes()[:-100])
    model = (copy / "model.safetensors").read_bytes()
    said = resume(copy)
    assert said.status == 1 and "no checkpoint is whole" in said.err and "Traceback" not in said.err
    assert (copy / "model.safetensors").read_bytes() == model
    assert summary(copy)["status"] == "failed"


def test_begun_again_from_the_first_round_it_ends_the_same(whole: Path, copy: Path) -> None:
    shutil.rmtree(copy / "checkpoints")
    assert resume(copy, "--quiet").status == 0
    assert_same(copy, whole)
