"""Networks and losses that cannot be private are refused, with the layer and the remedy."""

import pytest
import torch
from small import tiny
from torch import Tensor, nn
from torch.nn import functional

from fedvox.client.training.private.validation import require_private
from fedvox.common.errors import FedvoxError, StudyError
from fedvox.common.tasks.task import task_for

IMAGES = torch.randn(3, 2, 6, 6, generator=torch.Generator().manual_seed(0))
LABELS = torch.tensor([0, 1, 1])


@pytest.fixture(autouse=True)
def one_thread() -> None:
    torch.set_num_threads(1)


class Head(nn.Module):
    def forward(self, image: Tensor) -> Tensor:
        return image.mean((2, 3))


def network(*layers: nn.Module) -> nn.Module:
    return nn.Sequential(nn.Conv2d(2, 4, 3), *layers, Head(), nn.Linear(4, 2))


def refused(model: nn.Module, said: str, loss: object = functional.cross_entropy) -> None:
    with pytest.raises(StudyError, match=said):
        require_private(model, loss, IMAGES, LABELS)  # type: ignore[arg-type]


@pytest.mark.parametrize("norm", ["instance", "group"])
def test_the_networks_of_the_product_are_private(norm: str) -> None:
    task = task_for(tiny(f"model.norm={norm}", "training.class_weights=[1.0, 5.0]"))
    images, labels = torch.randn(2, 1, 8, 8, 8), torch.randint(0, 2, (2, 1, 8, 8, 8))
    require_private(task.build(), task.loss, images, labels)


def test_batch_norm_is_refused() -> None:
    refused(network(nn.BatchNorm2d(4)), r"layer 1 is BatchNorm2d.*model\.norm = 'instance'")


def test_batch_norm_in_evaluation_mode_is_refused() -> None:
    refused(network(nn.BatchNorm2d(4)).eval(), "layer 1 is BatchNorm2d")


def test_running_statistics_are_refused() -> None:
    norm = nn.InstanceNorm2d(4, track_running_stats=True)
    refused(network(norm), "layer 1 keeps running statistics")


class Counting(nn.Module):
    mean: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(()))

    def forward(self, image: Tensor) -> Tensor:
        if self.training:
            self.mean.lerp_(image.detach().mean(), 0.1)
        return image


def test_a_buffer_updated_from_data_is_refused_and_left_as_it_was() -> None:
    model = network(Counting()).eval()
    refused(model, r"buffer 1\.mean is updated from the data")
    assert float(model.get_buffer("1.mean")) == 0.0
    assert not model.training


class Centred(nn.Module):
    def forward(self, image: Tensor) -> Tensor:
        return image - image.mean(0, keepdim=True)


def test_a_layer_that_mixes_is_refused_by_name() -> None:
    refused(network(nn.ReLU(), Centred()), "layer 2 mixes patients")


def test_a_loss_that_mixes_is_refused() -> None:
    weight = torch.tensor([1.0, 9.0])

    def weighted(output: Tensor, target: Tensor) -> Tensor:
        """Divides by the weights of the whole batch, as torch does by default."""
        return functional.cross_entropy(output, target, weight=weight)

    refused(network(), "loss: mixes patients", weighted)


def test_nothing_to_train_is_refused() -> None:
    refused(network().requires_grad_(False), "no layer to train")


def test_one_sample_cannot_tell() -> None:
    with pytest.raises(FedvoxError, match="two samples"):
        require_private(network(), functional.cross_entropy, IMAGES[:1], LABELS[:1])
