"""Bundles as `make bundle` lays them out, with a fedvox of one line in them, for tests."""

from __future__ import annotations

import ensurepip
import os
import platform
import shutil
import subprocess
import sys
import zipfile
from dataclasses import dataclass
from pathlib import Path

TOP = Path(__file__).parents[2]
DEPLOY = TOP / "deploy"
BASE_PATH = "/usr/sbin:/usr/bin:/sbin:/bin"


@dataclass(frozen=True)
class Bundle:
    """A bundle that was unpacked."""

    folder: Path
    fingerprint: str

    def install(
        self, root: Path, *words: str, role: str = "site"
    ) -> subprocess.CompletedProcess[str]:
        """Runs its install.sh, where that may be done in a network namespace with nothing in it."""
        command = [str(self.folder / "install.sh"), "--role", role, "--root", str(root)]
        if "--fingerprint" not in words:
            command += ["--fingerprint", self.fingerprint]
        return alone([*command, "--python", sys.executable, *words], root.parent)


def alone(command: list[str], home: Path) -> subprocess.CompletedProcess[str]:
    """What a command says without network (as root) and without this environment's variables."""
    apart = ["unshare", "-n"] if os.geteuid() == 0 and shutil.which("unshare") else []
    return subprocess.run(
        [*apart, *command],
        env={"PATH": BASE_PATH, "HOME": str(home)},
        capture_output=True,
        text=True,
        timeout=580,
    )


def toy_bundle(folder: Path, key: Path, version: str = "1.0") -> Bundle:
    """A bundle of a fedvox that only tells its version."""
    wheels = folder / "wheels"
    wheels.mkdir(parents=True)
    _toy_wheel(wheels, version)
    pip = next((Path(ensurepip.__file__).parent / "_bundled").glob("pip-*.whl"))
    shutil.copy(pip, wheels)
    for name in ("systemd", "proxy", "docker"):
        shutil.copytree(DEPLOY / name, folder / name)
    for name in ("install.sh", "fedvox-site", "firewall.md", "firewall.nft", "runbook.md"):
        shutil.copy(DEPLOY / name, folder)
    shutil.copy(TOP / "LICENSE", folder)
    (folder / "constraints.txt").write_text("")
    release = "{}.{}".format(*sys.version_info[:2])
    told = {"version": version, "python": release, "machine": platform.machine(), "commit": "0"}
    (folder / "BUNDLE").write_text("".join(f"{key}={value}\n" for key, value in told.items()))
    return Bundle(folder, sign(folder, key))


def sign(folder: Path, key: Path) -> str:
    """Signs a bundle anew; the fingerprint of the key."""
    done = subprocess.run(
        [str(DEPLOY / "sign.sh"), str(folder), str(key)], capture_output=True, text=True, timeout=60
    )
    if done.returncode:
        raise RuntimeError(done.stderr)
    return done.stdout.split(":")[1].replace(" ", "").strip()


def _toy_wheel(wheels: Path, version: str) -> None:
    about = f"fedvox-{version}.dist-info"
    files = {
        "fedvox.py": f"def main():\n    print('fedvox {version}')\n",
        f"{about}/METADATA": f"Metadata-Version: 2.1\nName: fedvox\nVersion: {version}\n",
        f"{about}/WHEEL": "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
        f"{about}/entry_points.txt": "[console_scripts]\nfedvox = fedvox:main\n",
    }
    files[f"{about}/RECORD"] = "".join(f"{name},,\n" for name in [*files, f"{about}/RECORD"])
    with zipfile.ZipFile(wheels / f"fedvox-{version}-py3-none-any.whl", "w") as wheel:
        for name, text in files.items():
            wheel.writestr(name, text)
