import numpy as np
import pytest
from scipy import ndimage

from fedvox.common.tasks.metrics import (
    auroc,
    classification_metrics,
    classification_tally,
    confusion,
    hd95,
    roc_points,
    segmentation_metrics,
    segmentation_tally,
)
from fedvox.common.tasks.task import Tally

CLASSES = ("background", "organ", "lesion")


def total(tallies: list[Tally]) -> Tally:
    return {name: sum(tally[name] for tally in tallies) for name in tallies[0]}


def test_dice_and_iou_by_hand() -> None:
    truth = np.array([[0, 1, 1, 1], [0, 2, 2, 0]], np.uint8)
    prediction = np.array([[0, 0, 1, 1], [0, 2, 1, 0]], np.uint8)
    tally = segmentation_tally(prediction, truth, (1.0, 1.0), 3)
    metrics = segmentation_metrics(tally, CLASSES)
    assert metrics["dice_organ"] == pytest.approx(2 * 2 / (3 + 3))
    assert metrics["iou_organ"] == pytest.approx(2 / 4)
    assert metrics["dice_lesion"] == pytest.approx(2 * 1 / (2 + 1))
    assert metrics["iou_lesion"] == pytest.approx(1 / 2)
    assert metrics["dice"] == pytest.approx((2 / 3 + 2 / 3) / 2)
    assert metrics["iou"] == pytest.approx(0.5)


def test_tallies_of_cases_add_up_to_means() -> None:
    rng = np.random.default_rng(0)
    cases = [rng.integers(0, 3, (2, 6, 6, 6)).astype(np.uint8) for _ in range(4)]
    tallies = [segmentation_tally(a, b, (1.0, 2.0, 1.0), 3) for a, b in cases]
    each = [segmentation_metrics(tally, CLASSES) for tally in tallies]
    together = segmentation_metrics(total(tallies), CLASSES)
    for name, value in together.items():
        assert value == pytest.approx(np.mean([metrics[name] for metrics in each]))


def test_absent_in_both_is_perfect_and_has_no_distance() -> None:
    empty = np.zeros((4, 4, 4), np.uint8)
    metrics = segmentation_metrics(segmentation_tally(empty, empty, (1.0,) * 3, 3), CLASSES)
    assert metrics == {
        name: 1.0 for of in ("dice", "iou") for name in (of, f"{of}_organ", f"{of}_lesion")
    }


@pytest.mark.parametrize("swap", [False, True])
def test_absent_in_one_costs_the_diagonal(swap: bool) -> None:
    empty, full = np.zeros((3, 4), np.uint8), np.ones((3, 4), np.uint8)
    pair = (full, empty) if swap else (empty, full)
    metrics = segmentation_metrics(segmentation_tally(*pair, (1.0, 1.0), 2), CLASSES)
    assert metrics["dice_organ"] == metrics["iou_organ"] == 0.0
    assert metrics["hd95"] == pytest.approx(5.0)


def test_hd95_of_shifted_squares_by_hand() -> None:
    first, second = np.zeros((2, 12, 12), bool)
    first[2:5, 2:5] = True
    second[2:5, 6:9] = True
    # Three columns lie 4, 3 and 2 voxels from the other's nearest edge; the surface has 8 voxels.
    distances = np.sort([4, 4, 4, 3, 3, 2, 2, 2]) * 0.5
    assert hd95(first, second, (1.0, 0.5)) == pytest.approx(np.percentile(distances, 95))


@pytest.mark.parametrize("shape", [(14, 11), (12, 9, 10)])
def test_hd95_against_distance_maps_of_the_whole_volume(shape: tuple[int, ...]) -> None:
    rng = np.random.default_rng(1)
    spacing = (0.7, 1.3, 2.9)[: len(shape)]
    for _ in range(5):
        noise = ndimage.gaussian_filter(rng.normal(size=(2, *shape)), [0] + [1.5] * len(shape))
        first, second = noise > 0.1
        assert hd95(first, second, spacing) == pytest.approx(_slow_hd95(first, second, spacing))


