"""Which cases a site trains on, in which order, and how a batch is made of them."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cached_property

import numpy as np
import torch
from torch import Tensor

from fedvox.client.store import Store
from fedvox.client.training.device import Device
from fedvox.client.training.schedule import Stretch
from fedvox.common.tasks.task import Task

Batch = tuple[Tensor, Tensor]


def seed_of(*parts: str | int) -> int:
    """A seed made of names and numbers: the same parts, the same seed, on any machine."""
    return int.from_bytes(hashlib.sha256("\0".join(map(str, parts)).encode()).digest()[:16], "big")


class Batches:
    """The endless, replayable stream of examples of one site.

    Example number n is always the same, whatever was drawn before: the cases are shuffled anew for
    each pass over them, and each example has a generator of its own.
    """

    def __init__(
        self, task: Task, store: Store, keys: Sequence[str], seed: int, balance: bool = False
    ) -> None:
        """With `balance` every class is drawn equally often: for classes of whole volumes."""
        self._task = task
        self._store = store
        self.seed = seed
        self._keys = list(keys)
        self._balance = balance
        self._shuffled: dict[int, tuple[int, list[int]]] = {}

    @cached_property
    def _groups(self) -> list[list[str]]:
        """Found when the first example is drawn: a site opens nothing before it has agreed."""
        return _by_class(self._store, self._keys) if self._balance else [self._keys]

    def of(self, stretch: Stretch, size: int, device: Device) -> Iterator[Batch]:
        """The batches of a stretch, on the device; on a GPU made one ahead of the one in use."""
        firsts = [stretch.first_example + step * size for step in range(stretch.steps)]
        if device.torch_device.type == "cpu":
            yield from (self._batch(first, size, device) for first in firsts)
            return
        with ThreadPoolExecutor(1, "batches") as ahead:
            following = ahead.submit(self._batch, firsts[0], size, device)
            for first in [*firsts[1:], None]:
                batch = following.result()
                if first is not None:
                    following = ahead.submit(self._batch, first, size, device)
                yield batch

    def _batch(self, first: int, size: int, device: Device) -> Batch:
        examples = [self._example(number) for number in range(first, first + size)]
        image = torch.from_numpy(np.stack([image for image, _ in examples]))
        label = torch.from_numpy(np.stack([label for _, label in examples]))
        if device.torch_device.type == "cuda":
            image, label = image.pin_memory(), label.pin_memory()
        image = image.to(device.torch_device, memory_format=device.layout, non_blocking=True)
        return image, label.to(device.torch_device, non_blocking=True)

    def _example(self, number: int) -> tuple[np.ndarray, np.ndarray]:
        turn, which = divmod(number, len(self._groups))
        epoch, place = divmod(turn, len(self._groups[which]))
        case = self._store.get(self._groups[which][self._order(epoch, which)[place]])
        rng = np.random.default_rng([self.seed, 1, number])
        return self._task.example(case, rng)

    def _order(self, epoch: int, which: int = 0) -> list[int]:
        if self._shuffled.get(which, (-1,))[0] != epoch:
            rng = np.random.default_rng([self.seed, 0, epoch, *([which] if which else [])])
            order = rng.permutation(len(self._groups[which])).tolist()
            self._shuffled[which] = (epoch, order)
        return self._shuffled[which][1]


def _by_class(store: Store, keys: Sequence[str]) -> list[list[str]]:
    groups: dict[int, list[str]] = {}
    for key in keys:
        groups.setdefault(int(store.get(key).label), []).append(key)
    return [groups[label] for label in sorted(groups)]
