"""Work done in another thread, in order; whoever settles waits for it and hears what failed."""

import threading

import pytest

from fedvox.simulations.afterwards import Afterwards


def test_work_is_done_in_order_and_settled() -> None:
    done: list[int] = []
    with Afterwards() as afterwards:
        for number in range(20):
            afterwards(lambda number=number: done.append(number))  # type: ignore[misc]
        afterwards.settle()
        assert done == list(range(20))


def test_the_caller_goes_on_while_it_is_done_but_not_too_far() -> None:
    gate, begun = threading.Event(), threading.Semaphore(0)

    def ask(afterwards: Afterwards) -> None:
        for _ in range(9):
            afterwards(gate.wait)  # type: ignore[arg-type]
            begun.release()

    with Afterwards() as afterwards:
        asking = threading.Thread(target=ask, args=(afterwards,))
        asking.start()
        for _ in range(4):
            assert begun.acquire(timeout=10), "four pieces may wait"
        assert not begun.acquire(timeout=0.2), "the fifth is waited for: memory is bounded"
        gate.set()
        asking.join()
        afterwards.settle()


def test_what_went_wrong_is_raised_by_settle_once() -> None:
    def fail() -> None:
        raise OSError("disk full")

    with Afterwards() as afterwards:
        afterwards(fail)
        with pytest.raises(OSError, match="disk full"):
            afterwards.settle()
        afterwards.settle()
