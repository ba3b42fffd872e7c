import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest
from flwr.app import ConfigRecord, Context, Message, RecordDict
from flwr.clientapp import ClientApp

from fedvox.simulations.inprocess import InProcessGrid


def app_of(work: Callable[[int], int]) -> ClientApp:
    """Answers with what `work` makes of the partition number."""
    app = ClientApp()

    def handle(message: Message, context: Context) -> Message:
        number = work(int(context.node_config["partition-id"]))
        return Message(RecordDict({"n": ConfigRecord({"n": number})}), reply_to=message)

    app.train()(handle)
    return app


@contextmanager
def grid_of(work: Callable[[int], int], sites: int, workers: int) -> Iterator[InProcessGrid]:
    with InProcessGrid(app_of(work), sites, workers) as grid:
        yield grid


def ask_all(grid: InProcessGrid) -> list[Message]:
    return [Message(RecordDict(), dst_node_id=n, message_type="train") for n in grid.get_node_ids()]


def number(message: Message) -> int:
    return int(message.content.config_records["n"]["n"])  # type: ignore[arg-type]


def test_every_node_answers_with_its_own_partition() -> None:
    with grid_of(lambda n: n * n, 7, 3) as grid:
        sent = ask_all(grid)
        asked = dict(zip(grid.push_messages(sent), range(7), strict=True))
        found: dict[int, int] = {}
        while len(found) < 7:
            for answer in grid.pull_messages(list(asked)):
                found[asked[answer.metadata.reply_to_message_id]] = number(answer)
    assert found == {n: n * n for n in range(7)}


def test_send_and_receive_waits_for_all() -> None:
    with grid_of(lambda n: n, 5, 2) as grid:
        assert sorted(number(a) for a in grid.send_and_receive(ask_all(grid))) == [0, 1, 2, 3, 4]


def test_workers_do_not_run_ahead_of_who_takes_the_answers() -> None:
    """A thousand sites hold no more answers than a few workers have room for."""
    begun: list[int] = []

    def work(n: int) -> int:
        begun.append(n)
        return n

    with grid_of(work, 1000, 2) as grid:
        asked = list(grid.push_messages(ask_all(grid)))
        deadline = time.monotonic() + 5
        while len(begun) < 4 and time.monotonic() < deadline:
            time.sleep(0.01)
        time.sleep(0.2)
        assert len(begun) == 4, "two workers, two answers each"
        taken = 0
        while taken < 1000:
            taken += len(list(grid.pull_messages(asked)))
    assert sorted(begun) == list(range(1000))


def test_an_answer_nobody_waits_for_makes_room_all_the_same() -> None:
    with grid_of(lambda n: n, 8, 1) as grid:
        asked = list(grid.push_messages(ask_all(grid)))
        found: list[int] = []
        while 7 not in found:
            found += [number(answer) for answer in grid.pull_messages(asked[-1:])]
    assert found == [7]


def test_leaving_drops_what_nobody_has_begun() -> None:
    begun: list[int] = []
    with grid_of(lambda n: begun.append(n) or n, 100, 1) as grid:  # type: ignore[func-returns-value]
        grid.push_messages(ask_all(grid))
    assert len(begun) < 5 and not any(
        t.name.startswith("site-worker") for t in threading.enumerate()
    )


def test_leaving_by_an_interruption_stops_sites_that_are_at_work() -> None:
    at_work = threading.Event()

    def work(n: int) -> int:
        at_work.set()
        for _ in range(3000):  # half a minute of training
            time.sleep(0.01)
        return n

    begun = time.monotonic()
    with pytest.raises(KeyboardInterrupt), grid_of(work, 2, 2) as grid:
        grid.push_messages(ask_all(grid))
        assert at_work.wait(5)
        raise KeyboardInterrupt
    assert time.monotonic() - begun < 5
    assert not any(t.name.startswith("site-worker") for t in threading.enumerate())
