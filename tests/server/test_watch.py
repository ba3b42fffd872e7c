from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console, ConsoleDimensions

from fedvox.common.errors import InputError
from fedvox.server.events import Event
from fedvox.server.watch import many, watch_for
from fedvox.server.watch.live import Screen, live
from fedvox.server.watch.plain import plain
from fedvox.server.watch.progress import Progress
from fedvox.server.watch.screen import screen
from fedvox.server.watch.tensorboard import tensorboard

SUMMARY: dict[str, Any] = {
    "study": "phantom",
    "status": "done",
    "headline": "dice",
    "wall_s": 61.2,
    "union": {"dice": 0.8123},
    "metrics": {"dice": 0.8},
    "sites": [{"name": "a", "metrics": {"dice": 0.83}}, {"name": "b", "metrics": {"dice": None}}],
    "baselines": {
        "pooled": {"metrics": {"dice": 0.82}},
        "local": {"a": {"metrics": {"dice": 0.6}}, "b": {"metrics": {"dice": 0.7}}},
    },
    "report": "runs/x/report.html",
}


def script(rounds: int = 2) -> Iterator[Event]:
    """The events of a small run: site b refuses in round 2."""
    yield Event("prepare", figures={"done": 1, "total": 2}, detail={"what": "cases"})
    yield Event("prepare", figures={"done": 2, "total": 2}, detail={"what": "cases"})
    detail = {"study": "phantom", "task": "segmentation", "strategy": "fedavg", "rounds": rounds}
    yield Event("started", detail={**detail, "sites": ["a", "b"], "parameters": 9})
    for number in range(1, rounds + 1):
        for site in "ab":
            yield Event("asked", number, site)
        yield Event("trained", number, "a", {"loss": 0.5, "seconds": 1.0, "examples": 18})
        if number == 2:
            yield Event("refused", 2, "b", detail={"code": "labels", "sentence": "do not fit"})
        else:
            yield Event("trained", number, "b", {"loss": 0.7, "seconds": 1.0, "examples": 7})
        yield Event("closed", number, "", {"loss": 0.6, "seconds": 2.0, "bytes_up": 10})
        yield Event("evaluated", number, "a", {"dice": 0.5}, {"split": "validation"})
        yield Event("evaluated", number, "", {"dice": 0.25}, {"split": "validation"})
    yield Event("note", detail={"text": "a remark"})
    yield Event("baseline", site="pooled", figures={"done": 3, "total": 6})
    yield Event("baseline", site="pooled", figures={"done": 6, "total": 6})
    yield Event("finished", detail=SUMMARY)


class Clock:
    """Goes on by one second each time a round is closed."""

    now = 100.0

    def __call__(self) -> float:
        return self.now


PLAIN = """\
prepared cases: 2
phantom · segmentation · fedavg: 2 sites, 2 rounds
round 1/2  2 of 2 sites  loss 0.600  2.0 s  10 s left
round 1: Dice 0.250 on validation patients of all sites
round 2: b sent no update: do not fit
round 2/2  1 of 2 sites  loss 0.600  2.0 s
round 2: Dice 0.250 on validation patients of all sites
note: a remark
baseline pooled: 6 steps
Dice on test patients
  federated            0.812
  pooled               0.820
  best site alone (b)  0.700
  federated at a       0.830
  federated at b       –
done in 1 min 01 s
report: runs/x/report.html
"""


def test_plain_lines() -> None:
    stream, clock = StringIO(), Clock()
    watch = plain(stream, Progress(clock=clock))
    for event in script():
        if event.kind == "closed":
            clock.now += 10
        watch(event)
    assert stream.getvalue() == PLAIN


def test_json_lines_end_with_the_summary() -> None:
    stream = StringIO()
    with watch_for("json", stream) as watch:
        watch(Event("trained", 3, "a", {"loss": float("nan"), "examples": 2}))
        for event in script():
            watch(event)
    lines = [json.loads(line) for line in stream.getvalue().splitlines()]
    assert lines[0] == {
        "event": "trained",
        "round": 3,
        "site": "a",
        "figures": {"loss": None, "examples": 2},
    }
    assert len(lines) == 1 + len(list(script()))
    assert lines[-1] == {"event": "finished", **SUMMARY}


def test_quiet_says_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    with watch_for("quiet") as watch:
        for event in script():
            watch(event)
    assert capsys.readouterr() == ("", "")


def test_auto_is_plain_where_there_is_no_terminal() -> None:
    stream = StringIO()
    with watch_for("auto", stream) as watch:
        watch(Event("note", detail={"text": "hello"}))
    assert stream.getvalue() == "note: hello\n"


def test_an_unknown_console_is_refused() -> None:
    with pytest.raises(InputError, match="did you mean 'plain'"), watch_for("plan"):
        pass


def test_many_pass_every_event_on_in_order() -> None:
    seen: list[tuple[str, str]] = []
    watch = many(lambda e: seen.append(("a", e.kind)), lambda e: seen.append(("b", e.kind)))
    watch(Event("note"))
    assert seen == [("a", "note"), ("b", "note")]


