"""Processes of a consortium to be timed: `python -m fedvox.simulations.bench.network_parts ROLE`.

gate HOME             the coordinator's gate; opens one run and prints its ticket
trainer HOME          answers at once, with an update of random numbers for what came in
sites JSON            many sites in one process, of which two at a time hold a model
conductor JSON        asks the sites of the ticket on its standard input, round after round

Each goes on until its standard input ends, and then prints what it took.
"""

from __future__ import annotations

import asyncio
import json
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np

from fedvox.common.arrays import Arrays
from fedvox.common.identity.credentials import Credentials
from fedvox.common.messages import Reply
from fedvox.simulations.bench.measure import peak_bytes

_STUDY = """
[study]
name = "bench"

[training]
rounds = {rounds}
evaluate_every = 0

[participation]
max_update_norm = 1e6
"""
_PATIENTS = 10
_HOLDING = 2


def model(elements: int) -> dict[str, np.ndarray]:
    """Weights of so many numbers, in tensors of which the largest has a quarter, as in a U-Net."""
    rng, sixteenth = np.random.default_rng(0), elements // 16
    sizes = [sixteenth, sixteenth, 2 * sixteenth, 4 * sixteenth, 4 * sixteenth, 2 * sixteenth]
    sizes.append(elements - sum(sizes))
    return {f"layer.{n}": rng.random(size, np.float32) for n, size in enumerate(sizes)}


def gate(home: str) -> None:
    """The gate of a consortium on a free port, until the input ends."""
    from fedvox.common.identity.tls import server_context
    from fedvox.server.consortium.enrolment import enrolment_app
    from fedvox.server.consortium.registry import Registry
    from fedvox.server.consortium.settings import CoordinatorSettings
    from fedvox.server.gate.gate import Gate, GateSettings

    folder = Path(home)
    context = server_context(Credentials.load(folder / "identity"))
    port = CoordinatorSettings.load(folder).port
    made = Gate(
        GateSettings(folder / "gate", "127.0.0.1", port),
        context,
        Registry(folder),
        enrolment_app(folder),
        lambda kind, fields: None,
    )

    async def serve() -> None:
        async with made.open():
            _say(made.open_run("bench").as_plain())
            await asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)

    asyncio.run(serve())
    _say({"peak_bytes": peak_bytes()})


def trainer(home: str) -> None:
    """A trainer that does not train."""
    import grpc

    from fedvox.client.contract.address import SERVER_OPTIONS, address_of, socket_of
    from fedvox.client.contract.trainer_pb2_grpc import add_TrainerServicer_to_server
    from fedvox.common.identity.secret_files import make_private_folder

    socket = socket_of(Path(home))
    make_private_folder(socket.parent)
    server = grpc.server(ThreadPoolExecutor(2), options=SERVER_OPTIONS)
    add_TrainerServicer_to_server(_Echo(), server)
    server.add_insecure_port(address_of(socket))
    server.start()
    _say({"ready": True})
    sys.stdin.read()
    server.stop(0)


class _Echo:
    """Answers each request by an update of other numbers, as large as the weights."""

    def Describe(self, chunks: Iterator[Any], context: Any) -> Iterator[Any]:
        return self._answer(chunks)

    def Train(self, chunks: Iterator[Any], context: Any) -> Iterator[Any]:
        return self._answer(chunks)

    def Evaluate(self, chunks: Iterator[Any], context: Any) -> Iterator[Any]:
        return self._answer(chunks)

    def Cancel(self, request: Any, context: Any) -> Any:
        from fedvox.client.contract import trainer_pb2 as wire

        return wire.CancelReply()

    def Health(self, request: Any, context: Any) -> Any:
        from fedvox.client.contract import trainer_pb2 as wire

        return wire.HealthReply(site="echo")

    def _answer(self, chunks: Iterator[Any]) -> Iterator[Any]:
        from fedvox.client.contract import trainer_pb2 as wire
        from fedvox.client.contract.heads import ReplyHead, reply_on_wire, request_from_wire
        from fedvox.client.contract.stream import (
            MOST_GROUP_BYTES,
            announced,
            parts,
            read_groups,
            sizes_of,
        )
        from fedvox.common.codec import decode, encode

        first = next(chunks)
        request = request_from_wire(first.request)
        groups = read_groups(announced(first.request.groups, MOST_GROUP_BYTES), chunks)
        arrays = decode(groups.pop("weights"))
        answer = {"update": encode(_other(arrays))}
        head = ReplyHead("", request.round, request.weights_sha256, examples=_PATIENTS)
        yield wire.Chunk(reply=reply_on_wire(head, sizes_of(answer)))
        yield from parts(answer)


