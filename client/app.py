"""The ClientApp of a site: the same handlers in a simulation and in a hospital."""

from __future__ import annotations

import logging
import threading
from importlib.metadata import entry_points
from typing import Protocol

from flwr.app import Context, Message
from flwr.clientapp import ClientApp

from fedvox.client.site import Site, read_study
from fedvox.client.training.learner import Learner
from fedvox.common.codec import CodecError
from fedvox.common.errors import Refusal, SiteError
from fedvox.common.messages import Reply, Request
from fedvox.common.study import Study
from fedvox.common.wire import read_request, reply_message

log = logging.getLogger(__name__)


class Sites(Protocol):
    """Finds the site that a message is for."""

    def site(self, context: Context, study: Study) -> Site:
        """The site of this node."""


def client_app(sites: Sites) -> ClientApp:
    """A ClientApp that answers for the sites that `sites` finds."""
    app = ClientApp()
    learners = _Learners()

    def handle(message: Message, context: Context) -> Message:
        return reply_message(_answer(message, context, sites, learners), message)

    app.query()(handle)
    app.train()(handle)
    app.evaluate()(handle)
    return app


class _SimulatedSites:
    """The sites of the simulation that a node's partition number belongs to, found by name."""

    def __init__(self) -> None:
        self._runs: dict[int, Sites] = {}
        self._lock = threading.Lock()

    def __reduce__(self) -> tuple[type[_SimulatedSites], tuple[()]]:
        return (_SimulatedSites, ())  # a process that receives the app starts with none

    def site(self, context: Context, study: Study) -> Site:
        """The site of this node."""
        if "partition-id" not in context.node_config:
            raise SiteError(Refusal.INTERNAL, "this node is no part of a simulation")
        with self._lock:
            if context.run_id not in self._runs:
                (found,) = entry_points(group="fedvox.simulation", name="sites")
                self._runs[context.run_id] = found.load()(context)
            sites = self._runs[context.run_id]
        return sites.site(context, study)


class _Learners:
    """One learner a thread: models do not multiply with the number of sites."""

    def __init__(self) -> None:
        self._own = threading.local()

    def __reduce__(self) -> tuple[type[_Learners], tuple[()]]:
        return (_Learners, ())  # a process that receives the app starts with none

    def get(self, study: Study) -> Learner:
        """This thread's learner for the study."""
        learner: Learner | None = getattr(self._own, "learner", None)
        if learner is None or learner.study != study:
            learner = Learner(study)
            self._own.learner = learner
        return learner


def _answer(message: Message, context: Context, sites: Sites, learners: _Learners) -> Reply:
    try:
        request: Request = read_request(message)
        study = read_study(request.study)
        site = sites.site(context, study)
        learner = None if request.kind == "describe" else learners.get(study)
    except CodecError as error:
        log.error("a request that cannot be read: %s", error)
        return Reply("", refusal=Refusal.WEIGHTS)
    except SiteError as error:
        log.error("a request was refused: %s", error.detail or error)
        return Reply("", refusal=error.refusal)
    except Exception:
        log.exception("a request could not be answered")
        return Reply("", refusal=Refusal.INTERNAL)
    return site.answer(request, learner)


app = client_app(_SimulatedSites())
"""What `flwr run` starts at every simulated site."""
