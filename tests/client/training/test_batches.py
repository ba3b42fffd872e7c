from pathlib import Path

import numpy as np
import torch

from fedvox.client.store import Store
from fedvox.client.training.batches import Batches, seed_of
from fedvox.client.training.device import Device
from fedvox.client.training.schedule import Stretch
from fedvox.common.study import Study, load_study
from fedvox.common.tasks.task import Prepared, task_for

CPU = Device(torch.device("cpu"), None, torch.channels_last_3d)
KEYS = tuple(f"c{n}" for n in range(6))


def draw(study: Study, store: Store, stretch: Stretch, seed: int = 1) -> list[torch.Tensor]:
    batches = Batches(task_for(study), store, KEYS, seed)
    return [
        torch.cat([image.flatten(), label.flatten()])
        for image, label in batches.of(stretch, 2, CPU)
    ]


def test_an_example_is_the_same_whatever_was_drawn_before(study: Study, store: Store) -> None:
    whole = draw(study, store, Stretch(6, 0, 1))
    second_half = draw(study, store, Stretch(3, 0.5, 1, first_example=6))
    assert all(torch.equal(a, b) for a, b in zip(whole[3:], second_half, strict=True))
    assert not torch.equal(whole[0], whole[1])


def test_another_seed_gives_other_examples(study: Study, store: Store) -> None:
    assert not torch.equal(*(draw(study, store, Stretch(1, 0, 1), seed)[0] for seed in (1, 2)))


def test_each_pass_shows_every_case_once_in_a_new_order(study: Study, store: Store) -> None:
    batches = Batches(task_for(study), store, KEYS, 3)
    orders = [batches._order(epoch) for epoch in range(8)]
    assert all(sorted(order) == list(range(6)) for order in orders)
    assert len({tuple(order) for order in orders}) > 4


def test_a_batch_has_the_layout_of_the_device(study: Study, store: Store) -> None:
    batches = Batches(task_for(study), store, KEYS, 3)
    (image, label), *_ = batches.of(Stretch(1, 0, 1), 2, CPU)
    assert image.shape == (2, 1, 8, 8, 8)
    assert image.is_contiguous(memory_format=torch.channels_last_3d)
    assert label.shape == (2, 1, 8, 8, 8)


def test_seeds_depend_on_every_part() -> None:
    seeds = {seed_of(1, "a"), seed_of(1, "b"), seed_of(2, "a"), seed_of("1a"), seed_of(1, "a", 0)}
    assert len(seeds) == 5
    assert seed_of(1, "a") == seed_of(1, "a")


def test_balanced_draws_show_rare_classes_as_often_as_common_ones(tmp_path: Path) -> None:
    study = load_study(
        settings=["task.kind=classification", "task.classes=['common', 'rare', 'none']"]
    )
    store = Store(tmp_path, "contract")
    for number in range(7):
        label = np.array(int(number == 6), np.uint8)
        empty = np.zeros((0, 4), np.int32)
        image = np.full((1, 4, 4, 4), float(number), np.float32)
        store.put(f"c{number}", Prepared(image, label, (1.0, 1.0, 1.0), empty))
    keys = [f"c{n}" for n in range(7)]
    task = task_for(study)
    batches = Batches(task, store, keys, 3, balance=True)
    labels = torch.cat([label for _, label in batches.of(Stretch(6, 0, 1), 4, CPU)])
    assert labels.tolist() == [0, 1] * 12
    plain = Batches(task, store, keys, 3)
    assert sum(int(label.sum()) for _, label in plain.of(Stretch(7, 0, 1), 4, CPU)) == 4
