"""Tables, medians and verdicts by hand; processes that are really started; a real tiny run."""

import json
from pathlib import Path

import pytest
import torch

from fedvox.simulations.bench.__main__ import BENCHES, main
from fedvox.simulations.bench.engine import Pairs, overheads, ratio_of
from fedvox.simulations.bench.measure import interleaved, median_ratio, peak_bytes
from fedvox.simulations.bench.outcome import Absent, Headline, Outcome, render, table, write
from fedvox.simulations.bench.runs import data_at


@pytest.fixture(autouse=True)
def one_thread() -> None:
    torch.set_num_threads(1)


def silent(text: str) -> None:
    pass


def test_a_table_has_names_to_the_left_and_figures_to_the_right() -> None:
    assert table(("arm", "s"), [("engine", "1.5"), ("bare", "10.25")]) == (
        "arm         s\n------  -----\nengine    1.5\nbare    10.25"
    )


def test_the_last_line_has_the_headlines_and_says_which_are_missed() -> None:
    headlines = (Headline("a over b", 1.04, "<=", 1.05), Headline("faster", 4.9, ">=", 5.0))
    outcome = Outcome("some", ("arm", "s"), [("a", "1")], headlines, notes=("a note",))
    *_, note, last = render(outcome).splitlines()
    assert note == "a note"
    assert last == "some: a over b 1.040 (<= 1.05: reached); faster 4.900 (>= 5: missed)"


def test_the_json_holds_headlines_figures_and_machine(tmp_path: Path) -> None:
    outcome = Outcome("some", ("arm",), [], (Headline("x", 2.0, "<=", 2.0),), {"seconds": [1.0]})
    record = json.loads(write(outcome, tmp_path / "new").read_text())
    assert record["bench"] == "some"
    assert record["headlines"] == [
        {"what": "x", "value": 2.0, "bound": "<=", "target": 2.0, "reached": True}
    ]
    assert record["seconds"] == [1.0]
    assert record["machine"]["cores"] >= 1


def test_arms_take_turns_and_who_begins_alternates() -> None:
    order: list[str] = []

    def arm(name: str) -> float:
        order.append(name)
        return float(len(order))

    found = interleaved({"a": lambda: arm("a"), "b": lambda: arm("b")}, 3, silent)
    assert order == ["a", "b", "b", "a", "a", "b"]
    assert found == {"a": [1.0, 4.0, 5.0], "b": [2.0, 3.0, 6.0]}


def test_the_median_is_of_the_ratios_not_the_ratio_of_the_medians() -> None:
    assert median_ratio([2.0, 9.0, 4.0], [1.0, 9.0, 1.0]) == 2.0
    assert ratio_of([Pairs([1.0, 6.0], [2.0, 2.0]), Pairs([2.0], [2.0])]) == 1
    with pytest.raises(ValueError, match="shorter"):
        median_ratio([1.0, 2.0], [1.0])


def test_the_peak_is_of_this_process_and_grows_with_it() -> None:
    before = peak_bytes()
    ballast = bytearray(64 << 20)
    ballast[::4096] = bytes(len(ballast[::4096]))  # memory counts once it was touched
    assert peak_bytes() >= before
    assert peak_bytes() >= len(ballast)


def test_data_that_is_not_here_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("FEDVOX_TEST_DATA", str(tmp_path))
    with pytest.raises(Absent, match=r"hippocampus: not here.*FEDVOX_TEST_DATA"):
        data_at("hippocampus")
    (tmp_path / "hippocampus").mkdir()
    assert data_at("hippocampus") == tmp_path / "hippocampus"


def test_a_bench_without_its_data_says_so_and_is_bad_input(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("FEDVOX_TEST_DATA", str(tmp_path))
    assert main(["hippocampus", "--out", str(tmp_path / "out")]) == 2
    assert "hippocampus: not run" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_an_unknown_bench_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as leaving:
        main(["speed"])
    assert leaving.value.code == 2
    told = capsys.readouterr().err
    assert all(name in told for name in BENCHES)


@pytest.mark.parametrize("workers", [1, 2])
def test_engine_and_bare_loops_really_run_side_by_side(
    workers: int, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("FEDVOX_CACHE", str(tmp_path))
    settings = (
        "simulation.sites=2",
        "simulation.patients=1",
        "data.test=0",
        "data.validation=0",
        "data.patch=[8, 8, 8]",
        "model.channels=[4, 8]",
        "training.local_steps=1",
        "training.batch_size=1",
        "training.evaluate_every=0",
        "training.device=cpu",
        "training.precision=fp32",
    )
    (pairs,) = overheads(settings, workers, rounds=2, repeats=1, say=silent)
    assert len(pairs.engine) == len(pairs.bare) == 2, "the first round is not counted"
    assert all(seconds > 0 for seconds in (*pairs.engine, *pairs.bare))
