"""The machine: versions, memory, graphics card, disk, and who may read what."""

from __future__ import annotations

import os
import platform
import shutil
import stat
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, distribution, version
from pathlib import Path

from fedvox.client.check.finding import Check, Finding, green, red, yellow
from fedvox.client.check.visit import Visit

GIB = 1 << 30
_LITTLE_DISK_GIB, _NO_DISK_GIB = 10.0, 1.0
_LITTLE_MEMORY_GIB = 4.0
_NAMED = ("torch", "monai", "flwr")
"""Packages whose versions are told."""


def _python(visit: Visit) -> Finding:
    from packaging.specifiers import SpecifierSet

    needs = distribution("fedvox").metadata["Requires-Python"] or ""
    here = platform.python_version()
    if here not in SpecifierSet(needs):
        remedy = f"install fedvox under a Python {needs}"
        return red(f"Python {here}; fedvox needs {needs}", remedy, f"Python {here}, not {needs}")
    return green(f"Python {here}; fedvox needs {needs}", f"Python {here}")


def _packages(visit: Visit) -> Finding:
    """A study names no versions: every party runs this release, which says what it stands on."""
    told = ", ".join(f"{name} {version(name)}" for name in ("fedvox", *_NAMED))
    wrong = list(_unmet())
    if wrong:
        remedy = "install this release of fedvox anew, with its constraints.txt"
        return red(f"{'; '.join(wrong)} ({told})", remedy, f"{told}; not what the release needs")
    return green(f"{told}; all that this release needs is there", told)


def _unmet() -> Iterator[str]:
    from packaging.requirements import Requirement

    for line in distribution("fedvox").requires or ():
        wanted = Requirement(line)
        if wanted.marker is not None and not wanted.marker.evaluate({"extra": ""}):
            continue
        try:
            here = version(wanted.name)
        except PackageNotFoundError:
            yield f"{wanted.name} is missing"
            continue
        if not wanted.specifier.contains(here, prereleases=True):
            yield f"{wanted.name} {here}, needs {wanted.specifier}"


def _processor(visit: Visit) -> Finding:
    cores, total = os.cpu_count() or 1, memory_bytes("MemTotal")
    told = f"{cores} processor cores, {total / GIB:.0f} GiB of memory"
    if total < _LITTLE_MEMORY_GIB * GIB:
        return yellow(told, "training in 3D wants 8 GiB and more", told)
    return green(told, told)


def memory_bytes(what: str) -> int:
    """A figure of /proc/meminfo."""
    for line in Path("/proc/meminfo").read_text().splitlines():
        name, _, rest = line.partition(":")
        if name == what:
            return int(rest.split()[0]) * 1024
    return 0


def _gpu(visit: Visit) -> Finding:
    import torch

    wanted = visit.study.training.device if visit.study else "auto"
    if not torch.cuda.is_available():
        if wanted.startswith("cuda"):
            remedy = "install a driver and a torch for it, or ask for training.device = 'auto'"
            return red(f"torch sees no GPU; the study asks for {wanted}", remedy, "no GPU")
        remedy = "see trial.step for how long it takes without; a GPU is many times faster"
        return yellow("torch sees no GPU: trains on the processor", remedy, "no GPU")
    free, total = torch.cuda.mem_get_info()
    told = f"{torch.cuda.get_device_name()}, {total / GIB:.0f} GiB"
    if free < total / 2:
        remedy = "something else uses it (nvidia-smi); end that while the study runs"
        return yellow(f"{told}, only {free / GIB:.1f} GiB free", remedy, f"{told}, half in use")
    return green(f"{told}, {free / GIB:.0f} GiB free", told)


def _disk(visit: Visit) -> Finding:
    from fedvox.client.store import cache_folder

    places = {"home": visit.home, "cache": cache_folder()}
    free = {name: shutil.disk_usage(_there(path)).free / GIB for name, path in places.items()}
    told = ", ".join(f"{gib:.0f} GiB free under {name}" for name, gib in free.items())
    barred = [name for name, path in places.items() if not os.access(_there(path), os.W_OK)]
    if barred:
        remedy = "run as the user that the site runs as, or give that user the folder"
        return red(f"{' and '.join(barred)} cannot be written", remedy, "cannot be written")
    if min(free.values()) < _NO_DISK_GIB:
        return red(told, "free space: prepared images and updates would not fit", told)
    if min(free.values()) < _LITTLE_DISK_GIB:
        return yellow(told, "watch it: prepared images are as large as the dataset", told)
    return green(told, told)


def _there(path: Path) -> Path:
    """The folder, or the nearest above it that exists."""
    return next(place for place in (path, *path.parents) if place.exists())


def _permissions(visit: Visit) -> Finding | None:
    if not visit.home.exists():
        return None
    wrong = list(_exposed(visit.home))
    if wrong:
        names = ", ".join(str(path.relative_to(visit.home.parent)) for path in wrong)
        remedy = "chmod -R go-rwx on them; replace a key that others may have read"
        return red(f"others on this machine can read or change {names}", remedy, "files exposed")
    if stat.S_IMODE(visit.home.stat().st_mode) & 0o007:
        remedy = f"chmod o-rwx {visit.home}"
        return yellow("keys are the owner's alone; the home can be entered by all", remedy)
    return green("keys and policy are the owner's alone", "keys are the owner's alone")


def _exposed(home: Path) -> Iterator[Path]:
    for path in sorted(home.glob("identity/*")):
        secret = path.name in ("key.pem", "joining.pem") or path.suffix == ".key"
        if _mode(path) & (0o077 if secret else 0o022):
            yield path
    for name, bits in (("site.toml", 0o077), ("policy.toml", 0o022), ("policy.sig", 0o022)):
        if (home / name).exists() and _mode(home / name) & bits:
            yield home / name
    # Images are for nobody else to read; a group that a person made may.
    for name, bits in (("identity", 0o022), ("ledger", 0o022), ("data", 0o027), ("pacs", 0o027)):
        if (home / name).is_dir() and _mode(home / name) & bits:
            yield home / name


def _mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


CHECKS = (
    Check("machine.python", _python),
    Check("machine.packages", _packages),
    Check("machine.processor", _processor),
    Check("machine.gpu", _gpu),
    Check("machine.disk", _disk),
    Check("machine.permissions", _permissions),
)
