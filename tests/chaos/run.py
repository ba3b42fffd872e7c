"""`make chaos`: a consortium of real processes is harmed in every way, and its studies complete.

python tests/chaos/run.py [--only TEXT] [--seed N] [--sites N] [--keep DIR]

Every case is a study of its own in one and the same consortium, which is never founded anew: what a
case left behind is there in the next. A case holds when the study completes, its model is the one
of `fedvox simulate`, every round counts every site, and the logs of all sides still hold together;
under privacy, when every round was charged exactly once at every site.
"""

from __future__ import annotations

import argparse
import json
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from cases import CASES, Case, Scene
from line import Line
from watching import Sight

from fedvox.common.cli import main as fedvox
from fedvox.common.errors import FedvoxError
from fedvox.simulations.local.consortium import LocalConsortium, command

SETTINGS = (
    "simulation.patients=4", "training.rounds=3", "training.local_steps=12",
    "training.evaluate_every=0", "model.channels=[8, 16, 32]", "model.residual_units=1",
    "training.precision=fp32", "training.batch_size=4",
)  # fmt: skip
PRIVATE = ("privacy.mode=patient", "privacy.epsilon=0", "privacy.noise_multiplier=4.0",
           "privacy.delta=0.01", "participation.min_sites=2")  # fmt: skip
DISK_MB = 96


@dataclass(frozen=True)
class Outcome:
    """What a case came to."""

    case: Case
    problem: str
    seconds: float


def run(arguments: argparse.Namespace) -> int:
    """Runs the cases; 1 where one does not hold."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(130))  # what was started is ended as well
    cases = [case for case in CASES if arguments.only in case.name]
    random.Random(arguments.seed).shuffle(cases)
    begun = time.monotonic()
    with ExitStack() as stack:
        folder = arguments.keep or Path(stack.enter_context(tempfile.TemporaryDirectory()))
        folder.mkdir(parents=True, exist_ok=True)
        sites = [f"site-{number}" for number in range(1, arguments.sites + 1)]
        study = folder / "study.toml"
        study.write_text("")
        expected = simulated(folder, study, len(sites))
        disks = stack.enter_context(small_disks(folder / "consortium", sites[0]))
        lines: dict[str, Line] = {}

        def route(site: str, port: int) -> int:
            lines[site] = stack.enter_context(Line(port))
            return lines[site].port

        consortium = LocalConsortium(folder / "consortium", sites, route=route)
        stack.enter_context(consortium)
        consortium.found()
        consortium.start_sites()
        outcomes = []
        for number, case in enumerate(cases, 1):
            name = f"case-{number:02d}"
            scene = Scene(Sight(consortium, name, sites[0]), lines, disks)
            outcome = attempt(case, scene, study, expected)
            print(line_of(outcome, number, len(cases)), flush=True)
            outcomes.append(outcome)
    failed = [outcome for outcome in outcomes if outcome.problem]
    minutes = (time.monotonic() - begun) / 60
    print(f"{len(outcomes) - len(failed)} of {len(outcomes)} cases hold, {minutes:.1f} min, "
          f"seed {arguments.seed}, {len(sites)} sites")  # fmt: skip
    return 1 if failed else 0


def attempt(case: Case, scene: Scene, study: Path, expected: str) -> Outcome:
    """One case from its proposal to the check of all logs."""
    begun = time.monotonic()
    consortium, name = scene.sight.consortium, scene.sight.study
    try:
        count = len(consortium.names)
        settings = [*SETTINGS, f"simulation.sites={count}", f"study.name={name}"]
        consortium.propose(study, *settings, *(PRIVATE if case.private else ()))
        consortium.approve(name)
        case.harm(scene)
        for line in scene.lines.values():
            line.stuck = line.down = False
        told = consortium.wait_done(name, case.seconds)
        problem = problem_of(case, scene, told, expected)
    except (FedvoxError, TimeoutError) as error:
        problem = str(error)
    finally:
        for line in scene.lines.values():
            line.delay_s = line.bytes_per_s = 0.0
    if problem:
        stop_if_running(consortium, name)
    return Outcome(case, problem, time.monotonic() - begun)


def problem_of(case: Case, scene: Scene, told: dict[str, object], expected: str) -> str:
    """Why the case does not hold; empty when it does."""
    if told["state"] != "done":
        return f"{told['state']}: {told['note']}"
    if not case.private and told["model_sha256"] != expected:
        return f"another model: {str(told['model_sha256'])[:12]}"
    consortium = scene.sight.consortium
    rounds = (scene.sight.folder / "run" / "rounds.jsonl").read_text().splitlines()
    for line in map(json.loads, rounds):
        if line["answered"] != sorted(consortium.names):
            return f"round {line['round']} counts {line['answered']}"
    if len(rounds) != 3:
        return f"{len(rounds)} rounds on record"
    if case.private:
        for site in consortium.names:
            charged = sorted(Sight(consortium, scene.sight.study, site).charges())
            if charged != [(scene.sight.study, number) for number in (1, 2, 3)]:
                return f"{site} was charged for {charged}"
            command("site", "ledger", "--verify", "--home", str(consortium.home_of(site)))
    return audit_problem(consortium)


def audit_problem(consortium: LocalConsortium) -> str:
    """What does not hold in the logs of all sides together."""
    homes = [consortium.home, *(consortium.home_of(site) for site in consortium.names)]
    try:
        command("audit", "verify", *(str(home / "audit.jsonl") for home in homes))
    except FedvoxError as error:
        return f"audit: {error}"
    return ""


def stop_if_running(consortium: LocalConsortium, name: str) -> None:
    """So that the next case is not kept waiting by this one."""
    try:
        command("study", "stop", name, "--home", str(consortium.home))
    except FedvoxError as error:
        print(f"    {error}", flush=True)


def simulated(folder: Path, study: Path, sites: int) -> str:
    """The model of the same study by `fedvox simulate`."""
    out = folder / "simulated"
    words = [word for setting in SETTINGS for word in ("--set", setting)]
    asked = ["simulate", str(study), *words, "--sites", str(sites), "--out", str(out), "--quiet"]
    if fedvox(asked):
        raise FedvoxError("the simulation failed")
    return str(json.loads((out / "summary.json").read_text())["model_sha256"])


@contextmanager
def small_disks(folder: Path, site: str) -> Iterator[dict[str, Path]]:
    """The coordinator and one site on file systems of their own, which can be filled."""
    places = {"coordinator": folder / "coordinator", "site": folder / site}
    mounted: list[Path] = []
    try:
        for place in places.values():
            place.mkdir(parents=True)
            subprocess.run(
                ["mount", "-t", "tmpfs", "-o", f"size={DISK_MB}m,mode=0700", "tmpfs", str(place)],
                check=True,
            )
            mounted.append(place)
        yield places
    finally:
        for place in mounted:
            subprocess.run(["umount", "-l", str(place)], check=False)


def line_of(outcome: Outcome, number: int, count: int) -> str:
    """A line of the table."""
    verdict = f"FAILS: {outcome.problem}" if outcome.problem else "holds"
    return f"{number:>3}/{count}  {outcome.case.name:<48} {outcome.seconds:6.1f} s  {verdict}"


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", default="", help="cases with this text in their name")
    parser.add_argument("--seed", type=int, default=0, help="of the order of the cases")
    parser.add_argument("--sites", type=int, default=3)
    parser.add_argument("--keep", type=Path, help="a folder to leave everything in")
    sys.exit(run(parser.parse_args()))
