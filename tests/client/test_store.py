import resource
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from small import ball, tiny

from fedvox.client import store as stores
from fedvox.client.store import Store, cache_folder
from fedvox.common.errors import ResourceError
from fedvox.common.study import contract_hash
from fedvox.common.tasks.task import Prepared, task_for


def prepared(number: int) -> Prepared:
    return task_for(tiny()).prepare(ball(number))


def test_what_comes_back_is_what_was_put_in_and_cannot_be_written(store: Store) -> None:
    case, expected = store.get("c3"), prepared(3)
    for name in ("image", "label", "foreground"):
        np.testing.assert_array_equal(getattr(case, name), getattr(expected, name))
    assert case.spacing == expected.spacing
    with pytest.raises(ValueError, match="read-only"):
        case.image[0, 0, 0, 0] = 1


def test_a_class_without_axes_comes_back_without_axes(store: Store) -> None:
    case = prepared(0)
    whole = Prepared(case.image, np.array(2, np.uint8), case.spacing, np.zeros((0, 4), np.int32))
    store.put("class", whole)
    assert int(store.get("class").label) == 2 and store.get("class").foreground.shape == (0, 4)


def test_another_contract_is_another_store(store: Store, tmp_path: Path) -> None:
    assert "c0" in Store(tmp_path / "cache", contract_hash(tiny()))
    other = Store(tmp_path / "cache", contract_hash(tiny("data.window=[0.0, 1.0]")))
    assert "c0" not in other


@pytest.mark.parametrize("kept", [0, 4, 100, -1])
def test_a_file_that_was_cut_off_counts_as_missing(kept: int, store: Store, tmp_path: Path) -> None:
    (path,) = store.folder.rglob("c1.safetensors")
    path.write_bytes(path.read_bytes()[:kept])
    fresh = Store(tmp_path / "cache", contract_hash(tiny()))
    assert "c1" not in fresh and "c0" in fresh
    fresh.put("c1", prepared(1))
    np.testing.assert_array_equal(fresh.get("c1").image, prepared(1).image)


def test_threads_may_put_and_get_the_same_case(store: Store) -> None:
    expected = prepared(7)

    def work(_: int) -> bool:
        store.put("same", expected)
        return bool(np.array_equal(store.get("same").image, expected.image))

    with ThreadPoolExecutor(4) as pool:
        assert all(pool.map(work, range(20)))
    assert not list(store.folder.rglob("*.part"))


def test_no_more_maps_are_kept_than_allowed(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stores, "_MOST_MAPS", 2)
    fresh = Store(store.folder.parent, contract_hash(tiny()))
    first = fresh.get("c0")
    assert fresh.get("c0") is first
    for number in range(1, 4):
        fresh.get(f"c{number}")
    assert fresh.get("c0") is not first
    np.testing.assert_array_equal(first.image, fresh.get("c0").image)


def test_more_cases_than_files_may_be_open(store: Store) -> None:
    """Many a system allows 256 or 1,024 files."""
    for number in range(150):
        store.put(f"many{number}", prepared(0))
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (128, limits[1]))
    try:
        fresh = Store(store.folder.parent, contract_hash(tiny()))
        labels = [int(fresh.get(f"many{number}").label.max()) for number in range(150)]
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, limits)
    assert len(labels) == 150


def test_a_folder_that_is_a_file_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(ResourceError, match="FEDVOX_CACHE"):
        Store(tmp_path / "file", "contract").put("c0", prepared(0))


def test_where_the_cache_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FEDVOX_CACHE", "/own")
    assert cache_folder() == Path("/own")
    monkeypatch.delenv("FEDVOX_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", "/xdg")
    assert cache_folder() == Path("/xdg/fedvox")
    monkeypatch.delenv("XDG_CACHE_HOME")
    assert cache_folder() == Path.home() / ".cache/fedvox"
