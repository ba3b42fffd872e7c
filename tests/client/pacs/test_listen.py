"""The listener as a process: what it ingests, and what it survives."""

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from command import fedvox
from pacs_peers import ROOMY, associated, ct, ct_files, receiving, storescu

from fedvox.client.pacs.ingesting import Ingested, IngestFailed
from fedvox.client.pacs.listen import Emptying, Rest, listen
from fedvox.client.pacs.spool import Spool


@dataclass
class Listener:
    """A `fedvox site listen` that runs."""

    process: "subprocess.Popen[str]"
    port: int
    log: Path

    def end(self, number: int = signal.SIGTERM) -> dict[str, Any]:
        """Its summary."""
        self.process.send_signal(number)
        out, _ = self.process.communicate(timeout=60)
        assert self.process.returncode == 0, self.log.read_text()
        return dict(json.loads(out.splitlines()[-1]))


def until(what: Callable[[], Any], within_s: float = 60) -> Any:
    deadline = time.monotonic() + within_s
    while not (found := what()):
        assert time.monotonic() < deadline
        time.sleep(0.05)
    return found


@contextmanager
def listening(home: Path, *words: str) -> Iterator[Listener]:
    command = [str(Path(sys.executable).with_name("fedvox")), "site", "listen", "--home", str(home)]
    command += ["--dataset", "d", "--port", "0", "--json", "--reserve-mib", "1", *words]
    log = home / "listen.log"
    home.mkdir(exist_ok=True)
    with log.open("wb") as stderr:
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=stderr, text=True)

    def port() -> int:
        assert process.poll() is None, log.read_text()
        ready = [line for line in log.read_text().splitlines() if line.startswith("ready:")]
        return int(ready[0].split("port ")[1].split()[0]) if ready else 0

    try:
        with process:
            yield Listener(process, until(port), log)
    finally:
        process.kill()


def held(home: Path) -> int:
    """Cases of the dataset's newest version."""
    from fedvox.client.dataset.dataset import Dataset
    from fedvox.common.errors import DataError

    try:
        return len(Dataset.open(home, "d").cases())
    except DataError:
        return 0


def objects(home: Path) -> list[Path]:
    return list((home / "pacs").rglob("*.dcm"))


def test_what_is_pushed_is_ingested_and_a_killed_listener_goes_on(tmp_path: Path) -> None:
    home, files = tmp_path / "home", ct_files(tmp_path / "src", 1) + ct_files(tmp_path / "src", 2)
    with listening(home, "--quiet-s", "0.5") as first:
        assert storescu(first.port, tmp_path / "src") == ""
        until(lambda: held(home) == 2)
        until(lambda: not objects(home))
        summary = first.end()
    assert (summary["received"], summary["studies"], summary["ingested"]) == (8, 2, 2)
    assert (summary["waiting"], summary["quarantined"], summary["refused"]) == (0, {}, 0)
    said = first.log.read_text() + json.dumps(summary)
    assert "PAT-1" not in said and "1.2.826" not in said and str(files[0]) not in said

    with listening(home, "--quiet-s", "600") as second, associated(second.port) as sender:
        third, fourth = ct(3), ct(4, 1, size=600)
        assert [sender.send_c_store(image).Status for image in third] == [0] * 4
        begin = threading.Thread(target=sender.send_c_store, args=(fourth[0],))
        begin.start()
        until(lambda: list((home / "pacs/d/listen/arriving").iterdir()) or len(objects(home)) > 4)
        second.process.kill()
        begin.join()
    assert len(objects(home)) >= 4 and held(home) == 2
    with listening(home, "--quiet-s", "600") as third_time:
        until(lambda: held(home) >= 3)
        until(lambda: not objects(home))
        assert not list((home / "pacs/d/listen/arriving").iterdir())
        assert third_time.end()["received"] == 0


def test_it_ends_in_order_while_somebody_sends(tmp_path: Path) -> None:
    home = tmp_path / "home"
    with (
        listening(home, "--quiet-s", "600") as running,
        associated(running.port, patience_s=2) as sender,  # it may miss that it was aborted
    ):
        acknowledged = 0
        for number, image in enumerate(ct(1, 60, size=100)):
            if number == 20:
                running.process.terminate()
            try:
                status = sender.send_c_store(image)
            except RuntimeError:
                break
            acknowledged += status.get("Status") == 0
        summary = running.end(signal.SIGCONT)
    assert acknowledged >= 20
    assert len(objects(home)) == summary["received"] >= acknowledged


