"""A step of training, taken for real in a process of its own and then forgotten.

Of its own, so that a system that ends it for want of memory does not end the check, and so that
its memory is what a trainer would take. Nothing of it is charged: nothing of it leaves.
"""

from __future__ import annotations

import multiprocessing
import resource
import time
from collections.abc import Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from fedvox.client.check.supply import Supply
from fedvox.client.site import People
from fedvox.client.store import Store
from fedvox.common.errors import FedvoxError, SiteError
from fedvox.common.study import Study, dump_study, parse_study

if TYPE_CHECKING:
    from torch import Tensor

    from fedvox.client.local import LocalWork
    from fedvox.client.training.learner import Learner

_LONG_S = 20.0
"""A first step that took longer is taken as typical; a shorter one has warmed up for a second."""


@dataclass(frozen=True)
class Trial:
    """What a step took."""

    device: str
    step_s: float
    peak_bytes: int
    """Of the graphics card's memory, or of the process."""
    limit_bytes: int
    """Of either, what there is; 0: not known."""
    on_gpu: bool


@dataclass(frozen=True)
class Failed:
    """Why there was no step."""

    text: str
    for_want_of_memory: bool = False


@dataclass(frozen=True)
class _Order:
    """What the other process is told."""

    study: str
    folder: Path
    """Of the prepared cases of the contract."""
    people: People
    gpu_share: float


def try_out(home: Path, study: Study, supply: Supply) -> Trial | Failed:
    """Takes a step on the site's own training patients."""
    from fedvox.client.policy.load import PolicyError
    from fedvox.client.policy.signature import policy_of

    try:
        gpu_share = policy_of(home).resources.gpu_share
    except PolicyError:  # told elsewhere
        gpu_share = 1.0
    order = _Order(dump_study(study), supply.store.folder, supply.roster.people["train"], gpu_share)
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as pool:
        try:
            return pool.submit(_try, order).result()
        except BrokenProcessPool:
            return Failed("the system ended the trial, most likely for want of memory", True)


def _try(order: _Order) -> Trial | Failed:
    try:
        return _tried(order)
    except MemoryError:
        return Failed("the machine's memory is not enough", True)
    except SiteError as error:
        return Failed(error.detail or str(error))
    except FedvoxError as error:
        return Failed(str(error))
    except RuntimeError as error:
        from torch import OutOfMemoryError

        if isinstance(error, OutOfMemoryError):
            return Failed("the graphics card's memory is not enough", True)
        return Failed(f"{type(error).__name__}: {error}")


def _tried(order: _Order) -> Trial:
    import torch

    from fedvox.client.training.learner import Learner

    study = parse_study(order.study)
    torch.set_num_threads(study.simulation.threads)
    _forget_peak()
    learner = Learner(study)
    device = learner.device.torch_device
    on_gpu = device.type == "cuda"
    if on_gpu:
        torch.cuda.set_per_process_memory_fraction(order.gpu_share, device)
        torch.cuda.reset_peak_memory_stats(device)
    step_s = _step_s(learner, order)
    if step_s < _LONG_S:
        step_s = _step_s(learner, order)
    if on_gpu:
        total = torch.cuda.get_device_properties(device).total_memory
        limit = int(order.gpu_share * total)
        peak = torch.cuda.max_memory_allocated(device)
        return Trial(str(learner.device), step_s, peak, limit, True)
    from fedvox.client.check.machine import memory_bytes

    return Trial(str(learner.device), step_s, _peak_bytes(), memory_bytes("MemTotal"), False)


def _step_s(learner: Learner, order: _Order) -> float:
    """Seconds of one step, from the study's first weights on."""
    from fedvox.client.local import LocalWork
    from fedvox.client.training.batches import Batches
    from fedvox.client.training.schedule import Stretch
    from fedvox.common.tasks.task import initial_weights

    study = learner.study
    store = Store(order.folder.parent, order.folder.name)
    keys = [key for cases in order.people for key in cases]
    batches = Batches(learner.task, store, keys, 0, study.training.balance)
    weights = initial_weights(study)
    work = LocalWork(learner, weights, {}, {}, batches, Stretch(1, 0.0, 1 / study.training.rounds))
    begun = time.perf_counter()
    if study.privacy.mode == "none":
        found = batches.of(work.stretch, study.training.batch_size, learner.device)
        gradients: Iterable[Tensor] = learner.gradients(found)
    else:
        gradients = _private(work, store, order.people)
    learner.train(weights, _awaited(gradients, learner), work.stretch)
    return time.perf_counter() - begun


def _private(work: LocalWork, store: Store, people: People) -> Iterable[Tensor]:
    """A private step on as many patients as one draws on average: chance would blur its time."""
    from fedvox.client.training.private.noise import system_noise
    from fedvox.client.training.private.steps import private_steps
    from fedvox.common.privacy.bucket import bucketed
    from fedvox.common.privacy.terms import patients_per_step, terms_for

    study = work.learner.study
    drawn = people[: patients_per_step(study)]
    terms = replace(terms_for(study, bucketed(len(people))), sample_rate=1.0, steps_per_round=1)
    return private_steps(work, store, drawn, terms, system_noise("", 0, ""))


def _awaited(gradients: Iterable[Tensor], learner: Learner) -> Iterator[Tensor]:
    """The gradients; a card has come to its end before the next is asked for."""
    import torch

    for loss in gradients:
        yield loss
        if learner.device.torch_device.type == "cuda":
            torch.cuda.synchronize(learner.device.torch_device)


def _forget_peak() -> None:
    with suppress(OSError):  # then the peak since the process began counts
        Path("/proc/self/clear_refs").write_text("5")


def _peak_bytes() -> int:
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) * 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
