"""How a command asks the coordinator: over its Unix socket, signed with an operator's key."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import httpx

from fedvox.common.errors import FedvoxError, InputError
from fedvox.common.identity.credentials import Credentials
from fedvox.common.unix_paths import reachable
from fedvox.server.coordinator.operators import HEADER, header_for

SOCKET = "run/operator.sock"
OPERATOR_FILE = "operator.pem"


class Coordinator:
    """The coordinator that runs under a folder."""

    def __init__(self, home: Path, operator: Path | None = None) -> None:
        self._home = home
        self._own = Credentials.load_bundle(operator or home / OPERATOR_FILE)

    def get(self, path: str) -> dict[str, Any]:
        """What it tells."""
        told: dict[str, Any] = self._ask("GET", path).json()
        return told

    def post(self, path: str, body: bytes = b"", **headers: str) -> dict[str, Any]:
        """What it tells after it did something."""
        told: dict[str, Any] = self._ask("POST", path, body, headers).json()
        return told

    def fetch(self, path: str) -> bytes:
        """Bytes."""
        return self._ask("GET", path).content

    def _sent(self, method: str, path: str, body: bytes, headers: dict[str, str]) -> httpx.Response:
        with reachable(self._home / SOCKET) as name:
            transport = httpx.HTTPTransport(uds=name, verify=False, trust_env=False)
            with httpx.Client(
                transport=transport, base_url="http://coordinator", timeout=30.0, trust_env=False
            ) as http:
                return http.request(method, path, content=body, headers=headers)

    def _ask(
        self, method: str, path: str, body: bytes = b"", headers: dict[str, str] | None = None
    ) -> httpx.Response:
        signed = {**(headers or {}), HEADER: header_for(self._own, method, path, body)}
        try:
            answer = self._sent(method, path, body, signed)
        except (httpx.TransportError, FileNotFoundError):
            raise FedvoxError(
                f"{self._home}: no coordinator answers there; start it with "
                f"`fedvox coordinator start {self._home}`"
            ) from None
        if answer.is_success:
            return answer
        try:
            why = str(answer.json()["error"])
        except (ValueError, KeyError):
            why = f"it answered with status {answer.status_code}"
        raise InputError(f"the coordinator refused: {why}")
