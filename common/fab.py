"""The one app bundle that a run of fedvox carries: no code, only the names of what is installed.

Flower demands that a run has a bundle. A site takes no other than this one and never fetches it:
what runs at a hospital is the package that was installed there. Its bytes are the same in every
release, so that a difference of releases is told from a bundle that brings code.
"""

from __future__ import annotations

import hashlib
import io
import zipfile
from functools import cache

APP = "fedvox/fedvox"
"""The publisher and name under which Flower lists the run."""
VERSION = "1.0.0"
"""Of the bundle, not of fedvox."""
TASK = "flwr-serverapp"
"""The one kind of task that a run may be."""

_PYPROJECT = f"""\
[build-system]
requires = []
build-backend = "setuptools.build_meta"

[project]
name = "fedvox"
version = "{VERSION}"
description = "Names the installed package; holds no code."
license = "Apache-2.0"
dependencies = []

[tool.flwr.app]
publisher = "fedvox"

[tool.flwr.app.components]
serverapp = "fedvox.server.app:app"
clientapp = "fedvox.client.app:app"

[tool.flwr.app.config]
"""


@cache
def fab() -> bytes:
    """The bundle: a zip file, the same bytes on every machine."""
    content = _PYPROJECT.encode()
    listing = f"pyproject.toml,{hashlib.sha256(content).hexdigest()},{len(content) * 8}"
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_STORED) as bundle:
        _write(bundle, "pyproject.toml", content)
        _write(bundle, ".info/CONTENT", listing.encode())
    return buffer.getvalue()


@cache
def fab_hash() -> str:
    """SHA-256 of the bundle, by which both sides know it."""
    return hashlib.sha256(fab()).hexdigest()


def _write(bundle: zipfile.ZipFile, name: str, content: bytes) -> None:
    entry = zipfile.ZipInfo(name, (1980, 1, 1, 0, 0, 0))  # a clock's time would change the hash
    entry.create_system = 3
    bundle.writestr(entry, content)
