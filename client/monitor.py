"""For the hospital's monitoring, on loopback only: /health, and /metrics for Prometheus.

Figures of this site for this site: nothing of it goes to the coordinator. `fedvox site start` has
it with --monitor-port; where systemd keeps the processes running, it is one of its own:
`python -m fedvox.client.monitor --home DIR --port P`.
"""

from __future__ import annotations

import argparse
import json
import signal
import sys
import threading
from collections.abc import Iterator, Sequence
from datetime import datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from prometheus_client import CollectorRegistry, ProcessCollector, generate_latest
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.metrics_core import Metric

from fedvox.client.policy.approvals import State
from fedvox.client.policy.link_state import link_of
from fedvox.client.policy.progress import now_of
from fedvox.client.policy.standing import standings
from fedvox.common.errors import FedvoxError, ResourceError
from fedvox.common.home import add_home, home_of
from fedvox.common.identity.certificates import utc_now
from fedvox.common.identity.credentials import Credentials
from fedvox.common.supervised import say_ready


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
        found += filter(None, [link_of(self._home).trouble])
        try:
            standings(self._home)
        except FedvoxError:
            found.append("the records of studies or the ledger cannot be read")
        return found

    def metrics(self) -> tuple[int, str, bytes]:
        """Status, type and text of an answer with the figures."""
        registry = CollectorRegistry(auto_describe=False)
        ProcessCollector(registry=registry)
        try:
            registry.register(self)
            return 200, "text/plain; version=0.0.4", generate_latest(registry)
        except FedvoxError as error:  # as /health tells
            return 503, "text/plain", f"{error}\n".encode()

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
        linked = GaugeMetricFamily("fedvox_site_connected", "1 while the link is connected")
        linked.add_metric([], float(not link_of(self._home).trouble))
        yield from (working, linked, days, rounds, sent, epsilon, waits)

    def _certificate_days(self) -> float:
        """By what the link shows: where it has a home of its own, it renews the one there."""
        try:
            until = link_of(self._home).certificate_until
            end = datetime.fromisoformat(until) if until else self._own_end()
            return (end - utc_now()).total_seconds() / 86400.0
        except (FedvoxError, ValueError, TypeError):
            return -1.0

    def _own_end(self) -> datetime:
        return Credentials.load(self._home / "identity").identity.not_after


def _handler(monitor: Monitor) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            if self.path == "/health":
                found = monitor.troubles()
                told = json.dumps({"healthy": not found, "troubles": found}).encode()
                self._answer(503 if found else 200, "application/json", told)
            elif self.path == "/metrics":
                self._answer(*monitor.metrics())
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


def main(words: Sequence[str] | None = None) -> int:
    """Answers until SIGTERM; the exit status."""
    parser = argparse.ArgumentParser(prog="python -m fedvox.client.monitor", description=__doc__)
    add_home(parser)
    parser.add_argument("--port", type=int, required=True, help="on 127.0.0.1")
    args = parser.parse_args(words)
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    monitor = Monitor(home_of(args), args.port)
    say_ready()
    stop.wait()
    monitor.stop()
    return 0


def _gauge(name: str, text: str, *labels: str) -> Any:
    return GaugeMetricFamily(name, text, labels=list(labels))


if __name__ == "__main__":
    try:
        sys.exit(main())
    except FedvoxError as error:
        print(f"monitor: {error}", file=sys.stderr)
        sys.exit(error.exit_status)
