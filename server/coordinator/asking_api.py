"""How a command asks the coordinator: over its Unix socket, signed with an operator's key."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx

from fedvox.common.errors import InputError, UnreachableError
from fedvox.common.files import writing
from fedvox.common.identity.credentials import Credentials
from fedvox.common.unix_paths import reachable
from fedvox.server.coordinator.operators import HEADER, header_for

SOCKET = "run/operator.sock"
OPERATOR_FILE = "operator.pem"
_PIECE_BYTES = 1 << 20
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")


class NobodyThere(UnreachableError):
    """No coordinator runs under the folder now; it may be back in a moment."""


class Coordinator:
    """The coordinator that listens at a socket."""

    def __init__(self, socket: Path, operator: Path) -> None:
        """`operator` is a file with an operator's credential."""
        self._socket = socket
        self._own = Credentials.load_bundle(operator)

    def get(self, path: str) -> dict[str, Any]:
        """What it tells."""
        told: dict[str, Any] = self._ask("GET", path)
        return told

    def post(self, path: str, body: bytes = b"", **headers: str) -> dict[str, Any]:
        """What it tells after it did something."""
        told: dict[str, Any] = self._ask("POST", path, body, headers)
        return told

    def download(self, path: str, target: Path) -> None:
        """Writes what it sends to a file, piece by piece; whole or not at all."""
        target.parent.mkdir(parents=True, exist_ok=True)
        unfinished = target.with_name(f".{target.name}.{os.getpid()}")
        try:
            with writing(target), self._answer("GET", path) as answer, unfinished.open("wb") as out:
                for piece in answer.iter_bytes(_PIECE_BYTES):
                    out.write(piece)
            unfinished.replace(target)
        finally:
            unfinished.unlink(missing_ok=True)

    def _ask(
        self, method: str, path: str, body: bytes = b"", headers: dict[str, str] | None = None
    ) -> Any:
        with self._answer(method, path, body, headers) as answer:
            answer.read()
            return answer.json()

    @contextmanager
    def _answer(
        self, method: str, path: str, body: bytes = b"", headers: dict[str, str] | None = None
    ) -> Iterator[httpx.Response]:
        signed = {**(headers or {}), HEADER: header_for(self._own, method, path, body)}
        try:
            if self._socket.exists() and not os.access(self._socket, os.W_OK):
                raise PermissionError
            with (
                reachable(self._socket) as name,
                _dialled(name) as http,
                http.stream(method, path, content=body, headers=signed) as answer,
            ):
                _require_success(answer)
                yield answer
        except (httpx.TransportError, FileNotFoundError):
            home = str(self._socket).removesuffix(f"/{SOCKET}")
            raise NobodyThere(
                f"{home}: no coordinator answers there; start it with `fedvox coordinator start "
                f"{home if home != str(self._socket) else 'DIR'}`"
            ) from None
        except PermissionError:
            raise InputError(
                f"{self._socket}: this account may not use it; `fedvox coordinator start "
                "--operator-socket PATH` opens one for operators with accounts of their own"
            ) from None


def study_path(name: str, *more: str) -> str:
    """The path of a study; InputError for what no study can be called."""
    if _NAME.fullmatch(name) is None:
        raise InputError(f"there is no study {name!r}; `fedvox study list` tells which there are")
    return "/".join(("/studies", name, *more))


def _dialled(name: str) -> httpx.Client:
    transport = httpx.HTTPTransport(uds=name, verify=False, trust_env=False)
    return httpx.Client(
        transport=transport, base_url="http://coordinator", timeout=30.0, trust_env=False
    )


def _require_success(answer: httpx.Response) -> None:
    if answer.is_success:
        return
    answer.read()
    try:
        why = str(answer.json()["error"])
    except (ValueError, KeyError, TypeError):
        why = f"it answered with status {answer.status_code}; its log says why"
    raise InputError(f"the coordinator refused: {why}")
