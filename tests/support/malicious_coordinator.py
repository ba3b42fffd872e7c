"""A coordinator with genuine certificates that asks sites for what they must not do.

    python malicious_coordinator.py --home DIR --port P --at-once N

Everything is fedvox's own, but for what studies of certain names are asked for: see LIES.
"""

from __future__ import annotations

import sys
from dataclasses import replace
from typing import Any

from fedvox.common.messages import Request
from fedvox.common.study import Study, dump_study

LIES = {
    "code": "a run whose bundle brings code",
    "more-rounds": "rounds beyond those of the study that was approved",
    "less-noise": "in the rounds, less noise than in the study that was approved",
    "unapproved": "a study that nobody approved",
}
"""Name of a study -> what its sites are asked for."""


def text_with_less_noise(study: Study) -> str:
    privacy = study.privacy.model_copy(update={"noise_multiplier": 0.5})
    return dump_study(study.model_copy(update={"privacy": privacy}))


def conduct() -> int:
    """A conductor that lies for some studies."""
    from fedvox.server import rounds
    from fedvox.server.coordinator.conductor import main

    name = sys.argv[sys.argv.index("--study") + 1]
    if name == "less-noise":
        rounds.dump_study = text_with_less_noise
    if name == "more-rounds":
        honest = rounds.Federation.request

        def asked(self: Any, kind: Any, *given: Any, **settings: Any) -> Request:
            request = honest(self, kind, *given, **settings)
            return replace(request, round=request.round + 10**5) if kind == "train" else request

        rounds.Federation.request = asked  # type: ignore[method-assign]
    return main(sys.argv[2:])


def coordinate() -> int:
    """A coordinator whose conductors are these."""
    from fedvox.server.coordinator import process
    from fedvox.server.coordinator import scheduler as scheduling
    from fedvox.server.gate import gate

    popen = scheduling.subprocess.Popen
    honest = gate.Gate.open_run

    def started(command: list[str], **given: Any) -> Any:
        words = command[command.index("--home") :]
        return popen([sys.executable, __file__, "conduct", *words], **given)

    def open_run(self: Any, study: str) -> Any:
        state = self._counter.superlink.state
        create = state.create_run
        if study == "code":
            state.create_run = lambda app, version, fab, *rest: create(
                app, version, "c" * 64, *rest
            )
        try:
            return honest(self, study)
        finally:
            state.create_run = create

    scheduling.subprocess.Popen = started  # type: ignore[misc,assignment]
    gate.Gate.open_run = open_run  # type: ignore[method-assign]
    process.say_ready = lambda: print("coordinator ready", flush=True)
    return process.main(sys.argv[1:])


if __name__ == "__main__":
    sys.exit(conduct() if sys.argv[1] == "conduct" else coordinate())
