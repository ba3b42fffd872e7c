"""Killed anywhere, in any order: charged, or not charged for work not begun; never sent uncharged.

A site is followed from outside by what it sent: every payload, and every refusal that data decided.
Each must have a charge of its own.
"""

import itertools
import os
import random
import shutil
import signal
import sys
import tempfile
import time
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path
from types import FrameType
from typing import Any

import pytest
from ledgers import CAPS, WIDE, opened, place, reserved, rows, sha, work

from fedvox.client.ledger.ledger import Ledger
from fedvox.client.ledger.once import payload_once
from fedvox.client.ledger.places import places
from fedvox.client.ledger.verify import look
from fedvox.client.ledger.work import Released, Reservation, Work
from fedvox.client.outbox import Outbox
from fedvox.common.errors import DataError, Refusal, SiteError


@pytest.fixture
def home() -> Iterator[Path]:
    """In memory where that can be had: these tests are of the order of things, not of the disk."""
    memory = Path("/dev/shm")
    with tempfile.TemporaryDirectory(dir=memory if os.access(memory, os.W_OK) else None) as folder:
        yield Path(folder) / "home"


def assert_paid(home: Path, sent: list[tuple[int, str]]) -> None:
    """Every row is whole, and every outcome that left has a charge of its own."""
    charged: dict[int, int] = {}
    settled: dict[int, str] = {}
    by_round: dict[int, list[str]] = {}
    for version in places(home):
        found = look(version)
        assert found.findings == ()
        for row in rows(home, version.version):
            if row["kind"] == "reserved":
                charged[row["sequence"]] = row["round"]
            elif row["reservation"]:
                assert charged[row["reservation"]] == row["round"]
                assert row["reservation"] not in settled  # one outcome for each charge
                settled[row["reservation"]] = row["kind"]
                by_round.setdefault(row["round"], []).append(row["payload_sha256"] or "refused")
    for number in {number for number, _ in sent}:
        outcomes = [what for which, what in sent if which == number]
        payloads = {what for what in outcomes if what != "refused"}
        assert len(payloads) <= 1 and payloads <= set(by_round[number])
        assert outcomes.count("refused") <= by_round[number].count("refused")


