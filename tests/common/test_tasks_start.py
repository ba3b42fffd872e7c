"""What a study begins with and leaves alone: weights taken over, filters standardised, frozen."""

from pathlib import Path

import numpy as np
import pytest
import torch
from small import tiny
from torch import nn

from fedvox.common.codec import encode
from fedvox.common.errors import StudyError
from fedvox.common.tasks.standardise import standardise
from fedvox.common.tasks.task import initial_weights, task_for


def test_weights_are_taken_over_where_they_fit(tmp_path: Path) -> None:
    other = initial_weights(tiny("study.seed=5"))
    *rest, last = other
    kept = {name: other[name] for name in rest} | {last: np.ones((9, 9), np.float32)}
    (tmp_path / "model.safetensors").write_bytes(encode(kept))
    drawn = initial_weights(tiny())
    for start in (tmp_path, tmp_path / "model.safetensors"):
        found = initial_weights(tiny(f"model.start={start}"))
        np.testing.assert_array_equal(found[rest[0]], other[rest[0]])
        np.testing.assert_array_equal(found[last], drawn[last])


def test_a_start_that_is_none_is_refused(tmp_path: Path) -> None:
    with pytest.raises(StudyError, match=r"model\.start.*No such file"):
        initial_weights(tiny(f"model.start={tmp_path / 'nothing'}"))
    (tmp_path / "model.safetensors").write_bytes(encode({"other": np.ones(3, np.float32)}))
    with pytest.raises(StudyError, match="no tensor of it fits"):
        initial_weights(tiny(f"model.start={tmp_path}"))
    (tmp_path / "model.safetensors").write_bytes(b"torn")
    with pytest.raises(StudyError, match=r"model\.start"):
        initial_weights(tiny(f"model.start={tmp_path}"))


@pytest.mark.parametrize("layer", [nn.Conv3d(3, 4, 3), nn.Conv2d(3, 4, (3, 1), groups=3 - 2)])
def test_standardised_filters_have_mean_zero_and_unit_norm(layer: nn.Conv3d | nn.Conv2d) -> None:
    names = set(layer.state_dict())
    image = torch.randn(2, 3, *[5] * (layer.weight.ndim - 2))
    nn.init.zeros_(layer.bias)  # type: ignore[arg-type]
    weight = layer.weight.detach()
    centred = weight - weight.mean((1, *range(2, weight.ndim)), keepdim=True)
    norms = centred.flatten(1).norm(dim=1).view(-1, *[1] * (weight.ndim - 1))
    wanted = layer._conv_forward(image, centred / norms, layer.bias)
    standardise(layer)
    torch.testing.assert_close(layer(image), wanted)
    assert set(layer.state_dict()) == names


def test_frozen_parameters_are_not_trained() -> None:
    network = task_for(tiny("model.freeze=['model.0.*']")).build()
    frozen = {name for name, weight in network.named_parameters() if not weight.requires_grad}
    assert frozen == {name for name, _ in network.named_parameters() if name.startswith("model.0.")}
    assert frozen


@pytest.mark.parametrize("patterns", ["['nothing.*']", "['*']"])
def test_freezing_nothing_or_everything_is_refused(patterns: str) -> None:
    with pytest.raises(StudyError, match=r"model\.freeze"):
        task_for(tiny(f"model.freeze={patterns}")).build()
