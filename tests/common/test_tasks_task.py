import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional

from fedvox.common.errors import NotFiniteError, StudyError
from fedvox.common.study import parse_study
from fedvox.common.tasks.task import Prepared, Task, initial_weights, task_for
from fedvox.common.volume import Volume

torch.set_num_threads(1)
CPU = torch.device("cpu")

LUNG = """
[task]
kind = "classification"
classes = ["normal", "pneumonia", "tuberculosis"]
[data]
dims = 2
size = [32, 32]
normalise = "percentile"
[model]
name = "densenet121"
channels = [8]
"""


def segmentation(more: str = "", dims: int = 2) -> Task:
    return task_for(
        parse_study(
            '[task]\nclasses = ["background", "organ", "lesion"]\n'
            f"[data]\ndims = {dims}\npatch = {[16] * dims}\n[model]\nchannels = [8, 16]\n{more}"
        )
    )


class Threshold(nn.Module):
    """Knows the answer: class 1 above 0.5, class 2 above 1.5; sees no more than one window."""

    def __init__(self, edge: int) -> None:
        super().__init__()
        self.edge = edge
        self.seen = 0

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        assert image.shape[2:] == torch.Size([self.edge] * (image.ndim - 2))
        self.seen += len(image)
        return -(image - torch.arange(3.0).reshape(1, 3, *[1] * (image.ndim - 2))).square()


@pytest.mark.parametrize("shape", [(40, 23), (7, 11), (7, 40), (20, 33, 18), (5, 40, 16)])
def test_sliding_windows_put_every_voxel_back_in_its_place(shape: tuple[int, ...]) -> None:
    task = segmentation(dims=len(shape))
    label = np.random.default_rng(0).integers(0, 3, shape).astype(np.uint8)
    case = Prepared(label[None].astype(np.float32), label, (1.0,) * len(shape), np.zeros((0, 4)))
    model = Threshold(16).train()
    found = task.infer(model, case, CPU, None)
    assert np.array_equal(found, label)
    assert found.dtype == np.uint8
    assert model.training, "left in the mode it was in"
    assert model.seen > 1 or max(shape) <= 16


def test_a_network_segments_what_is_larger_and_smaller_than_its_patch() -> None:
    task = segmentation(dims=3)
    rng = np.random.default_rng(0)
    model = task.build()
    for shape in [(20, 17, 24), (9, 12, 16)]:
        given = Volume(
            rng.normal(size=(1, *shape)).astype(np.float32),
            np.diag([1.0, 2.0, 1.5, 1.0]),
            rng.integers(0, 3, shape).astype(np.int32),
        )
        case = task.prepare(given)
        found = task.infer(model, case, CPU, torch.bfloat16)
        assert found.shape == shape
        assert found.max() <= 2
        metrics = task.metrics(task.tally(found, case))
        assert {"dice", "dice_organ", "iou_lesion", "hd95"} <= metrics.keys()


def test_examples_of_segmentation() -> None:
    task = segmentation("[training.augment]\nflip = 0.5\nrotate = 0.5\nnoise = 0.5", dims=3)
    rng = np.random.default_rng(0)
    given = Volume(
        rng.normal(size=(1, 20, 14, 18)).astype(np.float32),
        np.eye(4),
        (rng.random((20, 14, 18)) < 0.1).astype(np.int32),
    )
    case = task.prepare(given)
    image, label = task.example(case, np.random.default_rng(3))
    again, label_again = task.example(case, np.random.default_rng(3))
    assert (image.shape, image.dtype) == ((1, 16, 16, 16), np.float32)
    assert (label.shape, label.dtype) == ((1, 16, 16, 16), np.int64)
    assert np.array_equal(image, again)
    assert np.array_equal(label, label_again)
    torch.from_numpy(image), torch.from_numpy(label)


def test_examples_do_not_change_the_case() -> None:
    task = task_for(parse_study(LUNG + "[training.augment]\nflip = 1.0\ncontrast = 1.0"))
    given = np.random.default_rng(0).normal(size=(1, 30, 40)).astype(np.float32)
    case = task.prepare(Volume(given, np.eye(4), 2))
    case.image.setflags(write=False)
    before = case.image.copy()
    image, label = task.example(case, np.random.default_rng(0))
    assert label.shape == ()
    assert (int(label), label.dtype) == (2, np.int64)
    assert not np.array_equal(image, before)
    assert np.array_equal(case.image, before)


