"""A plan found by trying: worth it where the default ways were not measured, as on a GPU."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping
from functools import partial

import torch
from torch import Tensor, nn

from fedvox.client.training.private.clipping import Autocast, Loss
from fedvox.client.training.private.contraction import (
    WAYS,
    Kernel,
    Maps,
    Way,
    default_way,
    share_of,
)
from fedvox.client.training.private.plan import (
    ENGINES,
    Plan,
    Traced,
    make_engine,
    plan_by_shape,
    trace,
)

_REPEATS = 3
_MOST_NUMBERS = 2**25
"""Windows beyond this many numbers are not worth laying out."""
_WORTH_IT = 0.9
"""What is not the default must take less than this share of the default's time."""


def plan_by_timing(
    model: nn.Module, loss: Loss, autocast: Autocast, images: Tensor, labels: Tensor
) -> Plan:
    """The fastest plan for batches like this one, each of its samples a patient.

    What it finds depends on the machine and on its load: write it down rather than find it again.
    """
    best = plan_by_shape(model)
    if best.engine == "layers":
        traces = trace(model, images[:1], autocast)
        best = Plan("layers", fastest_ways(traces, len(images), images.device))
    owner = torch.arange(len(images), device=images.device)

    def seconds(plan: Plan) -> float:
        engine = make_engine(plan, model, loss, autocast)
        step = partial(engine.clipped_sum, images, labels, owner, len(images), 1.0)
        return _seconds(step, images.device)

    limit_s = _WORTH_IT * seconds(best)
    for name in ENGINES:
        if name not in ("layers", best.engine):
            try:
                found_s = seconds(Plan(name))
            except RuntimeError:  # torch.func cannot do every network
                continue
            if found_s < limit_s:
                best, limit_s = Plan(name), found_s
    return best


def fastest_ways(
    traces: Mapping[str, Traced], patients: int, device: torch.device
) -> dict[str, Way]:
    """The way that took least time at each layer, on maps of noise."""
    known: dict[Traced, Way] = {}
    for one in traces.values():
        if one not in known:
            known[one] = _fastest_way(one, patients, device)
    return {name: known[one] for name, one in traces.items()}


def _fastest_way(one: Traced, patients: int, device: torch.device) -> Way:
    small, large = (
        torch.randn(patients, *shape, device=device).to(one.dtype)
        for shape in (one.small, one.large)
    )
    maps = Maps(small, large, patients)
    default = default_way(one.kernel, one.small[1:])
    seconds = {
        way: _seconds(partial(_clip, maps, one.kernel, way), device)
        for way in {default: None} | dict.fromkeys(_worth_trying(one, patients))
    }
    fastest = min(seconds, key=lambda way: seconds[way])
    return fastest if seconds[fastest] < _WORTH_IT * seconds[default] else default


def _worth_trying(one: Traced, patients: int) -> list[Way]:
    windows = patients * math.prod(one.small[1:]) * math.prod(one.kernel.shape[1:])
    laid_out = windows <= _MOST_NUMBERS
    return [way for way in WAYS if laid_out or way not in ("unfold", "ghost")]


def _clip(maps: Maps, kernel: Kernel, way: Way) -> None:
    share = share_of(maps, kernel, way)
    share.weighted(share.squares(), None)


def _seconds(work: Callable[[], object], device: torch.device) -> float:
    """The least of a few tries: what disturbs one does not count."""
    work()
    taken = []
    for _ in range(_REPEATS):
        begun = time.perf_counter()
        work()
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        taken.append(time.perf_counter() - begun)
    return min(taken)
