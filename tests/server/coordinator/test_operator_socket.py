"""Operators with accounts of their own: a socket for everybody, at which the signature decides."""

from __future__ import annotations

import os
import stat
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from command import Said, fedvox, process
from enrolment import free_port

NOBODY = 65534


@pytest.fixture
def public() -> Iterator[Path]:
    """A folder that every account may look into, unlike pytest's own."""
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o755)
        yield Path(folder)


def as_nobody(*words: str | Path) -> Said:
    """`fedvox WORDS` by an account that owns nothing here."""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        os.setgroups([])
        os.setgid(NOBODY)
        os.setuid(NOBODY)
        said = fedvox(*words)
        os.write(writing, f"{said.status}\n{said.out}{said.err}".encode()[:60_000])
        os._exit(0)
    os.close(writing)
    with os.fdopen(reading) as pipe:
        status, _, text = pipe.read().partition("\n")
    os.waitpid(child, 0)
    return Said(int(status), text, text)


@pytest.mark.skipif(os.getuid() != 0, reason="to become another account takes root")
def test_a_viewer_with_an_account_of_her_own_looks_and_does_not_touch(
    tmp_path: Path, public: Path
) -> None:
    hub, port = tmp_path / "hub", free_port()
    hub.parent.chmod(0o700)
    assert fedvox("consortium", "init", hub, "--address", f"127.0.0.1:{port}").status == 0
    ann = public / "ann.pem"
    made = fedvox("consortium", "operator", "ann", "--rank", "viewer", "--home", hub, "--out", ann)
    assert made.status == 0
    os.chown(ann, NOBODY, NOBODY)
    own, door = hub / "run/operator.sock", public / "operator.sock"
    study = public / "study.toml"
    study.write_text('[study]\nname = "s"\n')
    words = ("coordinator", "start", hub, "--port", str(port), "--operator-socket", door)
    with process(*words) as running:
        assert running.stdout is not None and "ready" in running.stdout.readline()
        assert fedvox("study", "propose", study, "--home", hub).status == 0
        assert stat.S_IMODE(own.stat().st_mode) == 0o600

        listed = as_nobody("study", "list", "--socket", door, "--operator", ann)
        assert listed.status == 0 and "proposed" in listed.out
        told = as_nobody("study", "start", "s", "--socket", door, "--operator", ann)
        assert told.status == 2 and "this takes an operator of rank operator" in told.err
        shut = as_nobody("study", "list", "--socket", own, "--operator", ann)
        assert shut.status == 2 and "--operator-socket PATH" in shut.err
        running.terminate()
        assert running.wait(30) == 0
    gone = fedvox("study", "list", "--socket", door, "--operator", hub / "operator.pem")
    assert gone.status != 0 and "no coordinator answers there" in gone.err


def test_a_socket_that_cannot_be_made_is_told(tmp_path: Path) -> None:
    hub, port = tmp_path / "hub", free_port()
    fedvox("consortium", "init", hub, "--address", f"127.0.0.1:{port}")
    door = tmp_path / "nowhere" / "operator.sock"
    words = ("coordinator", "start", hub, "--port", str(port), "--operator-socket", door)
    with process(*words) as running:
        _, said = running.communicate(timeout=60)
    assert running.returncode == 2
    assert f"{door}: its folder is not there" in said
