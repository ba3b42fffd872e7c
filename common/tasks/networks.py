"""The networks of a study: MONAI's, without batch norm, initialised from the study's seed.

| name | from `model.channels` |
|---|---|
| unet, dynunet | one level for each number; every level below the first halves the image |
| segresnet | the first number is the width of the first of four levels, doubled at each |
| resnet18, resnet50, seresnet50 | the first number is the width of the first of four stages |
| densenet121 | the first number is the width of the stem; layers add half of it |
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TypedDict

from monai.networks.blocks.squeeze_and_excitation import (
    SEBottleneck,
    SEResNetBottleneck,
    SEResNeXtBottleneck,
)
from monai.networks.nets.densenet import DenseNet121
from monai.networks.nets.dynunet import DynUNet
from monai.networks.nets.resnet import ResNet
from monai.networks.nets.segresnet import SegResNet
from monai.networks.nets.senet import SEResNet50
from monai.networks.nets.unet import UNet
from torch import nn

from fedvox.common.errors import StudyError
from fedvox.common.study.schema import Study
from fedvox.common.tasks.freezing import freeze
from fedvox.common.tasks.norms import map_voxels, refuse_batch_norm, replace_batch_norm
from fedvox.common.tasks.seeding import OwnGenerator, own_dropout
from fedvox.common.tasks.standardise import standardise

_SEGRESNET_LEVELS = 4
_LARGE_IMAGE_VOXELS = 64
"""From this edge length on, the first convolution of a residual classifier halves the image."""

_FEWEST_LEVELS = {"unet": 2, "dynunet": 3}
_SMALLEST_PATCH = {"densenet121": 29, "resnet18": 1, "resnet50": 1, "seresnet50": 3}
_SMALLEST_WIDTH = {"densenet121": 2, "seresnet50": 4}


def build_network(study: Study) -> nn.Module:
    """The network of a study with its initial weights; the same bits for the same study."""
    _check(study)
    make = _MAKERS[study.model.name]
    with OwnGenerator(study.study.seed):
        voxels = map_voxels(lambda: make(study), (study.data.channels, *study.data.patch))
    with OwnGenerator(study.study.seed):
        network = make(study)
    replace_batch_norm(network, voxels, study.model)
    if study.model.standardise:
        standardise(network)
    own_dropout(network)
    refuse_batch_norm(network)
    freeze(network, study)
    return network


def _check(study: Study) -> None:
    name, width = study.model.name, study.model.channels[:1]
    if not width or width[0] < _SMALLEST_WIDTH.get(name, 1):
        raise StudyError(
            f"model.channels: {name} needs a first number of at least "
            f"{_SMALLEST_WIDTH.get(name, 1)}; [16] is a good start"
        )
    if study.task.kind == "segmentation":
        _check_levels(study)
        return
    smallest = _SMALLEST_PATCH[name]
    if min(study.data.patch) < smallest:
        sized = [max(edge, smallest + smallest % 2) for edge in study.data.patch]
        raise StudyError(
            f"data.patch: {name} needs at least {smallest} voxels along each axis; "
            f"data.size and data.patch = {sized} would do"
        )


def _check_levels(study: Study) -> None:
    name, patch, levels = study.model.name, study.data.patch, _levels(study)
    fewest = _FEWEST_LEVELS.get(name, 1)
    if levels < fewest:
        raise StudyError(
            f"model.channels: {name} needs at least {fewest} levels, one number for each; "
            "[16, 32, 64] would do"
        )
    factor = 2 ** (levels - 1)
    if any(edge % factor for edge in patch) or all(edge == factor for edge in patch):
        fitting = [factor * max(2, round(edge / factor)) for edge in patch]
        raise StudyError(
            f"data.patch: {list(patch)} does not fit the {levels} levels of {name}: each number "
            f"must be a multiple of {factor}, and one above it; {fitting} would do"
            + ("" if name == "segresnet" else ", or fewer numbers in model.channels")
        )


def _levels(study: Study) -> int:
    return _SEGRESNET_LEVELS if study.model.name == "segresnet" else len(study.model.channels)


def _unet(study: Study) -> nn.Module:
    model = study.model
    return UNet(
        **_ends(study),
        channels=model.channels,
        strides=(2,) * (len(model.channels) - 1),
        num_res_units=model.residual_units,
        norm="batch",
        dropout=model.dropout,
    )


def _segresnet(study: Study) -> nn.Module:
    return SegResNet(
        **_ends(study),
        init_filters=study.model.channels[0],
        norm="batch",
        dropout_prob=study.model.dropout or None,
        # Backward of linear upsampling adds in no fixed order on a GPU.
        upsample_mode="deconv",
    )


def _dynunet(study: Study) -> nn.Module:
    below = len(study.model.channels) - 1
    return DynUNet(
        **_ends(study),
        kernel_size=[3] * (below + 1),
        strides=[1, *[2] * below],
        upsample_kernel_size=[2] * below,
        filters=study.model.channels,
        norm_name="batch",
        dropout=study.model.dropout or None,
    )


def _densenet121(study: Study) -> nn.Module:
    width = study.model.channels[0]
    return DenseNet121(
        **_ends(study),
        init_features=width,
        growth_rate=width // 2,
        norm="batch",
        dropout_prob=study.model.dropout,
    )


def _resnet(block: str, layers: list[int]) -> Callable[[Study], nn.Module]:
    def make(study: Study) -> nn.Module:
        width, dropout = study.model.channels[0], study.model.dropout
        large = min(study.data.patch) >= _LARGE_IMAGE_VOXELS
        ends = _ends(study)
        network = ResNet(
            block,
            layers,
            [width, 2 * width, 4 * width, 8 * width],
            spatial_dims=ends["spatial_dims"],
            n_input_channels=ends["in_channels"],
            num_classes=ends["out_channels"],
            conv1_t_stride=2 if large else 1,
            bias_downsample=False,
            norm="batch",
        )
        if dropout:
            network.set_submodule(
                "fc", nn.Sequential(nn.Dropout(dropout), network.get_submodule("fc"))
            )
        return network

    return make


class _WideSEResNet50(SEResNet50):
    """SEResNet50 whose stages follow the width of its stem; MONAI's are 64, 128, 256, 512."""

    def _make_layer(
        self,
        block: type[SEBottleneck] | type[SEResNetBottleneck] | type[SEResNeXtBottleneck],
        planes: int,
        blocks: int,
        groups: int,
        reduction: int,
        stride: int = 1,
        downsample_kernel_size: int = 1,
    ) -> nn.Sequential:
        width = self.layer0.get_submodule("conv1").get_parameter("weight").shape[0]
        planes = planes * width // 64
        return super()._make_layer(
            block, planes, blocks, groups, reduction, stride, downsample_kernel_size
        )


