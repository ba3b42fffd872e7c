"""Half-rounds of a consortium of real processes over mutual TLS, against plain Flower's.

A half-round is what the network is for: a model goes to every site, and another comes back from
each. Nobody trains. Plain Flower is spared the TLS.
"""

from __future__ import annotations

import tempfile
from pathlib import Path
from statistics import median

from fedvox.simulations.bench.measure import Say
from fedvox.simulations.bench.network_stock import Stock, timed_stock
from fedvox.simulations.bench.network_town import Timed, timed
from fedvox.simulations.bench.outcome import Headline, Outcome

TRIVIAL, LARGE = 256, 25_000_000
"""Numbers in a model: a kilobyte, and a hundred megabytes."""
MODEL_BYTES = 4 * LARGE
_ROUNDS_TRIVIAL, _ROUNDS_LARGE, _ROUNDS_STOCK = 20, 4, 3
_LIMIT_S = 600.0


def bench(folder: Path, say: Say) -> Outcome:
    """Trivial models at five sites, large ones at two and at twenty."""
    trivial = _ours("5 sites, 1 kB", 5, TRIVIAL, _ROUNDS_TRIVIAL, say)
    stock_trivial = _stock("5 sites, 1 kB", 5, TRIVIAL, say)
    large = _ours("2 sites, 100 MB", 2, LARGE, _ROUNDS_LARGE, say)
    stock_large = _stock("2 sites, 100 MB", 2, LARGE, say)
    many = _ours("20 sites, 100 MB", 20, LARGE, 1, say, shared=True)
    rows = [
        _row("half-round, 5 sites, 1 kB", trivial, stock_trivial),
        _row("half-round, 2 sites, 100 MB", large, stock_large),
        _row("half-round, 20 sites, 100 MB", many, None),
    ]
    models = large.conductor_bytes / MODEL_BYTES
    growth = (many.gate_bytes + many.conductor_bytes) / (large.gate_bytes + large.conductor_bytes)
    return Outcome(
        "network",
        ("", "median s", "plain Flower", "gate MB", "conductor MB", "link MB"),
        rows,
        (
            Headline("half-round of a trivial model, s", median(trivial.seconds), "<=", 0.5),
            Headline("half-round of 100 MB, s", median(large.seconds), "<=", 6.0),
            Headline("models in the conductor's memory", models, "<=", 3.0),
            Headline("memory at 20 sites over that at 2", growth, "<=", 1.1),
        ),
        {
            "trivial": vars(trivial),
            "large": vars(large),
            "many": vars(many),
            "stock_trivial": vars(stock_trivial),
            "stock_large": vars(stock_large),
            "models_of_memory": models,
        },
        ("conductor MB: over what its process holds before the first round",),
    )


def _ours(
    what: str, sites: int, elements: int, rounds: int, say: Say, *, shared: bool = False
) -> Timed:
    with tempfile.TemporaryDirectory() as folder:
        found = timed(Path(folder), sites, elements, rounds, shared=shared)
    say(f"{what}: {median(found.seconds):.2f} s, gate {found.gate_bytes / 1e6:.0f} MB")
    return found


def _stock(what: str, sites: int, elements: int, say: Say) -> Stock:
    with tempfile.TemporaryDirectory() as folder:
        found = timed_stock(Path(folder), sites, elements, _ROUNDS_STOCK, _LIMIT_S)
    say(f"{what}, plain Flower: {median(found.seconds):.2f} s")
    return found


def _row(what: str, ours: Timed, stock: Stock | None) -> tuple[str, ...]:
    return (
        what,
        f"{median(ours.seconds):.3f}",
        f"{median(stock.seconds):.2f}" if stock else "-",
        f"{ours.gate_bytes / 1e6:.0f}",
        f"{ours.conductor_bytes / 1e6:.0f}",
        f"{ours.link_bytes / 1e6:.0f}" if ours.link_bytes else "-",
    )
