import threading

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from fedvox.common.errors import StudyError
from fedvox.common.study import Study, parse_study
from fedvox.common.tasks.networks import build_network
from fedvox.common.tasks.norms import refuse_batch_norm
from fedvox.common.tasks.seeding import Dropout, seed_dropout
from fedvox.common.tasks.task import initial_weights, task_for

torch.set_num_threads(1)

SEGMENTATION = ["unet", "segresnet", "dynunet"]
CLASSIFICATION = ["densenet121", "resnet18", "resnet50", "seresnet50"]


def study(name: str, dims: int = 3, edge: int = 0, model: str = "", seed: int = 0) -> Study:
    classifies = name in CLASSIFICATION
    edge = edge or (32 if name == "densenet121" else 16)
    shape = [edge] * dims
    return parse_study(
        f"""
        study.seed = {seed}
        [task]
        kind = "{"classification" if classifies else "segmentation"}"
        classes = ["normal", "pneumonia", "tuberculosis"]
        [data]
        dims = {dims}
        patch = {shape}
        size = {shape if classifies else []}
        channels = 2
        [model]
        name = "{name}"
        channels = [8, 16, 32]
        {model}
        """
    )


@pytest.mark.parametrize("norm", ["instance", "group"])
@pytest.mark.parametrize("dims", [2, 3])
@pytest.mark.parametrize("name", SEGMENTATION + CLASSIFICATION)
def test_every_network_learns_without_batch_norm(name: str, dims: int, norm: str) -> None:
    chosen = study(name, dims, model=f'norm = "{norm}"\ndropout = 0.1')
    task = task_for(chosen)
    network = task.build()
    shape = chosen.data.patch
    output = network(torch.randn(2, 2, *shape))
    labelled = (2, 1, *shape) if name in SEGMENTATION else (2,)
    assert output.shape == ((2, 3, *shape) if name in SEGMENTATION else (2, 3))
    task.loss(output, torch.randint(0, 3, labelled)).backward()
    for layer, weight in network.named_parameters():
        assert weight.grad is not None, layer
        assert torch.isfinite(weight.grad).all(), layer
    assert not list(network.buffers()), "a buffer would be averaged between sites"
    kinds = {type(module) for module in network.modules()}
    assert not any(issubclass(kind, _BatchNorm) for kind in kinds)
    instance = {nn.InstanceNorm2d, nn.InstanceNorm3d}
    assert bool(kinds & instance) == (norm == "instance")
    for module in network.modules():
        if isinstance(module, nn.InstanceNorm2d | nn.InstanceNorm3d):
            assert module.affine
        assert not isinstance(module, nn.Dropout | nn.Dropout2d | nn.Dropout3d)


def test_no_patient_changes_the_output_for_another() -> None:
    network = build_network(study("unet"))
    first, second, other = torch.randn(3, 1, 2, 16, 16, 16)
    with torch.no_grad():
        together = network(torch.cat([first, second]))[0]
        elsewhere = network(torch.cat([first, other * 100]))[0]
    torch.testing.assert_close(together, elsewhere)


def test_deep_small_maps_get_group_norm() -> None:
    network = build_network(study("densenet121", edge=32, model='norm = "instance"'))
    assert isinstance(network.get_submodule("features.norm0"), nn.InstanceNorm3d)
    assert isinstance(network.get_submodule("features.norm5"), nn.GroupNorm)


def test_groups_are_lowered_to_what_divides_the_channels() -> None:
    chosen = study("unet", model='norm = "group"\ngroups = 8')
    groups = {
        (layer.num_channels, layer.num_groups)
        for layer in build_network(chosen).modules()
        if isinstance(layer, nn.GroupNorm)
    }
    assert (3, 1) in groups, "the last level has as many channels as there are classes"
    assert (16, 8) in groups


def test_batch_norm_is_refused_by_layer_name() -> None:
    network = nn.Sequential(nn.Identity(), nn.Sequential(nn.BatchNorm3d(2)))
    with pytest.raises(StudyError, match=r"layer 1\.0 is batch norm"):
        refuse_batch_norm(network)