def _seresnet50(study: Study) -> nn.Module:
    width, ends = study.model.channels[0], _ends(study)
    network = _WideSEResNet50(
        spatial_dims=ends["spatial_dims"],
        in_channels=ends["in_channels"],
        num_classes=ends["out_channels"],
        inplanes=width,
        dropout_prob=study.model.dropout or None,
    )
    network.last_linear = nn.Linear(32 * width, ends["out_channels"])
    nn.init.zeros_(network.last_linear.bias)
    return network


class _Ends(TypedDict):
    spatial_dims: int
    in_channels: int
    out_channels: int


def _ends(study: Study) -> _Ends:
    return {
        "spatial_dims": study.data.dims,
        "in_channels": study.data.channels,
        "out_channels": len(study.task.classes),
    }


def parameters(network: nn.Module) -> int:
    """Number of trained numbers."""
    return sum(math.prod(weight.shape) for weight in network.parameters())


_MAKERS: dict[str, Callable[[Study], nn.Module]] = {
    "unet": _unet,
    "segresnet": _segresnet,
    "dynunet": _dynunet,
    "densenet121": _densenet121,
    "resnet18": _resnet("basic", [2, 2, 2, 2]),
    "resnet50": _resnet("bottleneck", [3, 4, 6, 3]),
    "seresnet50": _seresnet50,
}
