"""How a site dials out: straight or through a proxy, and never to anywhere it was not told."""

from __future__ import annotations

import json
import ssl
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

from fedvox.client.settings import SiteSettings
from fedvox.common.errors import InputError
from fedvox.common.identity.enrolment import MOST_BYTES

CONNECT_TIMEOUT_S = 10.0
ANSWER_TIMEOUT_S = 30.0


@dataclass(frozen=True)
class Proxy:
    """What the hospital lets its machines dial out through."""

    url: str = ""
    """http://host:port or https://host:port; empty for none."""
    authority_file: str = ""
    """PEM file with who vouches for an https proxy; empty for the system's."""

    @classmethod
    def of(cls, settings: SiteSettings) -> Proxy:
        """That of a site's settings."""
        return cls(settings.proxy, settings.proxy_ca)

    def for_http(self) -> httpx.Proxy | None:
        """The proxy as the HTTP library takes it; InputError where it cannot be one."""
        if not self.url:
            return None
        try:
            proxy = httpx.Proxy(self.url)
        except (ValueError, httpx.InvalidURL):
            raise InputError(self._wrong()) from None
        if proxy.url.scheme not in ("http", "https") or not proxy.url.host:
            raise InputError(self._wrong())
        if proxy.url.scheme == "https":
            proxy.ssl_context = self._context()
        return proxy

    def _wrong(self) -> str:
        # The URL is not repeated: it may hold a password.
        return "the proxy is no URL of one: write http://HOST:PORT or https://HOST:PORT"

    def _context(self) -> ssl.SSLContext:
        file = self.authority_file
        try:
            return ssl.create_default_context(cafile=file or None)
        except (OSError, ssl.SSLError):
            raise InputError(f"{file}: holds no certificate for the proxy (--proxy-ca)") from None

    def require_usable(self) -> None:
        """Raises InputError where the proxy or its authority is not one."""
        self.for_http()
        if self.authority_file and not Path(self.authority_file).is_file():
            raise InputError(f"{self.authority_file}: no such file (--proxy-ca)")


def site_http(context: ssl.SSLContext, proxy: Proxy) -> httpx.Client:
    """An HTTP client that takes nothing from the environment and follows no redirection."""
    return httpx.Client(
        verify=context,
        proxy=proxy.for_http(),
        trust_env=False,
        timeout=httpx.Timeout(ANSWER_TIMEOUT_S, connect=CONNECT_TIMEOUT_S),
    )


@dataclass(frozen=True)
class Answer:
    """What came back."""

    status: int
    content: bytes

    def fields(self) -> Mapping[str, Any]:
        """The JSON object it holds, or nothing."""
        try:
            found = json.loads(self.content)
        except (ValueError, RecursionError):
            return {}
        return found if isinstance(found, dict) else {}


class Unanswered(Exception):
    """An address gave no answer that can be used; the text says why, for the site's own eyes."""


def ask(http: httpx.Client, method: str, url: str, content: bytes | None = None) -> Answer:
    """Asks and reads the answer, up to a size and a time whatever the other end does."""
    until = time.monotonic() + ANSWER_TIMEOUT_S
    received = bytearray()
    headers = {"content-type": "application/json"} if content is not None else {}
    try:
        with http.stream(method, url, content=content, headers=headers) as response:
            for chunk in response.iter_raw():
                received += chunk
                if len(received) > MOST_BYTES or time.monotonic() > until:
                    raise Unanswered("the answer has no end")
            return Answer(response.status_code, bytes(received))
    except httpx.HTTPError as error:
        raise Unanswered(_why(error)) from None


def _why(error: httpx.HTTPError) -> str:
    if isinstance(error, httpx.ProxyError):
        return f"the proxy refused: {error}"
    if isinstance(error, httpx.TimeoutException):
        return "no answer in time"
    text = str(error) or type(error).__name__
    if "CERTIFICATE_VERIFY_FAILED" in text or "certificate verify failed" in text:
        return f"whoever answers is not the coordinator: {text}"
    return text
