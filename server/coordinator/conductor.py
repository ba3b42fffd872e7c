"""The process that conducts one study: the ServerApp of its run, started by the coordinator.

It reads its ticket for Flower's runtime from standard input. Its exit status says what became of
the study: 0 done, 2 it cannot go on as it is; anything else is an accident, after which it is
started again and goes on from its checkpoint.
"""

from __future__ import annotations

import argparse
import json
import math
import sys
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

from flwr.serverapp import Grid

from fedvox.common.audit.log import read_log
from fedvox.common.audit.rounds import Closed, RoundRecord
from fedvox.common.audit.trail import FILE, IDENTITY, trail
from fedvox.common.errors import (
    CheckpointError,
    FedvoxError,
    InputError,
    NotFiniteError,
    QuorumError,
)
from fedvox.common.files import RunLock, write_json_atomic, write_text_atomic
from fedvox.common.identity.credentials import Credentials
from fedvox.common.identity.keys import PublicKey, public_key_of
from fedvox.common.memory import give_large_blocks_back
from fedvox.common.study import Study, dump_study, study_hash
from fedvox.common.supervised import die_with_parent
from fedvox.server.conduct import Company, Conducted, conduct
from fedvox.server.consortium.registry import Registry
from fedvox.server.coordinator.progress import Progress
from fedvox.server.coordinator.studies import Studies
from fedvox.server.coordinator.witnessing import SignedRounds
from fedvox.server.events import Event, Watch
from fedvox.server.flower_private import grid_for
from fedvox.server.gate.ticket import RunTicket
from fedvox.server.meet import meet_sites
from fedvox.server.presence import Online
from fedvox.server.record import RoundLog
from fedvox.server.summary import federation_summary, sites_of
from fedvox.server.watch import many
from fedvox.server.watch.lines import lines

_PAUSES_S = (5.0, 10.0, 20.0, 60.0)
"""A round that too few sites answered is tried again after a while, for as long as it takes."""
HOPELESS = (InputError, CheckpointError, NotFiniteError)
"""What would be the same after a restart."""


def main(argv: Sequence[str] | None = None) -> int:
    """Conducts the study that the command line names; the exit status."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--home", type=Path, required=True)
    parser.add_argument("--study", required=True)
    args = parser.parse_args(argv)
    die_with_parent()
    give_large_blocks_back()
    ticket = RunTicket.from_plain(json.loads(sys.stdin.readline()))
    studies = Studies(args.home)
    study = studies.study(args.study)
    progress = Progress(
        studies.folder(args.study) / "progress.json",
        study,
        studies.get(args.study).sites,
        RoundLog(studies.run_folder(args.study) / "rounds.jsonl").read(),
    )
    try:
        _Conducting(args.home, study, progress).all(ticket)
    except HOPELESS as error:
        progress.phase("failed", note=str(error))
        return 2
    return 0


class _Conducting:
    """One study at one coordinator."""

    def __init__(self, home: Path, study: Study, progress: Progress) -> None:
        studies = Studies(home)
        self._study = study
        self._record = studies.get(study.study.name)
        self._folder = studies.run_folder(study.study.name)
        self._home = home
        self._progress = progress
        self._notes: list[str] = []

    def all(self, ticket: RunTicket) -> None:
        grid = grid_for(ticket, self._folder)
        from fedvox.server.watch.tensorboard import tensorboard

        with RunLock(self._folder):
            write_text_atomic(self._folder / "study.toml", dump_study(self._study))
            with tensorboard(self._folder / "tensorboard") as scalars:
                conducted = self._conducted(grid, scalars)
            self._progress.phase("writing the report")
            self._leave(conducted)
            self._progress.phase("done", model_sha256=conducted.model_sha256, note="")

    def _conducted(self, grid: Grid, scalars: Watch) -> Conducted:
        from fedvox.common.tasks.task import initial_weights, task_for

        study = self._study
        watch = many(self._watch, self._progress, scalars, lines(sys.stdout))
        sites, tries = self._record.sites, 0
        presence = Online(grid, sites)
        company = Company(
            lambda grid, study: meet_sites(grid, presence, sites, study, watch),
            sites,
            self._witness(),
        )
        while True:
            try:
                return conduct(
                    grid,
                    study,
                    self._folder,
                    lambda: initial_weights(study),
                    task_for(study).metrics,
                    watch,
                    company,
                )
            except QuorumError as error:
                self._wait(watch, error, _PAUSES_S[min(tries, len(_PAUSES_S) - 1)])
                tries += 1

    def _wait(self, watch: Watch, error: QuorumError, pause_s: float) -> None:
        self._progress.phase("waiting", note=str(error))
        watch(Event("note", detail={"text": f"{error}; tried again in {pause_s:g} s"}))
        time.sleep(pause_s)

    def _witness(self) -> SignedRounds:
        credentials, log = Credentials.load(self._home / IDENTITY), trail(self._home)
        study_sha256 = study_hash(self._study)
        registry = Registry(self._home)

        def key_of(site: str) -> PublicKey | None:
            key = registry.node_key(site)
            return public_key_of(key) if key else None

        last = _last_closed(self._home, study_sha256, credentials)
        return SignedRounds(study_sha256, log, credentials.key, key_of, last)

    def _leave(self, conducted: Conducted) -> None:
        from fedvox.server.report.page import render_report

        rounds = RoundLog(self._folder / "rounds.jsonl").read()
        sites = sites_of(rounds, conducted)
        summary = federation_summary(self._study, "done", rounds, conducted, sites, self._notes)
        # A process may be one of many: only the log knows when the study was first conducted.
        worked_s = math.fsum(line["seconds"] for line in rounds)
        wall_s = _seconds_since_begun(self._home, self._study.study.name) or worked_s
        times = {"wall_s": round(wall_s, 3), "train_s": round(worked_s, 3)}
        summary |= {"engine": "consortium", **times}
        write_json_atomic(self._folder / "summary.json", summary)
        render_report(self._folder)

    def _watch(self, event: Event) -> None:
        if event.kind == "note":
            self._notes.append(str(event.detail["text"]))


def _last_closed(home: Path, study_sha256: str, credentials: Credentials) -> Closed | None:
    path = home / FILE
    lines = read_log(path) if path.exists() else []
    rounds = [RoundRecord.of(line.fields) for line in lines if line.kind == "round"]
    own = [record for record in rounds if record.study_sha256 == study_sha256]
    return Closed.by(credentials.key, own[-1]) if own else None


def _seconds_since_begun(home: Path, study: str) -> float:
    """Since the study was first conducted; 0 where the log does not say when."""
    for line in read_log(home / FILE):
        if line.kind == "conducting" and line.fields.get("study") == study:
            began = datetime.fromisoformat(str(line.fields["at"]))
            return (datetime.now(tz=UTC) - began).total_seconds()
    return 0.0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except FedvoxError as error:
        print(f"conductor: {error}", file=sys.stderr)
        sys.exit(1)
