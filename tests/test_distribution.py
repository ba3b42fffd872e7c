"""What is packed, and what it stands on."""

import re
import tomllib
from importlib.metadata import distribution, entry_points, requires
from pathlib import Path
from typing import Any

TOP = Path(__file__).parent.parent
FOLDERS = ("client", "common", "server", "simulations")


def project() -> dict[str, Any]:
    return tomllib.loads((TOP / "pyproject.toml").read_text())


def plain(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def pinned() -> dict[str, str]:
    lines = (TOP / "constraints.txt").read_text().splitlines()
    return {plain(name): version for name, version in (line.split("==") for line in lines if line)}


def test_every_folder_with_sources_is_packed() -> None:
    on_disk = {
        "fedvox." + ".".join(path.parent.relative_to(TOP).parts)
        for folder in FOLDERS
        for path in (TOP / folder).rglob("*.py")
    }
    packages = project()["tool"]["setuptools"]["packages"]
    assert set(packages) == on_disk and packages == sorted(packages)


def test_every_folder_with_sources_is_a_package() -> None:
    for folder in FOLDERS:
        for path in (TOP / folder).rglob("*.py"):
            assert (path.parent / "__init__.py").exists(), path.parent


def test_every_other_file_among_the_sources_is_packed() -> None:
    data = project()["tool"]["setuptools"]["package-data"]
    for folder in FOLDERS:
        for path in (TOP / folder).rglob("*"):
            if path.is_dir() or path.suffix in (".py", ".pyc"):
                continue
            package = "fedvox." + ".".join(path.parent.relative_to(TOP).parts)
            assert any(path.match(pattern) for pattern in data.get(package, [])), path


def test_every_dependency_is_pinned() -> None:
    table = project()["project"]
    wanted = [*table["dependencies"], *table["optional-dependencies"]["dev"]]
    names = {plain(re.match(r"[A-Za-z0-9._-]+", line)[0]) for line in wanted}  # type: ignore[index]
    assert names <= set(pinned())


def test_what_the_dependencies_depend_on_is_pinned() -> None:
    from packaging.requirements import Requirement

    versions = pinned()
    for name in versions:
        for line in requires(name) or ():
            wanted = Requirement(line)
            # A torch for graphics cards pins its own CUDA packages; one for processors has none.
            if name == "torch" and plain(wanted.name).startswith(("cuda", "nvidia", "triton")):
                continue
            if wanted.marker is None or wanted.marker.evaluate({"extra": ""}):
                assert plain(wanted.name) in versions | {"setuptools": "", "pip": ""}, (
                    f"{name}: {line}"
                )


def test_what_is_installed_here_is_what_is_pinned() -> None:
    for name, version in pinned().items():
        assert distribution(name).version.partition("+")[0] == version.partition("+")[0], name


def test_what_drags_in_another_torch_stays_out() -> None:
    assert not {"medmnist", "torchvision", "torchaudio", "timm"} & set(pinned())
    assert pinned()["torch"] == "2.13.0" and pinned()["flwr"] == "1.41.0"


def test_flowers_app_and_the_simulation_behind_it_can_be_loaded() -> None:
    from flwr.clientapp import ClientApp
    from flwr.serverapp import ServerApp

    from fedvox.client import app as client
    from fedvox.server import app as server

    assert project()["tool"]["flwr"]["app"]["components"] == {
        "serverapp": "fedvox.server.app:app",
        "clientapp": "fedvox.client.app:app",
    }
    assert isinstance(client.app, ClientApp) and isinstance(server.app, ServerApp)
    found = {entry.name: entry.load() for entry in entry_points(group="fedvox.simulation")}
    assert set(found) == {"cohort", "complete", "sites", "study"} and all(
        map(callable, found.values())
    )
