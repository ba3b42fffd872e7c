"""The one thread that computes, with torch warm and the models of the last studies."""

from __future__ import annotations

import logging
from collections import OrderedDict
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, TypeVar

from fedvox.client.store import Store
from fedvox.common.study import Study, study_hash
from fedvox.common.tasks.task import Prepared

if TYPE_CHECKING:
    from fedvox.client.training.learner import Learner

log = logging.getLogger(__name__)
Result = TypeVar("Result")

_WARM_STUDIES = 2
"""Studies that take turns find their model where they left it."""


class Cancelled(BaseException):
    """Work was stopped before anything of it left.

    No Exception: what was charged for it counts as cut off, not as refused, and is not charged
    again when the work is asked for again.
    """


class Bench:
    """Work is done in one thread, one piece after the other: sums keep their order."""

    def __init__(self) -> None:
        self._pool = ThreadPoolExecutor(1, "trainer")
        self._learners: OrderedDict[str, Learner] = OrderedDict()

    def warm(self) -> None:
        """Loads torch, so that the first request does not wait for it."""
        self._pool.submit(_load).result()

    def do(self, study: Study, gpu_share: float, work: Callable[[Learner], Result]) -> Result:
        """What `work` makes of the study's learner, in so much of the GPU's memory."""

        def done() -> Result:
            _share_gpu(gpu_share)
            return work(self._learner(study))

        return self._pool.submit(done).result()

    def _learner(self, study: Study) -> Learner:
        import torch

        from fedvox.client.training.learner import Learner

        torch.set_num_threads(study.simulation.threads)  # part of the result, as in a simulation
        digest = study_hash(study)
        learner = self._learners.pop(digest, None) or Learner(study)
        self._learners[digest] = learner
        while len(self._learners) > _WARM_STUDIES:
            self._learners.popitem(last=False)
        return learner


def _share_gpu(share: float) -> None:
    """Holds from the next block of memory on, so that a policy may change while this runs."""
    import torch

    if torch.cuda.is_available():
        torch.cuda.set_per_process_memory_fraction(share)


def _load() -> None:
    import torch

    import fedvox.client.training.learner

    log.info("torch %s, %s", torch.__version__, fedvox.client.training.learner.__name__)


class StoppableStore(Store):
    """A store that asks before each case whether to go on."""

    def __init__(self, store: Store, go_on: Callable[[], None]) -> None:
        """`go_on` raises Cancelled where the work is to end."""
        self.folder = store.folder
        self._cases = store
        self._go_on = go_on

    def __contains__(self, key: str) -> bool:
        return key in self._cases

    def get(self, key: str) -> Prepared:
        """The case as a memory map."""
        self._go_on()
        return self._cases.get(key)

    def put(self, key: str, case: Prepared) -> None:
        """Writes the case."""
        self._cases.put(key, case)
