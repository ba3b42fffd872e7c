"""Several threads and processes at one ledger: none pays twice, none sends what another paid for."""

import hashlib
import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from ledgers import CAPS, WIDE, kinds, opened, place, reserved, rows, sha, work

from fedvox.client.ledger.once import payload_once
from fedvox.client.ledger.verify import look
from fedvox.client.ledger.work import Released, Reservation
from fedvox.client.outbox import Outbox
from fedvox.common.errors import Refusal, SiteError
from fedvox.common.privacy.account import Account
from fedvox.common.privacy.charge import Charge

WORKERS = 6


def asked(home: Path, which: int, own: int, noise: float = 30.0) -> dict[int, str]:
    """A worker with the ledger opened for itself: the common work, then some of its own."""
    outbox = Outbox(home / "outbox")
    got = {}
    with opened(home, WIDE) as ledger:
        for number in (0, *(100 * (which + 1) + n for n in range(own))):
            try:
                which_work = work(number, noise=noise)
                payload = payload_once(ledger, outbox, which_work, lambda _: os.urandom(8))
                got[number] = hashlib.sha256(payload).hexdigest()
            except SiteError as error:  # another attempt at the common work was the first
                assert error.refusal is Refusal.INTERNAL and number == 0
    return got


def assert_each_was_paid_once(home: Path, works: int) -> None:
    charged = [(row["study"], row["round"]) for row in rows(home) if row["kind"] == "reserved"]
    assert len(charged) == len(set(charged)) == works
    sent = [row["round"] for row in rows(home) if row["kind"] == "released"]
    assert sorted(sent) == sorted(number for _, number in charged)
    assert look(place(home)).findings == ()
    spent = Account([Charge(0.1, 30.0, 30 * works)]).epsilon(1e-3)
    assert max(row["life_after"] for row in rows(home)) == spent


def test_threads_with_a_ledger_each(tmp_path: Path) -> None:
    with ThreadPoolExecutor(WORKERS) as pool:
        got = list(pool.map(lambda which: asked(tmp_path, which, 4), range(WORKERS)))
    sent = {row["round"]: row["payload_sha256"] for row in rows(tmp_path)}
    assert any(0 in some for some in got)
    assert all(some[number] == sent[number] for some in got for number in some)
    assert_each_was_paid_once(tmp_path, 1 + 4 * WORKERS)


def test_threads_that_share_one(tmp_path: Path) -> None:
    with opened(tmp_path, WIDE) as ledger, ThreadPoolExecutor(WORKERS) as pool:

        def one(number: int) -> None:
            reservation = reserved(ledger, work(number, noise=30.0))
            ledger.release(reservation, sha(number))

        list(pool.map(one, range(24)))
    assert_each_was_paid_once(tmp_path, 24)


def test_processes(tmp_path: Path) -> None:
    opened(tmp_path, WIDE).close()
    for number in range(5):  # epsilons are known before the processes part
        reserved_epsilon(number)
    children = []
    for which in range(WORKERS):
        child = os.fork()
        if child == 0:
            try:
                asked(tmp_path, which, 4)
                os._exit(0)
            finally:
                os._exit(1)
        children.append(child)
    assert [os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children] == [
        0
    ] * WORKERS
    assert_each_was_paid_once(tmp_path, 1 + 4 * WORKERS)


def reserved_epsilon(works: int) -> float:
    return Account([Charge(0.1, 30.0, 30 * (works + 1))]).epsilon(1e-3)


def test_only_one_of_many_attempts_at_the_same_work_is_sent(tmp_path: Path) -> None:
    with opened(tmp_path) as ledger:
        attempts = [reserved(ledger, work()) for _ in range(WORKERS)]
        assert [attempt.resumed for attempt in attempts] == [False] + [True] * (WORKERS - 1)

        def settle(which: int) -> bool:
            try:
                ledger.release(attempts[which], sha(which))
            except SiteError:
                return False
            return True

        with ThreadPoolExecutor(WORKERS) as pool:
            sent = list(pool.map(settle, range(WORKERS)))
        answer = ledger.reserve(work())
    assert sum(sent) == 1 and isinstance(answer, Released)
    assert answer.payload_sha256 == sha(sent.index(True))
    assert kinds(tmp_path) == ["opened", "reserved", "released"]


def test_the_cap_is_not_passed_by_many_at_once(tmp_path: Path) -> None:
    def ask(number: int) -> bool:
        with opened(tmp_path) as ledger:
            try:
                return isinstance(ledger.reserve(work(number)), Reservation)
            except SiteError as error:
                assert error.refusal is Refusal.BUDGET
                return False

    with ThreadPoolExecutor(WORKERS) as pool:
        allowed = sum(pool.map(ask, range(16)))
    affordable = max(
        n for n in range(1, 40) if Account([Charge(0.1, 1.0, 30 * n)]).epsilon(1e-3) <= 8.0
    )
    assert allowed == affordable
    assert max(row["study_after"] for row in rows(tmp_path)) <= CAPS.study_epsilon


def test_a_new_version_is_begun_once_by_many_at_once(tmp_path: Path) -> None:
    with opened(tmp_path) as ledger:
        reserved(ledger, work())

    def begin(_: int) -> float:
        with opened(tmp_path, CAPS, "v2") as ledger:
            return ledger.head().count

    with ThreadPoolExecutor(WORKERS) as pool:
        assert list(pool.map(begin, range(WORKERS))) == [1] * WORKERS
    assert kinds(tmp_path) == ["opened", "reserved", "closed"]
    assert look(place(tmp_path, "v2")).findings == ()


def test_one_that_reads_meanwhile_finds_it_whole(tmp_path: Path) -> None:
    opened(tmp_path, WIDE).close()
    with ThreadPoolExecutor(1) as pool:
        writing = pool.submit(asked, tmp_path, 0, 20)
        looks = [look(place(tmp_path))]
        while not writing.done():
            looks.append(look(place(tmp_path)))
    assert all(found.findings == () for found in looks)
    assert len({len(found.links) for found in looks}) > 2  # it was looked at while it grew