def _slow_hd95(first: np.ndarray, second: np.ndarray, spacing: tuple[float, ...]) -> float:
    def surface(mask: np.ndarray) -> np.ndarray:
        return mask & ~ndimage.binary_erosion(mask)

    def one_way(to: np.ndarray, of: np.ndarray) -> float:
        away = ndimage.distance_transform_edt(~surface(to), sampling=spacing)
        return float(np.percentile(away[surface(of)], 95))

    return max(one_way(first, second), one_way(second, first))


def _random_cases(count: int) -> list[tuple[np.ndarray, int]]:
    rng = np.random.default_rng(3)
    truths = rng.integers(0, 3, count)
    scores = rng.normal(size=(count, 3)) + 1.5 * np.eye(3)[truths]
    odds = np.exp(scores)
    return [
        (row.astype(np.float32), int(truth))
        for row, truth in zip(odds / odds.sum(1, keepdims=True), truths, strict=True)
    ]


def test_auroc_against_counting_pairs() -> None:
    cases = _random_cases(150)
    tally = total([classification_tally(*case) for case in cases])
    for index in range(3):
        of_class = np.array([p[index] for p, truth in cases if truth == index])
        others = np.array([p[index] for p, truth in cases if truth != index])
        won = (of_class[:, None] > others).mean() + 0.5 * (of_class[:, None] == others).mean()
        # Pairs within one of the 256 bins count half, whoever was ahead.
        assert auroc(tally, index) == pytest.approx(won, abs=0.005)
        binned = (np.floor(of_class * 256)[:, None], np.floor(others * 256))
        exact = (binned[0] > binned[1]).mean() + 0.5 * (binned[0] == binned[1]).mean()
        assert auroc(tally, index) == pytest.approx(exact, abs=1e-12)
        false_rate, true_rate = roc_points(tally, index)
        assert (false_rate[0], true_rate[0], false_rate[-1], true_rate[-1]) == (0, 0, 1, 1)
        assert (np.diff(false_rate) >= 0).all()
        assert (np.diff(true_rate) >= 0).all()


def test_classification_rates_by_hand() -> None:
    names = ("normal", "pneumonia", "tuberculosis")
    pairs = [(0, 0)] * 6 + [(0, 1)] * 2 + [(1, 1)] * 3 + [(1, 2)] + [(2, 2)] * 2 + [(2, 0)] * 2
    tally = total(
        [classification_tally(np.eye(3, dtype=np.float32)[guess], truth) for truth, guess in pairs]
    )
    assert confusion(tally).tolist() == [[6, 2, 0], [0, 3, 1], [2, 0, 2]]
    metrics = classification_metrics(tally, names)
    assert metrics["accuracy"] == pytest.approx(11 / 16)
    assert metrics["sensitivity_pneumonia"] == pytest.approx(3 / 4)
    assert metrics["specificity_pneumonia"] == pytest.approx(10 / 12)
    assert metrics["balanced_accuracy"] == pytest.approx((6 / 8 + 3 / 4 + 2 / 4) / 3)
    assert metrics["sensitivity"] == metrics["balanced_accuracy"]
    assert metrics["specificity"] == pytest.approx((6 / 8 + 10 / 12 + 11 / 12) / 3)


def test_a_class_that_does_not_occur_is_left_out() -> None:
    tally = total([classification_tally(np.array([0.6, 0.3, 0.1]), truth) for truth in (0, 1, 1)])
    metrics = classification_metrics(tally, ("a", "b", "c"))
    assert metrics["balanced_accuracy"] == pytest.approx(0.5)
    assert "sensitivity_c" not in metrics
    assert "auroc_c" not in metrics
    assert metrics["specificity_c"] == 1.0
    assert np.isfinite(list(metrics.values())).all()


def test_certain_predictions_fall_into_the_last_bin() -> None:
    tally = classification_tally(np.array([1.0, 0.0], np.float32), 0)
    assert tally["probability"][0, 0, 255] == 1
    assert tally["probability"][1, 1, 0] == 1


def test_no_cases_no_metrics() -> None:
    nothing = {name: value * 0 for name, value in classification_tally(np.ones(2), 0).items()}
    assert classification_metrics(nothing, ("a", "b")) == {}
    empty = np.zeros((2, 2), np.uint8)
    blank = {k: v * 0 for k, v in segmentation_tally(empty, empty, (1.0, 1.0), 3).items()}
    assert segmentation_metrics(blank, CLASSES) == {}
