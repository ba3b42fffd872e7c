"""For the hospital's monitoring, on loopback only: /health, and /metrics for Prometheus.

Figures of this site for this site: nothing of it goes to the coordinator.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from prometheus_client import CollectorRegistry, ProcessCollector, generate_latest
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.metrics_core import Metric

from fedvox.client.policy.approvals import State
from fedvox.client.policy.progress import now_of
from fedvox.client.policy.standing import standings
from fedvox.common.errors import FedvoxError, ResourceError
from fedvox.common.identity.certificates import utc_now
from fedvox.common.identity.credentials import Credentials


class Monitor:
    """Answers on a port of this machine until it is stopped."""

    def __init__(self, home: Path, port: int) -> None:
        self._home = home
        try:
            self._server = ThreadingHTTPServer(("127.0.0.1", port), _handler(self))
        except OSError as error:
            raise ResourceError(
                f"127.0.0.1:{port}: cannot be listened on: {error.strerror}; choose another "
                "--monitor-port"
            ) from error
        self._server.daemon_threads = True
        self.port = int(self._server.server_address[1])
        threading.Thread(target=self._server.serve_forever, name="monitor", daemon=True).start()

    def stop(self) -> None:
        """Ends it."""
        self._server.shutdown()
        self._server.server_close()

    def troubles(self) -> list[str]:
        """What does not work now, in words; empty when all does."""
        now, found = now_of(self._home), []
        if now is None or not now.is_running:
            found.append("the trainer does not run")
        if not self._certificate_days() > 0:
            found.append("the site's certificate has ended or cannot be read")
        try:
            standings(self._home)
        except FedvoxError:
            found.append("the records of studies or the ledger cannot be read")
        return found

    def collect(self) -> Iterator[Metric]:
        """The figures of now."""
        now = now_of(self._home)
        working = GaugeMetricFamily("fedvox_site_working", "1 while a study is worked on")
        working.add_metric([], float(bool(now and now.is_running and now.study)))
        days = GaugeMetricFamily("fedvox_site_certificate_days", "until the certificate ends")
        days.add_metric([], self._certificate_days())
        rounds = _gauge("fedvox_site_rounds", "rounds answered", "study")
        sent = _gauge("fedvox_site_bytes_sent", "bytes that have left", "study")
        epsilon = _gauge("fedvox_site_epsilon", "spent of the patients' privacy", "study")
        waits = GaugeMetricFamily("fedvox_site_studies_waiting", "studies that wait for a person")
        found = standings(self._home)
        for one in found:
            rounds.add_metric([one.name], one.rounds_done)
            sent.add_metric([one.name], one.bytes_sent)
            epsilon.add_metric([one.name], one.epsilon or 0.0)
        waits.add_metric([], sum(one.state == State.WAITING for one in found))
        yield from (working, days, rounds, sent, epsilon, waits)

    def _certificate_days(self) -> float:
        try:
            own = Credentials.load(self._home / "identity").identity
        except FedvoxError:
            return -1.0
        return (own.not_after - utc_now()).total_seconds() / 86400.0


def _handler(monitor: Monitor) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            if self.path == "/health":
                found = monitor.troubles()
                told = json.dumps({"healthy": not found, "troubles": found}).encode()
                self._answer(503 if found else 200, "application/json", told)
            elif self.path == "/metrics":
                registry = CollectorRegistry()
                ProcessCollector(registry=registry)
                registry.register(monitor)
                self._answer(200, "text/plain; version=0.0.4", generate_latest(registry))
            else:
                self._answer(404, "text/plain", b"/health or /metrics\n")

        def _answer(self, status: int, kind: str, body: bytes) -> None:
            self.send_response(status)
            self.send_header("content-type", kind)
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *told: object) -> None:
            """A look at the monitor is no event."""

    return Handler


def _gauge(name: str, text: str, *labels: str) -> Any:
    return GaugeMetricFamily(name, text, labels=list(labels))
