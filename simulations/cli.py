"""Train a study across simulated hospitals, offline, and write a report.

fedvox simulate                                     phantoms, nothing else needed
fedvox simulate --data FOLDER --sites 4 --partition dirichlet:0.5 --baselines
fedvox simulate study.toml --set training.lr=1e-3
fedvox simulate --resume runs/phantom               go on after an interruption
"""

from __future__ import annotations

import argparse
from pathlib import Path

from fedvox.common.errors import InputError


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of `fedvox simulate`."""
    add = parser.add_argument
    add("study", nargs="?", type=Path, metavar="STUDY.toml", help="study file; defaults without")
    add("--data", metavar="SOURCE", help="phantom, msd:NAME, store:HOME/NAME, ... or a path")
    add("--task", metavar="NAME", help="segmentation or classification")
    add("--sites", type=int, metavar="N", help="virtual hospitals")
    add("--rounds", type=int, metavar="N", help="rounds of the federation")
    add(
        "--partition",
        metavar="SPEC",
        help="iid, dirichlet:A, quantity:S, column:NAME, file:PATH",
    )
    add("--strategy", metavar="NAME", help="fedavg, fedprox, ..., flower:CLASS")
    add("--engine", metavar="NAME", help="inprocess or ray")
    add("--workers", type=int, metavar="N", help="sites trained at the same time")
    add("--baselines", action="store_true", help="also train the pooled model and each site alone")
    add("--folds", type=int, metavar="K", help="cross-validation: K runs, each patient tested once")
    add("--epsilon", type=float, metavar="E", help="protect patients: what may be spent of privacy")
    add("--delta", type=float, metavar="D", help="chance that epsilon does not hold")
    add("--clip", type=float, metavar="C", help="largest norm of one patient's gradient")
    add("--no-dp", action="store_true", help="protect nobody, whatever the study says")
    add("--seed", type=int, metavar="N", help="one seed, one model")
    add("--device", metavar="D", help="auto, cpu, cuda, cuda:N")
    add("--out", type=Path, metavar="DIR", help="run directory; default runs/NAME")
    add("--resume", type=Path, metavar="DIR", help="go on with the run in this directory")
    add("--json", action="store_true", help="one JSON object a line; the last is the summary")
    add("--quiet", action="store_true", help="print errors only")
    add("--set", action="append", default=[], metavar="KEY=VALUE", help="any key of the study")


_KEYS = {
    "data": "data.source",
    "task": "task.kind",
    "sites": "simulation.sites",
    "rounds": "training.rounds",
    "partition": "data.partition",
    "strategy": "strategy.name",
    "engine": "simulation.engine",
    "workers": "simulation.workers",
    "folds": "simulation.folds",
    "epsilon": "privacy.epsilon",
    "delta": "privacy.delta",
    "clip": "privacy.clip_norm",
    "seed": "study.seed",
    "device": "training.device",
}


def settings_of(args: argparse.Namespace) -> list[str]:
    """The options as --set settings; what --set itself says comes last and counts."""
    given = [(key, getattr(args, option)) for option, key in _KEYS.items()]
    settings = [f"{key}={value}" for key, value in given if value is not None]
    if args.no_dp and args.epsilon is not None:
        raise InputError("--epsilon and --no-dp contradict each other: give one of them")
    if args.epsilon is not None or args.no_dp:
        settings.append(f"privacy.mode={'none' if args.no_dp else 'patient'}")
    if args.baselines:
        settings.append("simulation.baselines=true")
    return settings + list(args.set)


def run(args: argparse.Namespace) -> int:
    """Does what `fedvox simulate` was asked for."""
    from fedvox.simulations.simulate import Wish, simulate

    mode = "json" if args.json else "quiet" if args.quiet else "auto"
    wish = Wish(args.study, settings_of(args), args.out, args.resume, mode)
    return simulate(wish)