def test_who_may_send_by_default(tmp_path: Path) -> None:
    with listening(tmp_path / "home") as running:
        text = running.log.read_text()
        assert "127.0.0.1" in text
        said = fedvox(
            "site", "listen", "--home", tmp_path / "home", "--dataset", "d", "--port", "0"
        )
        assert said.status == 2 and "another process" in said.err
        assert running.end(signal.SIGINT)["received"] == 0


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--ae-title", "way too long a title"], "AE title"),
        (["--allow", "PACS@"], "AE@HOST"),
        (["--tls-cert", "x.pem"], "--tls-key"),
        (["--dataset", "../x"], "dataset's name"),
    ],
)
def test_what_cannot_be_used_is_said(tmp_path: Path, words: Sequence[str], said: str) -> None:
    base = ["site", "listen", "--home", str(tmp_path), "--dataset", "d", "--port", "0"]
    done = fedvox(*base, *words)
    assert done.status == 2 and said in done.err


def test_a_study_rests_before_it_is_taken(tmp_path: Path) -> None:
    taken: list[int] = []

    def ingest(folders: Sequence[Path]) -> Ingested:
        taken.append(sum(1 for folder in folders for _ in folder.rglob("*.dcm")))
        return Ingested()

    stop = threading.Event()
    rest = Rest(0.4)
    with receiving(tmp_path, received=rest.touched) as here:
        emptying = Emptying(here.spool, ingest, lambda text: None)
        work = threading.Thread(
            target=listen, args=(here.receiver, here.spool, rest, emptying, stop)
        )
        work.start()
        with associated(here.port) as sender:
            for image in ct(1):
                assert sender.send_c_store(image).Status == 0
                time.sleep(0.6)  # longer than the rest: the sender has not left
            assert taken == []
        until(lambda: taken == [4], 20)
        stop.set()
        work.join()


def test_one_study_that_spoils_the_ingest_does_not_spoil_the_others(tmp_path: Path) -> None:
    good: list[str] = []

    def ingest(folders: Sequence[Path]) -> Ingested:
        if any(b"BAD" in path.read_bytes() for f in folders for path in f.rglob("*.dcm")):
            raise IngestFailed("the ingest ended with status -11")
        good.extend(folder.name for folder in folders)
        return Ingested(ingested=len(folders))

    said: list[str] = []
    with Spool(tmp_path, "d", "listen", ROOMY) as spool:
        for number in (1, 2, 3):
            text = "BAD" if number == 2 else "GOOD"
            part = spool.begin()
            part.write(
                ct_files(tmp_path / "src", number, 1, SeriesDescription=text)[0].read_bytes()
            )
            spool.store(part)
        emptying = Emptying(spool, ingest, said.append)
        done = emptying.turn(spool.studies())
        assert len(done) == len(good) == 2 and len(spool.taken()) == 1
        assert emptying.outcome.studies == emptying.outcome.ingest.ingested == 2
        assert any("tried again" in line for line in said)
        assert emptying.turn([]) == [] and len(said) == 3  # not at once
    with Spool(tmp_path, "d", "listen", ROOMY) as spool:
        again = Emptying(spool, lambda folders: Ingested(), said.append)
        assert len(again.turn([])) == 1 and spool.taken() == []


def test_an_ingest_ends_with_the_listener(tmp_path: Path) -> None:
    from fedvox.client.pacs.ingesting import IngestCommand, IngestStopped

    stop = threading.Event()
    stop.set()
    ct_files(tmp_path / "src", 1)
    before = os.times().elapsed
    with pytest.raises(IngestStopped):
        IngestCommand(tmp_path, "d", (), stop)([tmp_path / "src"])
    assert os.times().elapsed - before < 20


def test_an_ingest_that_fails_is_told_from_one_that_finds_nothing(tmp_path: Path) -> None:
    from fedvox.client.pacs.ingesting import IngestCommand

    (tmp_path / "src").mkdir()
    (tmp_path / "src" / "x.dcm").write_bytes(b"no image")
    assert IngestCommand(tmp_path, "d")([tmp_path / "src"]).quarantined.total() == 1
    with pytest.raises(IngestFailed, match="status 2"):
        IngestCommand(tmp_path, "d", ("--no-such-option",))([tmp_path / "src"])