def picture(known: Progress, height: int = 40) -> str:
    console = Console(file=StringIO(), width=100, height=height, force_terminal=True, record=True)
    console.print(screen(known, ConsoleDimensions(100, height)))
    return console.export_text()


def test_the_screen_shows_round_states_and_time_left() -> None:
    clock = Clock()
    known = Progress(clock=clock)
    for event in script(rounds=4):
        if event.kind == "closed":
            clock.now += 10
        if event.round == 3:
            break
        known.add(event)
    known.add(Event("asked", 3, "a"))
    text = picture(known)
    assert "round 3 of 4" in text and "2/4" in text
    assert "20 s elapsed" in text and "about 20 s left" in text
    assert "Dice 0.250" in text
    rows = {line.split()[0]: line.split()[1:] for line in text.splitlines() if line.strip()}
    assert rows["a"] == ["training", "18", "0.500", "0.500"]
    assert rows["b"] == ["waiting", "7", "0.700"]


def test_a_refusal_stands_in_the_row() -> None:
    known = Progress()
    for event in script():
        known.add(event)
        if event.kind == "refused":
            break
    assert "refused: labels" in picture(known)


def test_a_thousand_sites_fit_the_terminal_and_trouble_comes_first() -> None:
    names = [f"site-{index}" for index in range(1000)]
    known = Progress()
    known.add(Event("started", detail={"rounds": 2, "sites": names, "study": "s"}))
    known.add(Event("asked", 1, names[500]))
    known.add(Event("refused", 1, names[900], detail={"code": "resources"}))
    text = picture(known, height=24)
    assert len(text.splitlines()) <= 24
    assert text.index("site-900") < text.index("site-500") < text.index("site-0 ")
    assert "and 985 more" in text


def test_live_draws_and_leaves_the_result() -> None:
    console = Console(
        file=StringIO(), width=100, height=40, force_terminal=True, record=True, color_system=None
    )
    with live(console=console) as watch:
        for event in script():
            watch(event)
    text = console.export_text()
    assert "a remark" in text
    after = text[text.rindex("all together") :]
    assert [line.split()[-1] for line in after.splitlines()[2:5]] == ["0.812", "0.820", "0.700"]
    assert "report: runs/x/report.html" in after


def test_live_keeps_the_last_picture_of_a_run_that_failed() -> None:
    console = Console(file=StringIO(), width=100, height=40, force_terminal=True, record=True)
    with pytest.raises(RuntimeError), live(console=console) as watch:
        for event in script():
            if event.kind == "note":
                raise RuntimeError
            watch(event)
    assert "refused: labels" in "\n".join(console.export_text().splitlines()[-4:])
    assert not any(thread.name == "fedvox-console" for thread in threading.enumerate())


def test_live_costs_little() -> None:
    console = Console(file=StringIO(), width=100, height=40, force_terminal=True)
    names = [f"site-{index}" for index in range(30)]
    with Screen(console) as shown:
        shown.watch(Event("started", detail={"rounds": 9, "sites": names, "study": "s"}))
        time.sleep(0.3)
        begun_s, used_s = time.perf_counter(), time.process_time()
        while time.perf_counter() - begun_s < 2:
            shown.watch(Event("asked", 1, names[0]))
            time.sleep(0.05)
        share = (time.process_time() - used_s) / (time.perf_counter() - begun_s)
    assert share < 0.03, f"the console took {share:.1%} of a core"


def test_watches_may_be_called_from_many_threads() -> None:
    stream = StringIO()
    with watch_for("json", stream) as watch:
        threads = [threading.Thread(target=lambda: [watch(e) for e in script()]) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert len([json.loads(line) for line in stream.getvalue().splitlines()]) == 4 * len(
        list(script())
    )


def scalars(folder: Path) -> dict[str, list[tuple[int, float]]]:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    read = EventAccumulator(str(folder))
    read.Reload()
    return {
        tag: [(item.step, round(item.value, 4)) for item in read.Scalars(tag)]
        for tag in read.Tags()["scalars"]
    }


def test_tensorboard_reads_back(tmp_path: Path) -> None:
    with tensorboard(tmp_path / "tb") as watch:
        for event in script():
            watch(event)
    found = scalars(tmp_path / "tb")
    assert found["train/loss"] == [(1, 0.6), (2, 0.6)]
    assert found["train/loss/a"] == [(1, 0.5), (2, 0.5)]
    assert found["train/loss/b"] == [(1, 0.7)]
    assert found["validation/dice"] == [(1, 0.25), (2, 0.25)]
    assert found["round/bytes_up"] == [(1, 10.0), (2, 10.0)]
    assert "train/examples/a" not in found


def test_tensorboard_forgets_rounds_that_a_resume_does_again(tmp_path: Path) -> None:
    with tensorboard(tmp_path) as watch:
        for number in (1, 2, 3):
            watch(Event("closed", number, figures={"loss": float(number)}))
    with tensorboard(tmp_path) as watch:
        watch(Event("started", detail={"resumed_from": 1}))
        for number in (2, 3):
            watch(Event("closed", number, figures={"loss": 10.0 * number}))
    assert scalars(tmp_path)["train/loss"] == [(1, 1.0), (2, 20.0), (3, 30.0)]
    assert len(list(tmp_path.iterdir())) == 2