def _other(arrays: Arrays) -> Arrays:
    rng = np.random.default_rng()
    return {name: rng.random(array.shape, np.float32) - 0.5 for name, array in arrays.items()}


def sites(settings: str) -> None:
    """Links without trainers, one thread each; a site waits for its turn before it fetches."""
    from fedvox.client.contract.heads import ReplyHead
    from fedvox.client.joining.dialling import Proxy
    from fedvox.client.link.dial import Line
    from fedvox.client.link.fleet import Fleet
    from fedvox.client.link.translate import content_of, request_of
    from fedvox.common.codec import decode, encode

    given = json.loads(settings)
    turns, rounds = threading.Semaphore(_HOLDING), int(given["rounds"])

    def work(home: str) -> None:
        line = Line(Credentials.load(Path(home) / "identity"), Proxy())
        with Fleet(str(given["url"]), line) as fleet:
            fleet.activate()
            done = 0
            while done < rounds:
                instruction = fleet.next()
                if instruction is None:
                    continue
                with turns:
                    head, groups = request_of(fleet.fetch(instruction, 1 << 31))
                    update = encode(_other(decode(groups.pop("weights"))))
                    site, weights = Path(home).name, head.weights_sha256
                    reply = ReplyHead(site, head.round, weights, examples=_PATIENTS)
                    fleet.answer(content_of(reply, {"update": update}), instruction)
                    del update
                fleet.done_with(instruction)
                done += 1

    with ThreadPoolExecutor(len(given["homes"])) as pool:
        _say({"ready": True})
        list(pool.map(work, given["homes"]))
    sys.stdin.read()


def conductor(settings: str) -> None:
    """Rounds as a study's conductor has them: asked, answered, admitted, folded, kept on disk."""
    from fedvox.common.memory import give_large_blocks_back
    from fedvox.common.study import parse_study
    from fedvox.server.checkpoint import Checkpoints, opened
    from fedvox.server.events import Event
    from fedvox.server.flower_private import grid_for
    from fedvox.server.gate.ticket import RunTicket
    from fedvox.server.presence import Online
    from fedvox.server.record import RoundLog
    from fedvox.server.rounds import Federation, run_rounds
    from fedvox.server.strategies.registry import strategy_for

    give_large_blocks_back()
    given = json.loads(settings)
    names, folder = list(given["sites"]), Path(given["folder"])
    study = parse_study(_STUDY.format(rounds=int(given["rounds"])))
    strategy, before = strategy_for(study), peak_bytes()
    times: dict[tuple[str, int], float] = {}

    def watch(event: Event) -> None:
        times[event.kind, event.round] = time.perf_counter()

    with grid_for(RunTicket.from_plain(json.loads(sys.stdin.readline())), folder) as grid:
        presence = Online(grid, names)
        while len(presence.seats()) < len(names):
            time.sleep(0.1)
        facts = {name: Reply(name, 0, "", examples=_PATIENTS) for name in names}
        checkpoints, log = Checkpoints(folder / "checkpoints"), RoundLog(folder / "rounds.jsonl")
        federation = Federation(
            grid, study, strategy, checkpoints, log, lambda tally: {}, watch, presence, facts
        )
        first = strategy.start(model(int(given["elements"])))
        path = checkpoints.save(first, "", "")
        del first
        run_rounds(federation, opened(path))
    rounds = range(1, int(given["rounds"]) + 1)
    seconds = [times["trained", number] - times["asked", number] for number in rounds]
    _say({"seconds": seconds, "peak_bytes": peak_bytes(), "before_bytes": before})


def _say(what: object) -> None:
    print(json.dumps(what), flush=True)


ROLES: dict[str, Callable[[str], None]] = {
    "gate": gate,
    "trainer": trainer,
    "sites": sites,
    "conductor": conductor,
}

if __name__ == "__main__":
    ROLES[sys.argv[1]](sys.argv[2])
