"""For monitoring, on loopback only: /health, which tells the truth, and /metrics for Prometheus."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from prometheus_client import CollectorRegistry, ProcessCollector, generate_latest
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.metrics_core import Metric
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route

from fedvox.server.coordinator.status import Nodes
from fedvox.server.coordinator.studies import State, Studies


@dataclass(frozen=True)
class Observed:
    """What is looked at when somebody asks; nothing is kept between two questions."""

    home: Path
    nodes: Callable[[], Nodes]
    troubles: Callable[[], list[str]]
    """What does not work now, in words; empty when all does."""

    def app(self) -> Starlette:
        """As a server runs it."""
        return Starlette(
            routes=[Route("/health", self._health), Route("/metrics", self._metrics)],
        )

    def _health(self, request: Request) -> Response:
        try:
            troubles = self.troubles()
        except Exception as error:
            troubles = [f"cannot be told: {type(error).__name__}"]
        told = {"healthy": not troubles, "troubles": troubles}
        return JSONResponse(told, 200 if not troubles else 503)

    def _metrics(self, request: Request) -> Response:
        registry = CollectorRegistry()
        ProcessCollector(registry=registry)
        registry.register(self)
        return PlainTextResponse(generate_latest(registry).decode())

    def collect(self) -> Iterator[Metric]:
        """The figures of now."""
        studies = Studies(self.home)
        records = [(record, studies.progress(record.name)) for record in studies.all()]
        state = GaugeMetricFamily(
            "fedvox_study_state", "1 for its state", labels=["study", "state"]
        )
        done = _gauge("fedvox_study_round", "rounds closed", "study")
        rounds = _gauge("fedvox_study_rounds", "rounds in all", "study")
        epsilon = _gauge("fedvox_site_epsilon", "spent in the study", "study", "site")
        for record, progress in records:
            for one in State:
                state.add_metric([record.name, str(one)], float(record.state is one))
            done.add_metric([record.name], float(progress.get("round", 0)))
            rounds.add_metric([record.name], float(progress.get("rounds", 0)))
            for site, told in progress.get("sites", {}).items():
                epsilon.add_metric([record.name, site], float(told.get("epsilon", 0.0)))
        online = _gauge("fedvox_site_online", "1 while its link is connected", "site")
        for site, (there, _) in self.nodes().items():
            online.add_metric([site], float(there))
        yield from (state, done, rounds, epsilon, online)


def _gauge(name: str, text: str, *labels: str) -> Any:
    return GaugeMetricFamily(name, text, labels=list(labels))
