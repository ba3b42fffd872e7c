from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from small import ball, tiny

from fedvox.client.store import Store
from fedvox.common.study import Study, contract_hash
from fedvox.common.tasks.task import task_for


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture
def study() -> Study:
    return tiny()


@pytest.fixture
def store(tmp_path: Path, study: Study) -> Store:
    """Six prepared cases with the keys c0 to c5."""
    store = Store(tmp_path / "cache", contract_hash(study))
    task = task_for(study)
    for number in range(6):
        store.put(f"c{number}", task.prepare(ball(number)))
    return store
