"""The loop that a torch user would write: what the engine is held against."""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence

import torch
from torch import nn

from fedvox.client.training.batches import Batches, seed_of
from fedvox.client.training.device import choose_device
from fedvox.client.training.schedule import rates, stretch_of_round
from fedvox.client.training.small_maps import shelter_small_maps
from fedvox.common.study import Study
from fedvox.common.tasks.task import task_for
from fedvox.simulations.consortium import Consortium


class BareLoop:
    """One model and one optimizer that walk through the batches of some sites, and nothing else."""

    def __init__(self, consortium: Consortium, sites: Sequence[str]) -> None:
        study: Study = consortium.study
        self._training = study.training
        self._task = task_for(study)
        self._device = choose_device(study)
        model = self._task.build().to(memory_format=self._device.layout)  # type: ignore[call-overload]  # torch's stubs lack it
        if self._device.autocast is not None:
            shelter_small_maps(model)
        self._model: nn.Module = model.train()
        training = study.training
        self._optimizer = torch.optim.AdamW(
            model.parameters(),
            training.lr,
            (0.9, training.beta2),
            weight_decay=training.weight_decay,
            fused=True,
        )
        self._batches = [
            Batches(
                self._task,
                consortium.store,
                consortium.rosters[site].keys["train"],
                seed_of(study.study.seed, site),
            )
            for site in sites
        ]

    def round(self, number: int) -> float:
        """Takes the steps that the sites take in a round; their mean loss."""
        torch.get_num_threads()  # a new thread takes over the set number only when asked
        stretch = stretch_of_round(self._training, number)
        losses = []
        for batches in self._batches:
            stream = batches.of(stretch, self._training.batch_size, self._device)
            for (image, label), rate in zip(stream, rates(self._training, stretch), strict=True):
                self._optimizer.param_groups[0]["lr"] = rate
                self._optimizer.zero_grad()
                dtype = self._device.autocast
                with torch.autocast("cpu", dtype, enabled=dtype is not None):
                    output = self._model(image)
                loss = self._task.loss(output, label)
                loss.backward()  # type: ignore[no-untyped-call]
                if self._training.grad_clip:
                    nn.utils.clip_grad_norm_(self._model.parameters(), self._training.grad_clip)
                self._optimizer.step()
                losses.append(loss.detach())
        return float(torch.stack(losses).mean())


def seconds_of_round(loops: Sequence[BareLoop], number: int) -> float:
    """Wall time of a round: one loop in this thread, several each in a thread of its own."""
    begun = time.perf_counter()
    if len(loops) == 1:
        loops[0].round(number)
    else:
        threads = [threading.Thread(target=loop.round, args=(number,)) for loop in loops]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    return time.perf_counter() - begun
