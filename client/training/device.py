"""Where training runs and in which precision."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from fedvox.common.errors import ResourceError
from fedvox.common.study import Study


@dataclass(frozen=True)
class Device:
    """A processor or graphics card with the precision and memory layout that is fastest there."""

    torch_device: torch.device
    autocast: torch.dtype | None
    """Type of the forward pass; None: float32 throughout."""
    layout: torch.memory_format

    def __str__(self) -> str:
        kind = self.torch_device.type
        name = torch.cuda.get_device_name(self.torch_device) if kind == "cuda" else "cpu"
        return f"{name}, {'bf16' if self.autocast else 'fp32'}"


def choose_device(study: Study) -> Device:
    """The device that the study's training.device and training.precision ask for."""
    wanted, precision = study.training.device, study.training.precision
    if wanted == "auto":
        wanted = "cuda" if torch.cuda.is_available() else "cpu"
    device = torch.device(wanted)
    if device.type == "cuda" and not torch.cuda.is_available():
        raise ResourceError(f"training.device: {wanted} was asked for, but torch sees no GPU here")
    if device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count():
        raise ResourceError(
            f"training.device: {wanted} was asked for, but there are {torch.cuda.device_count()}"
        )
    bf16 = precision == "bf16" or (precision == "auto" and _has_fast_bf16(device))
    three = study.data.dims == 3
    layout = torch.channels_last_3d if three else torch.channels_last
    if study.model.freeze and device.type == "cpu":
        # torch's group norm ends the process where its channels-last input needs no gradient.
        layout = torch.contiguous_format
    return Device(device, torch.bfloat16 if bf16 else None, layout)


def _has_fast_bf16(device: torch.device) -> bool:
    if device.type == "cuda":
        return bool(torch.cuda.is_bf16_supported())
    # Without these instructions bf16 is emulated, and slower than float32.
    supported = getattr(torch.cpu, "_is_avx512_bf16_supported", None)
    return bool(supported and supported())
