"""Imports modules of MONAI without everything else that its packages would import.

`import monai.networks.nets.unet` runs the `__init__` of four packages, and those import all of
MONAI with matplotlib, pandas and half of scipy: two seconds of every start, in every worker. Here
a package of MONAI stays empty until a name is asked of it, and then imports the one module that
its `__init__` takes this name from. A name that cannot be found so runs the `__init__` after all:
what is slower always works.

To be called before the first import of MONAI; later it changes nothing.
"""

from __future__ import annotations

import ast
import sys
from collections.abc import Sequence
from functools import cache
from importlib import import_module
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec, PathFinder
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from types import ModuleType

_LIBRARY = "monai"


def spare_the_rest() -> None:
    """Lets MONAI's packages load piece by piece in this process."""
    if not any(isinstance(finder, _Finder) for finder in sys.meta_path):
        sys.meta_path.insert(0, _Finder())


class _Package(ModuleType):
    """A package that fetches a name when it is asked for it."""

    def __getattr__(self, name: str) -> object:
        if name == "__version__":
            return version(_LIBRARY)
        if name.startswith("__"):
            raise AttributeError(name)
        if module := _origins(str(self.__file__)).get(name):
            value = getattr(import_module(f".{module}", self.__name__), name)
            setattr(self, name, value)
            return value
        if find_spec(f"{self.__name__}.{name}"):
            return import_module(f"{self.__name__}.{name}")
        self._run_init()
        return getattr(self, name)

    def _run_init(self) -> None:
        self.__class__ = ModuleType  # type: ignore[assignment]  # which ends this way of finding names
        spec = self.__spec__
        if spec is not None and isinstance(spec.loader, _LaterLoader):
            spec.loader.init.exec_module(self)


class _LaterLoader(Loader):
    """Makes a package without running its `__init__`."""

    def __init__(self, init: Loader) -> None:
        self.init = init

    def create_module(self, spec: ModuleSpec) -> ModuleType:
        return _Package(spec.name)

    def exec_module(self, module: ModuleType) -> None:
        """Nothing yet."""

    def __getattr__(self, name: str) -> object:
        """Resources and sources are the real loader's."""
        return getattr(self.init, name)


class _Finder(MetaPathFinder):
    """Finds MONAI's packages, for the loader above."""

    def find_spec(
        self, name: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if name.partition(".")[0] != _LIBRARY:
            return None
        spec = PathFinder.find_spec(name, path, target)
        if spec is not None and spec.submodule_search_locations is not None and spec.loader:
            spec.loader = _LaterLoader(spec.loader)
        return spec


@cache
def _origins(init: str) -> dict[str, str]:
    """Name -> the module beside an `__init__` that it imports this name from."""
    body = ast.parse(Path(init).read_text(encoding="utf-8")).body
    return {
        name.name: statement.module
        for statement in body
        if isinstance(statement, ast.ImportFrom) and statement.level == 1 and statement.module
        for name in statement.names
        if name.asname is None
    }