class Site:
    """A site that stops wherever it is told to, without tidying up."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self.outbox = Outbox(home / "outbox")
        self.sent: list[tuple[int, str]] = []
        self.left_open: list[Ledger] = []

    def ask(self, number: int, stop: str, noise: Iterator[int]) -> None:
        ledger = opened(self.home, WIDE)
        # Not closed: a process that is killed closes nothing.
        self.left_open.append(ledger)
        anchored = place(self.home).anchor.read_bytes()
        answer = ledger.reserve(work(number))
        if stop == "reserved, not anchored":
            place(self.home).anchor.write_bytes(anchored)
            return
        if isinstance(answer, Released):
            self.outbox.get(answer.id, answer.payload_sha256)
            self.sent.append((number, answer.payload_sha256))
        elif stop != "reserved":
            self.settle(number, stop, ledger, answer, f"payload {next(noise)}".encode())

    def settle(
        self, number: int, stop: str, ledger: Ledger, answer: Reservation, payload: bytes
    ) -> None:
        if stop.startswith("refused"):
            ledger.refuse(answer, Refusal.UNSAFE)
            if stop == "refused":
                self.sent.append((number, "refused"))
            return
        digest = self.outbox.put(answer.work.id, payload)
        if stop == "kept":
            return
        ledger.release(answer, digest)
        if stop == "sent":
            self.sent.append((number, digest))


STOPS = ("reserved, not anchored", "reserved", "kept", "released, not sent", "refused, not sent",
         "refused", "sent")  # fmt: skip


@pytest.mark.parametrize("first", STOPS)
def test_every_order_of_stops_retries_and_refusals(home: Path, first: str) -> None:
    """One request, asked again and again: 7 x 49 histories, and the answer to each."""
    for number, rest in enumerate(itertools.product(STOPS, repeat=2)):
        site, noise = Site(home / str(number)), itertools.count()
        for stop in (first, *rest, "sent"):
            site.ask(1, stop, noise)
        assert_paid(site.home, site.sent)
        assert (
            site.sent[-1][1] == rows(site.home)[-1]["payload_sha256"]
        )  # it is answered in the end
        refusals = sum(stop.startswith("refused") for stop in itertools.takewhile(
            lambda stop: stop not in ("sent", "released, not sent"), (first, *rest)
        ))  # fmt: skip
        charges = [row["kind"] for row in rows(site.home)].count("reserved")
        assert charges == 1 + refusals, (first, rest)
        for ledger in site.left_open:
            ledger.close()


def test_several_requests_in_turn_stopped_anywhere(home: Path) -> None:
    rng = random.Random(0)
    for number in range(12):
        site, noise = Site(home / str(number)), itertools.count()
        for _ in range(12):
            site.ask(rng.randrange(3), rng.choice(STOPS), noise)
        assert_paid(site.home, site.sent)
        for ledger in site.left_open:
            ledger.close()


def in_a_child(act: Callable[[], None]) -> int:
    """Runs it in a forked process; answers the signal that ended it, or 0."""
    child = os.fork()
    if child == 0:
        try:
            act()
            os._exit(0)
        except BaseException:
            traceback.print_exc()
            os._exit(1)
    status = os.waitpid(child, 0)[1]
    assert os.waitstatus_to_exitcode(status) in (0, -signal.SIGKILL)
    return os.WTERMSIG(status) if os.WIFSIGNALED(status) else 0


WATCHED = {
    "execute", "fsync", "fdatasync", "rename", "replace", "pwrite", "write", "mkdir", "close",
    "unlink",
}  # fmt: skip
"""Where what is on the disk may change."""


def killed_at(count: int, act: Callable[[], None]) -> Callable[[], None]:
    """Done until the system, or sqlite, would be called for the count-th time."""
    left = count

    def watch(_frame: FrameType, event: str, called: Any) -> None:
        nonlocal left
        if event == "c_call" and called.__name__ in WATCHED:
            left -= 1
            if left == 0:
                os.kill(os.getpid(), signal.SIGKILL)

    def run() -> None:
        sys.setprofile(watch)
        act()
        sys.setprofile(None)

    return run


def life(home: Path, tell: Callable[[int, str], None]) -> None:
    """Two versions of the data; work that is sent, work that is refused, work that is declined."""
    outbox = Outbox(home / "outbox")

    def unsafe(_: Reservation) -> bytes:
        raise SiteError(Refusal.UNSAFE, "on purpose")

    def asked(ledger: Ledger, which: Work, perform: Callable[[Reservation], bytes]) -> None:
        try:
            payload = payload_once(ledger, outbox, which, perform)
            tell(which.id.round, sha(payload.decode()))
        except SiteError as error:
            assert error.refusal is Refusal.UNSAFE
            tell(which.id.round, "refused")

    with opened(home) as ledger:
        asked(ledger, work(1), lambda _: f"{time.monotonic_ns()}".encode())
        asked(ledger, work(2, noise=5.0), unsafe)
    with opened(home, CAPS, "v2") as ledger:
        ledger.decline(work(3), Refusal.STUDY)
        asked(ledger, work(4, noise=5.0), lambda _: f"{time.monotonic_ns()}".encode())


def told_in(path: Path) -> Callable[[int, str], None]:
    def tell(number: int, what: str) -> None:
        with path.open("a") as file:
            file.write(f"{number} {what}\n")

    return tell


def what_was_told(path: Path) -> list[tuple[int, str]]:
    if not path.exists():
        return []
    lines = [line.split() for line in path.read_text().splitlines() if line.count(" ") == 1]
    return [(int(number), what) for number, what in lines]


def test_killed_at_every_call_of_the_system(home: Path) -> None:
    """And what is left can always be gone on with."""
    home.parent.mkdir(exist_ok=True)
    life(home.parent / "warm", lambda number, what: None)  # epsilons are known from here on
    told = home.parent / "told"
    for count in itertools.count(1):
        signalled = in_a_child(killed_at(count, lambda: life(home, told_in(told))))
        try:
            life(home, told_in(told))
        except DataError:  # stopped after the first version was closed
            with opened(home, CAPS, "v2") as ledger:
                assert isinstance(ledger.reserve(work(4, noise=5.0)), Reservation | Released)
        assert_paid(home, what_was_told(told))
        shutil.rmtree(home)
        told.unlink(missing_ok=True)
        if not signalled:
            break
    assert count > 100  # it was killed at so many places


def test_killed_at_any_moment_over_and_over(home: Path) -> None:
    """By a clock rather than by a count, and inside sqlite as well."""
    rng = random.Random(1)
    home.mkdir()
    told = home / "told"
    with opened(home, WIDE) as ledger:
        reserved(ledger, work(0, noise=30.0))

    def loop() -> None:
        tell = told_in(told)
        outbox = Outbox(home / "outbox")
        with opened(home, WIDE) as ledger:
            for number in itertools.count(len(rows(home)) // 4):
                asked = work(number, noise=30.0)
                payload = payload_once(
                    ledger, outbox, asked, lambda _: os.urandom(64).hex().encode()
                )
                tell(number, sha(payload.decode()))

    killed = 0
    for _ in range(25):
        child = os.fork()
        if child == 0:
            try:
                loop()
            finally:
                os._exit(1)
        time.sleep(rng.uniform(0.01, 0.12))
        os.kill(child, signal.SIGKILL)
        killed += os.WIFSIGNALED(os.waitpid(child, 0)[1])
        assert_paid(home, what_was_told(told))
    assert killed == 25 and len(what_was_told(told)) > 25