def test_the_lung_example_learns_three_classes_in_two_dimensions() -> None:
    # Without flips, since here the classes differ by where something is.
    task = task_for(parse_study(LUNG, settings=["training.augment.flip=0.0"]))
    rng = np.random.default_rng(0)
    cases = []
    for index in [0, 1, 2] * 3:
        image = rng.normal(0, 0.1, (1, 32, 32)).astype(np.float32)
        image[0, 10 * index : 10 * index + 10] += 1
        cases.append(task.prepare(Volume(image, np.eye(4), index)))
    model = task.build()
    optimizer = torch.optim.AdamW(model.parameters(), 3e-3)
    examples = [task.example(case, rng) for case in cases]
    images = torch.from_numpy(np.stack([image for image, _ in examples]))
    labels = torch.from_numpy(np.stack([label for _, label in examples]))
    for _ in range(12):
        optimizer.zero_grad()
        task.loss(model(images), labels).backward()
        optimizer.step()
    total: dict[str, np.ndarray] = {}
    for case in cases:
        probabilities = task.infer(model, case, CPU, None)
        assert probabilities.sum() == pytest.approx(1, abs=1e-5)
        for name, value in task.tally(probabilities, case).items():
            total[name] = total.get(name, 0) + value
    metrics = task.metrics(total)
    assert metrics[task.headline] == 1.0
    assert metrics["sensitivity_tuberculosis"] == 1.0
    assert metrics["auroc"] > 0.99


def test_segmentation_loss_by_hand() -> None:
    task = segmentation()
    target = torch.tensor([[[[0, 1], [1, 2]]], [[[0, 0], [0, 1]]]])
    output = torch.randn(2, 3, 2, 2)
    share = output.softmax(1)
    truth = functional.one_hot(target[:, 0], 3).movedim(-1, 1).float()
    overlap = (share * truth).sum((2, 3))
    dice = 1 - (2 * overlap + 1e-5) / (share.sum((2, 3)) + truth.sum((2, 3)) + 1e-5)
    entropy = -(share.log() * truth).sum(1).mean()
    expected = dice[:, 1:].mean() + entropy
    torch.testing.assert_close(task.loss(output, target), expected)


@pytest.mark.parametrize("weights", ["", "class_weights = [0.2, 1.0, 3.0]"])
@pytest.mark.parametrize("kind", ["segmentation", "classification"])
def test_the_loss_of_a_batch_is_the_mean_over_patients_in_float32(kind: str, weights: str) -> None:
    if kind == "segmentation":
        task, shape = segmentation(f"[training]\n{weights}"), (5, 3, 16, 16)
        target = torch.randint(0, 3, (5, 1, 16, 16))
    else:
        task, shape = task_for(parse_study(f"{LUNG}\n[training]\n{weights}")), (5, 3)
        target = torch.randint(0, 3, (5,))
    output = torch.randn(shape).to(torch.bfloat16)
    whole = task.loss(output, target)
    alone = [task.loss(output[at : at + 1], target[at : at + 1]) for at in range(5)]
    assert whole.dtype == torch.float32
    torch.testing.assert_close(whole, torch.stack(alone).mean())


def test_class_weights_matter() -> None:
    output, target = torch.randn(2, 3, 16, 16), torch.randint(0, 3, (2, 1, 16, 16))
    weighted = segmentation("[training]\nclass_weights = [0.1, 1.0, 5.0]")
    assert not torch.isclose(weighted.loss(output, target), segmentation().loss(output, target))
    scores, truth = torch.randn(4, 3), torch.tensor([0, 1, 2, 2])
    doubled = task_for(parse_study(LUNG + "[training]\nclass_weights = [2.0, 2.0, 2.0]"))
    plain = task_for(parse_study(LUNG))
    torch.testing.assert_close(doubled.loss(scores, truth), 2 * plain.loss(scores, truth))


def test_outputs_that_are_not_finite_are_no_predictions() -> None:
    task = segmentation()
    case = task.prepare(
        Volume(np.ones((1, 16, 16), np.float32), np.eye(4), np.zeros((16, 16), np.int32))
    )
    model = task.build()
    with torch.no_grad():
        next(model.parameters()).fill_(torch.nan)
    with pytest.raises(NotFiniteError, match=r"training\.lr"):
        task.infer(model, case, CPU, None)


def test_classes_must_be_known() -> None:
    study = parse_study("")
    with pytest.raises(StudyError, match=r"task\.classes: not known yet"):
        task_for(study)
    with pytest.raises(StudyError, match=r"task\.classes"):
        initial_weights(study)


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ("training.class_weights = [1.0, 2.0, 3.0]", "3 weights for 2 classes"),
        ('data.label_map = {"4" = 2}', "'4' maps outside the 2 classes"),
    ],
)
def test_what_classes_from_the_source_contradict_is_refused(setting: str, message: str) -> None:
    study = parse_study(setting)
    resolved = study.task.model_copy(update={"classes": ("background", "organ")})
    with pytest.raises(StudyError, match=message):
        task_for(study.model_copy(update={"task": resolved}))