@pytest.mark.parametrize(
    ("name", "edge", "valid"),
    [
        ("unet", 18, r"\[16, 16, 16\]"),
        ("dynunet", 4, r"\[8, 8, 8\]"),
        ("segresnet", 20, r"\[16, 16, 16\]"),
        ("densenet121", 28, r"\[30, 30, 30\]"),
        ("seresnet50", 2, r"\[4, 4, 4\]"),
    ],
)
def test_a_patch_that_does_not_fit_is_refused_with_one_that_does(
    name: str, edge: int, valid: str
) -> None:
    with pytest.raises(StudyError, match=rf"data\.patch: .*{valid}"):
        build_network(study(name, edge=edge))
    fits = int(valid.split(",")[0].removeprefix(r"\["))
    network = build_network(study(name, edge=fits))
    assert torch.isfinite(network(torch.randn(1, 2, fits, fits, fits))).all()


@pytest.mark.parametrize(("name", "smallest"), [("densenet121", 29), ("seresnet50", 3)])
def test_the_smallest_patch_is_really_the_smallest(name: str, smallest: int) -> None:
    network = build_network(study(name, edge=smallest)).eval()
    network(torch.zeros(1, 2, *[smallest] * 3))
    with pytest.raises((RuntimeError, ValueError)):
        network(torch.zeros(1, 2, *[smallest - 1] * 3))


@pytest.mark.parametrize(("name", "channels"), [("unet", "[8]"), ("dynunet", "[8, 16]")])
def test_too_few_levels_are_refused(name: str, channels: str) -> None:
    chosen = study(name)
    sizes = tuple(int(size) for size in channels.strip("[]").split(","))
    few = chosen.model_copy(update={"model": chosen.model.model_copy(update={"channels": sizes})})
    with pytest.raises(StudyError, match=r"model\.channels: .* levels"):
        build_network(few)


@pytest.mark.parametrize("name", ["unet", "segresnet", "dynunet", "resnet18", "seresnet50"])
def test_initial_weights_are_the_seeds_alone(name: str) -> None:
    before = torch.random.get_rng_state()
    first = initial_weights(study(name))
    assert torch.equal(before, torch.random.get_rng_state())
    torch.rand(7)
    again = initial_weights(study(name))
    other = initial_weights(study(name, seed=1))
    assert first.keys() == again.keys() == other.keys()
    assert all(np.array_equal(first[key], again[key]) for key in first)
    assert any(not np.array_equal(first[key], other[key]) for key in first)
    assert len({value.tobytes() for value in first.values() if value.ndim > 1}) > 5


def test_initial_weights_do_not_depend_on_other_threads() -> None:
    alone = initial_weights(study("resnet18"))
    stop, found = threading.Event(), []

    def disturb() -> None:
        while not stop.is_set():
            torch.rand(10)

    noisy = threading.Thread(target=disturb)
    workers = [
        threading.Thread(target=lambda: found.append(initial_weights(study("resnet18"))))
        for _ in range(3)
    ]
    for thread in [noisy, *workers]:
        thread.start()
    for thread in workers:
        thread.join()
    stop.set()
    noisy.join()
    assert len(found) == 3
    for weights in found:
        assert all(np.array_equal(alone[name], weights[name]) for name in alone)


def test_dropout_replays_from_its_seed() -> None:
    network = build_network(study("unet", model="dropout = 0.5"))
    image = torch.randn(1, 2, 16, 16, 16)

    def outputs(seed: int) -> list[torch.Tensor]:
        seed_dropout(network, seed)
        return [network(image).detach() for _ in range(2)]

    first, second = outputs(1)
    torch.rand(3)
    again = outputs(1)
    assert torch.equal(first, again[0])
    assert torch.equal(second, again[1])
    assert not torch.equal(first, second)
    assert not torch.equal(first, outputs(2)[0])


@pytest.mark.parametrize("whole_channels", [False, True])
def test_dropout_keeps_the_expectation(whole_channels: bool) -> None:
    layer = Dropout(0.25, whole_channels)
    dropped = layer(torch.ones(100, 100, 2, 2))
    assert dropped.unique().tolist() == pytest.approx([0.0, 4 / 3])
    assert dropped.mean() == pytest.approx(1.0, abs=0.03)
    one_value_a_channel = bool((dropped == dropped[:, :, :1, :1]).all())
    assert one_value_a_channel == whole_channels
    assert torch.equal(layer.eval()(dropped), dropped)


def test_dropout_of_a_classifier_stands_before_its_last_layer() -> None:
    network = build_network(study("resnet18", model="dropout = 0.5"))
    assert isinstance(network.get_submodule("fc.0"), Dropout)
