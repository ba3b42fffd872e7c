"""install.sh, from bundles with a fedvox of one line: what it refuses, makes and keeps."""

from __future__ import annotations

import shutil
import stat
import subprocess
from pathlib import Path

import pytest
from bundles import DEPLOY, Bundle, sign, toy_bundle
from cryptography.hazmat.primitives import serialization

from fedvox.common.identity.keys import fingerprint, load_key, new_key, verify


@pytest.fixture(scope="module")
def signed(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    place = tmp_path_factory.mktemp("release")
    return toy_bundle(place / "bundle", place / "keys" / "release.key")


@pytest.fixture
def bundle(signed: Bundle, tmp_path: Path) -> Bundle:
    """A copy to spoil."""
    shutil.copytree(signed.folder, tmp_path / "bundle")
    return Bundle(tmp_path / "bundle", signed.fingerprint)


def refused(bundle: Bundle, tmp_path: Path, *words: str) -> str:
    done = bundle.install(tmp_path / "root", *words)
    assert done.returncode != 0 and not (tmp_path / "root").exists(), done.stdout
    return done.stderr


def test_a_changed_wheel_is_refused(bundle: Bundle, tmp_path: Path) -> None:
    wheel = next(bundle.folder.glob("wheels/fedvox-*.whl"))
    content = bytearray(wheel.read_bytes())
    content[len(content) // 2] ^= 1
    wheel.write_bytes(content)
    said = refused(bundle, tmp_path)
    assert f"not as they were signed: wheels/{wheel.name}" in said
    assert "Nothing was installed" in said


def test_a_changed_wheel_with_its_checksum_is_refused(bundle: Bundle, tmp_path: Path) -> None:
    wheel = next(bundle.folder.glob("wheels/fedvox-*.whl"))
    wheel.write_bytes(wheel.read_bytes() + b"\0")
    sums = subprocess.run(
        "find . -type f ! -name 'SHA256SUMS*' -printf '%P\\n' | sort | xargs sha256sum",
        shell=True, cwd=bundle.folder, capture_output=True, text=True, check=True,
    ).stdout  # fmt: skip
    (bundle.folder / "SHA256SUMS").write_text(sums)
    assert "the signature of SHA256SUMS is wrong" in refused(bundle, tmp_path)


@pytest.mark.parametrize("name", ["SHA256SUMS.sig", "SHA256SUMS", "release.pem", "BUNDLE"])
def test_a_part_that_is_missing_is_named(bundle: Bundle, tmp_path: Path, name: str) -> None:
    (bundle.folder / name).unlink()
    assert f"{name} is missing" in refused(bundle, tmp_path)


def test_an_empty_signature_is_refused(bundle: Bundle, tmp_path: Path) -> None:
    (bundle.folder / "SHA256SUMS.sig").write_bytes(b"")
    assert "the signature of SHA256SUMS is wrong" in refused(bundle, tmp_path)


def test_a_bundle_signed_by_another_key_is_refused(bundle: Bundle, tmp_path: Path) -> None:
    assert sign(bundle.folder, tmp_path / "other.key") != bundle.fingerprint
    assert "signed with another key" in refused(bundle, tmp_path)


def test_a_wheel_that_nobody_signed_is_refused(bundle: Bundle, tmp_path: Path) -> None:
    wheel = next(bundle.folder.glob("wheels/fedvox-*.whl"))
    shutil.copy(wheel, bundle.folder / "wheels" / "fedvox-9.9-py3-none-any.whl")
    said = refused(bundle, tmp_path)
    assert "files that nobody signed: wheels/fedvox-9.9-py3-none-any.whl" in said


def test_a_link_that_nobody_signed_is_refused(bundle: Bundle, tmp_path: Path) -> None:
    (bundle.folder / "wheels" / "x.whl").symlink_to("/etc/hostname")
    assert "files that nobody signed: wheels/x.whl" in refused(bundle, tmp_path)


@pytest.mark.parametrize("given", ["", "abcd", "g" * 64])
def test_without_a_fingerprint_nothing_is_installed(
    bundle: Bundle, tmp_path: Path, given: str
) -> None:
    assert "64 hexadecimal digits" in refused(bundle, tmp_path, "--fingerprint", given)


def test_a_bundle_for_another_python_is_refused(bundle: Bundle, tmp_path: Path) -> None:
    told = (bundle.folder / "BUNDLE").read_text()
    (bundle.folder / "BUNDLE").write_text(told.replace("python=3", "python=4"))
    again = Bundle(bundle.folder, sign(bundle.folder, tmp_path / "release.key"))
    assert "is not Python 4." in refused(again, tmp_path)


def test_a_site_is_installed(bundle: Bundle, tmp_path: Path) -> None:
    root, spoken = (
        tmp_path / "root",
        " ".join(bundle.fingerprint[i : i + 4] for i in range(0, 64, 4)),
    )
    done = bundle.install(root, "--fingerprint", spoken.upper())
    assert done.returncode == 0, done.stderr
    program = root / "opt/fedvox/current/bin/fedvox"
    assert subprocess.check_output([program, "--version"], text=True) == "fedvox 1.0\n"
    state = root / "var/lib/fedvox"
    modes = {"link": 0o700, "trainer": 0o700, "run": 0o750}
    assert {name: stat.S_IMODE((state / name).stat().st_mode) for name in modes} == modes
    assert (state / "link/run").resolve() == (state / "trainer/run").resolve() == state / "run"
    units = {path.name for path in (root / "etc/systemd/system").iterdir()}
    services = ("link", "trainer", "monitor", "listen")
    assert units == {"fedvox.target", *(f"fedvox-{name}.service" for name in services)}
    assert "users: none are made with --root" in done.stdout
    assert len(done.stdout.split("next:\n")[1].splitlines()) == 3
    open_to_others = [
        p for p in (root / "opt").rglob("*") if not p.is_symlink() and p.stat().st_mode & 0o022
    ]
    assert not open_to_others


def test_an_upgrade_keeps_what_is_the_sites_own(bundle: Bundle, tmp_path: Path) -> None:
    root = tmp_path / "root"
    assert bundle.install(root).returncode == 0
    kept = root / "var/lib/fedvox/trainer/ledger/hearts"
    kept.mkdir(parents=True)
    (kept / "1.sqlite").write_bytes(b"rows")
    newer = toy_bundle(tmp_path / "newer", tmp_path / "release.key", "1.1")
    assert newer.install(root).returncode == 0
    assert (kept / "1.sqlite").read_bytes() == b"rows"
    current = root / "opt/fedvox/current"
    assert (
        subprocess.check_output([current / "bin/fedvox", "--version"], text=True) == "fedvox 1.1\n"
    )
    assert (root / "opt/fedvox/releases/1.0/bin/fedvox").exists()
    assert "is installed already" in bundle.install(root).stdout  # and back
    assert current.readlink() == Path("releases/1.0")


def test_another_build_of_the_same_release_is_refused(bundle: Bundle, tmp_path: Path) -> None:
    root = tmp_path / "root"
    assert bundle.install(root).returncode == 0
    (bundle.folder / "constraints.txt").write_text("# another\n")
    again = Bundle(bundle.folder, sign(bundle.folder, tmp_path / "release.key")).install(root)
    assert again.returncode != 0 and "another build of release 1.0" in again.stderr


def test_an_interrupted_installation_is_begun_again(bundle: Bundle, tmp_path: Path) -> None:
    root = tmp_path / "root"
    broken = root / "opt/fedvox/releases/1.0"
    (broken / "bin").mkdir(parents=True)
    (broken / "bin/fedvox").write_text("half")
    assert bundle.install(root).returncode == 0
    assert subprocess.check_output([broken / "bin/fedvox"], text=True) == "fedvox 1.0\n"


def test_the_signature_is_one_that_fedvox_verifies(signed: Bundle) -> None:
    pem = (signed.folder / "release.pem").read_bytes()
    key = load_key(signed.folder.parent / "keys" / "release.key")
    assert serialization.load_pem_public_key(pem) == key.public_key()
    assert fingerprint(key.public_key()) == signed.fingerprint
    sums = (signed.folder / "SHA256SUMS").read_bytes()
    assert verify(key.public_key(), sums, (signed.folder / "SHA256SUMS.sig").read_bytes())
    assert not verify(new_key().public_key(), sums, (signed.folder / "SHA256SUMS.sig").read_bytes())


def test_a_key_that_others_can_read_signs_nothing(bundle: Bundle, tmp_path: Path) -> None:
    sign(bundle.folder, tmp_path / "release.key")
    (tmp_path / "release.key").chmod(0o644)
    with pytest.raises(RuntimeError, match="others can read this key"):
        sign(bundle.folder, tmp_path / "release.key")


@pytest.mark.parametrize("name", ["install.sh", "bundle.sh", "sign.sh", "fedvox-site"])
def test_the_scripts_are_clean(name: str) -> None:
    if shutil.which("shellcheck") is None:
        pytest.skip("NOT TESTED: shellcheck is missing; install the Debian package")
    done = subprocess.run(["shellcheck", DEPLOY / name], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout
