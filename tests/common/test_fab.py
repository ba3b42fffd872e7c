"""The bundle that every run carries: without code, the same everywhere, and one that Flower takes."""

from __future__ import annotations

import io
import zipfile
from pathlib import Path

import pytest

from fedvox.common.fab import APP, TASK, VERSION, fab, fab_hash


def test_its_bytes_never_change() -> None:
    """Sites of one release and a coordinator of another must tell a bundle with code from this."""
    assert fab_hash() == "fdbff55c8aeab6a5a35cdf4f7567c6b40b9d0f2fa9a9ffbe5d510db06f68f86c"


def test_it_holds_no_code() -> None:
    with zipfile.ZipFile(io.BytesIO(fab())) as bundle:
        assert bundle.namelist() == ["pyproject.toml", ".info/CONTENT"]


def test_flower_can_read_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from flwr.cli.config_utils import get_fab_metadata
    from flwr.cli.install import install_from_fab
    from flwr.supercore.constant import TaskType

    monkeypatch.setenv("FLWR_HOME", str(tmp_path))
    assert get_fab_metadata(fab()) == (APP, VERSION)
    placed = install_from_fab(fab(), tmp_path / "apps", skip_prompt=True)
    assert [path.name for path in placed.iterdir()] == ["pyproject.toml"]
    assert TaskType.SERVER_APP == TASK
