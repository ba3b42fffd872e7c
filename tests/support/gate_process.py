"""A gate as a process of its own, told what to do by lines of JSON: a coordinator for tests.

python gate_process.py HOME PORT [limit=value ...]
"""

import asyncio
import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from fedvox.common.identity.credentials import Credentials
from fedvox.common.identity.tls import server_context
from fedvox.server.consortium.enrolment import enrolment_app
from fedvox.server.consortium.registry import Registry
from fedvox.server.gate.gate import Gate, GateSettings
from fedvox.server.gate.limits import Limits


async def main(home: Path, port: int, limits: Limits) -> None:
    records = (home / "records.jsonl").open("a", buffering=1)

    def record(kind: str, fields: Mapping[str, Any]) -> None:
        records.write(json.dumps({"kind": kind, **fields}) + "\n")

    context = server_context(Credentials.load(home / "identity"))
    settings = GateSettings(home / "gate", "127.0.0.1", port, limits)
    app = enrolment_app(home, record)
    gate = Gate(settings, context, Registry(home), app, record)
    async with gate.open():
        say({"port": gate.port})
        loop = asyncio.get_running_loop()
        while line := await loop.run_in_executor(None, sys.stdin.readline):
            command, *words = json.loads(line)
            if command == "open":
                say(gate.open_run(words[0]).as_plain())
            elif command == "open-with-code":
                say(with_code(gate, words[0]))
            elif command == "close":
                gate.close_run(words[0])
                say({})
            elif command == "nodes":
                say(dict(gate.nodes()))
            elif command == "connections":
                say({"connections": gate.connections})


def with_code(gate: Gate, task: str) -> dict[str, Any]:
    """A run whose bundle brings code, or that is of another kind of task."""
    superlink = gate._counter.superlink
    create = superlink.state.create_run

    def changed(app: str, version: str, fab: str, *rest: Any) -> int:
        return int(create(app, version, fab if task else "c" * 64, *rest[:-1], task or rest[-1]))

    superlink.state.create_run = changed
    try:
        return gate.open_run("evil").as_plain()
    finally:
        superlink.state.create_run = create


def say(what: object) -> None:
    print(json.dumps(what), flush=True)


if __name__ == "__main__":
    given = dict(word.split("=") for word in sys.argv[3:])
    bounds = Limits(**{key: type(getattr(Limits(), key))(value) for key, value in given.items()})
    asyncio.run(main(Path(sys.argv[1]), int(sys.argv[2]), bounds))
