"""Measures what fedvox claims; each benchmark ends with its headline ratios in the last line."""

from __future__ import annotations

import argparse
import logging
import sys
from collections.abc import Sequence
from importlib import import_module
from pathlib import Path

from fedvox.common.errors import FedvoxError
from fedvox.simulations.bench.outcome import Absent, machine, render, write

BENCHES = {
    "engine": "the in-process engine against a bare training loop and against stock Flower",
    "sites": "memory of 1,000 virtual sites against that of 10",
    "network": "rounds of a consortium over mutual TLS against stock Flower's without",
    "dp": "a step with patient-level privacy against a plain one, and against Opacus",
    "dp_quality": "segmentation of real data with every patient protected: what it costs in Dice",
    "ingest": "DICOM series into the store, against dcm2niix on the same files",
    "hippocampus": "segmentation of real data: federated against pooled and against each site",
    "adrenal": "classification of real data: federated against the majority class",
}
"""Name -> one line; the module of that name has `bench(folder, say) -> Outcome`."""


def main(argv: Sequence[str] | None = None) -> int:
    """Runs one benchmark or all; 0 when they ran, whatever they found."""
    listing = "\n".join(f"  {name:<12} {text}" for name, text in BENCHES.items())
    parser = argparse.ArgumentParser(
        prog="python -m fedvox.simulations.bench",
        description=__doc__,
        epilog=f"benchmarks:\n{listing}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("name", choices=[*BENCHES, "all"], metavar="NAME|all")
    parser.add_argument("--out", type=Path, default=Path("build/bench"), metavar="DIR")
    args = parser.parse_args(argv)
    # Sites log that they have no test cases: here nothing is evaluated.
    logging.getLogger("fedvox").addHandler(logging.NullHandler())
    if args.name != "all":
        return _run(args.name, args.out)
    return max(_run(name, args.out) for name in BENCHES)


def _run(name: str, folder: Path) -> int:
    before = machine()
    print(f"{name}: {BENCHES[name]}", flush=True)
    print(f"{before['cores']} cores, load {before['load'][0]:.1f} before it began", flush=True)
    module = import_module(f"fedvox.simulations.bench.{name}")
    try:
        outcome = module.bench(folder, lambda text: print(f"  {text}", flush=True))
    except Absent as error:
        print(f"{name}: not run: {error}", file=sys.stderr)
        return error.exit_status
    except FedvoxError as error:
        print(f"{name}: {error}", file=sys.stderr)
        return 1
    path = write(outcome, folder)
    print(f"figures in {path}")
    print(render(outcome), flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
