"""Whether a study fits into this machine, before anything is trained."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import nn

from fedvox.common.errors import ResourceError
from fedvox.common.study import Study
from fedvox.common.tasks.shapes import walk_through
from fedvox.common.tasks.task import task_for

_COPIES = 8
"""Models a worker and the coordinator hold at most: weights, gradients, two moments, updates."""
_CONTROL_GROUP = Path("/sys/fs/cgroup")


def require_memory(study: Study, workers: int) -> None:
    """Raises ResourceError when the study needs more memory than is free."""
    need, free = needed_bytes(study, workers), free_bytes(study)
    if free is not None and need > free:
        raise ResourceError(
            f"the study needs about {need / 2**30:.1f} GiB, {free / 2**30:.1f} GiB are free. Most "
            "goes into activations: lower training.batch_size, data.patch, model.channels or "
            "simulation.workers"
        )


def needed_bytes(study: Study, workers: int) -> int:
    """An estimate: models, gradients, moments, and the activations of one step, for each worker."""
    parameters = activations = 0

    def count(_: nn.Module, __: object, output: object) -> None:
        nonlocal activations
        activations += output.numel() if isinstance(output, torch.Tensor) else 0

    def watch(network: nn.Module) -> None:
        nonlocal parameters
        parameters = sum(tensor.numel() for tensor in network.state_dict().values())
        for layer in network.modules():
            if not list(layer.children()):  # what leaves put out is what backward keeps
                layer.register_forward_hook(count)

    walk_through(task_for(study).build, (study.data.channels, *study.data.patch), watch)
    held = parameters * _COPIES + activations * study.training.batch_size
    return int(workers * 4 * held)


def free_bytes(study: Study) -> int | None:
    """Memory that can be had on the device; None where the system does not say."""
    from fedvox.client.training.device import choose_device

    device = choose_device(study).torch_device
    if device.type == "cuda":
        return int(torch.cuda.mem_get_info(device)[0])
    known = [free for free in (_left_in_machine(), _left_in_container()) if free is not None]
    return min(known, default=None)


def _left_in_machine() -> int | None:
    try:
        lines = Path("/proc/meminfo").read_text().splitlines()
    except OSError:
        return None
    kib = next((int(ln.split()[1]) for ln in lines if ln.startswith("MemAvailable:")), None)
    return kib * 1024 if kib is not None else None


def _left_in_container() -> int | None:
    """What the limit of the control group leaves; None where there is none."""
    try:
        limit = int((_CONTROL_GROUP / "memory.max").read_text())
        used = int((_CONTROL_GROUP / "memory.current").read_text())
        stat = dict(ln.split() for ln in (_CONTROL_GROUP / "memory.stat").read_text().splitlines())
        return limit - used + int(stat["inactive_file"])
    except (OSError, ValueError, KeyError):  # no limit is written as "max"
        return None
