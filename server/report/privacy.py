"""What a run promised its patients, what that does not cover, and what was spent at each site."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

from fedvox.common.errors import Refusal
from fedvox.common.privacy.placement import place_distributed
from fedvox.server.report.parse import mapping
from fedvox.server.report.records import Figures, Run, Site
from fedvox.server.report.tables import Table
from fedvox.server.report.wording import ABSENT, epsilon_spent, listed, span, whole

UNPROTECTED = "No differential privacy was applied: updates left the sites unprotected."
_SETTINGS = ("noise_multiplier", "clip_norm", "sample_rate")
_REFUSALS = (Refusal.BUDGET, Refusal.PRIVACY, Refusal.UNSAFE)
"""What the chapter on privacy tells of; a site has other reasons, too."""


@dataclass(frozen=True)
class Spent:
    """The most that any site's patients have spent; NaN where nothing is known."""

    epsilon: float
    delta: float


@dataclass(frozen=True)
class RefusedRounds:
    """Why a site sent nothing, and in which rounds."""

    site: str
    rounds: str
    sentence: str


@dataclass(frozen=True)
class Chapter:
    """The report's chapter on privacy."""

    private: bool
    promise: str
    simulated: bool = False
    limits: tuple[str, ...] = ()
    """What the promise does not cover, a sentence each."""
    table: Table | None = None
    refused: tuple[RefusedRounds, ...] = ()


def is_private(run: Run) -> bool:
    """Whether the study protects patients."""
    return run.study.privacy.mode != "none"


def is_guaranteed(run: Run) -> bool:
    """Whether the run itself says that its noise was secret; on doubt it was not."""
    return mapping(run.summary.get("privacy")).get("guarantee") is True


def spent(run: Run) -> Spent:
    """The largest epsilon and the largest delta of any site: together they hold for all."""
    told = spent_by_site(run).values()
    epsilons = [_bound(figures["epsilon"]) for figures in told]
    deltas = [figures.get("delta", math.nan) for figures in told]
    return Spent(max(epsilons, default=math.nan), max(deltas, default=math.nan))


def spent_by_site(run: Run) -> dict[str, Figures]:
    """What each site has told of its steps and their cost: by the summary, else by the rounds."""
    known = {site.name: site.spent for site in run.sites if "epsilon" in site.spent}
    return known if known or not is_private(run) else _from_rounds(run)


def chapter(run: Run) -> Chapter:
    """What the report says of privacy."""
    if not is_private(run):
        return Chapter(False, UNPROTECTED)
    return Chapter(
        True,
        _promise(run),
        not is_guaranteed(run),
        tuple(_limits(run)),
        _table(run),
        tuple(_refused(run)),
    )


def _promise(run: Run) -> str:
    most = spent(run)
    if math.isnan(most.epsilon):
        return "The study promises privacy, but no site has told what was charged for it."
    if math.isinf(most.epsilon):
        return "The study promises privacy, but what a site’s steps cost has no bound."
    return (
        "By what was charged, no patient’s presence can be inferred from the updates beyond "
        f"epsilon {epsilon_spent(most.epsilon)} at delta {most.delta:g}. The unit is the patient, "
        "with all scans."
    )


def _limits(run: Run) -> Iterable[str]:
    study = run.study
    if not is_guaranteed(run):
        yield (
            "Losses, metrics, slices and counts of patients shown here are the simulation’s own. "
            "They are not covered by what was charged."
        )
    loose = [site.name for site in run.sites if _is_loose(site)]
    if loose:
        yield (
            f"Delta is not below one over the training patients of {listed(loose)}: a mechanism "
            "that tells everything about one of them could keep to it."
        )
    elif run.is_consortium:
        yield (
            "Counts of patients, rounded by their sites, and which sites took part are shown. They "
            "are not covered by what was charged."
        )
    honest = honest_sites(run)
    if honest > 1:
        yield (
            f"Each site added only its share of the noise. The promise holds while {honest} or "
            "more sites in each sum add theirs and nobody sees more than the sum."
        )
    if run.pooled is not None or run.alone:
        yield "The baselines were trained without privacy."
    if study.strategy.name == "ditto":
        yield "Personal models were trained without privacy. They stay at their sites."
    if study.model.start:
        yield f"Training began with {study.model.start}; what that was trained on is not covered."
    yield from _untold(run)


def _is_loose(site: Site) -> bool:
    patients, delta = site.patients.get("train", 0), site.spent.get("delta", math.nan)
    return patients > 0 and delta * patients >= 1


def _untold(run: Run) -> Iterable[str]:
    """Where the record may show less than was charged."""
    silent = {
        site for r in run.rounds for site in r.answered if "epsilon" not in r.sites.get(site, {})
    }
    if silent:
        yield (
            f"Not told by {listed(sorted(silent))}: what some of the answers cost. The promise "
            "does not extend to them."
        )
    if any(r.late or Refusal.UNSAFE in r.refused.values() for r in run.rounds):
        yield (
            "A site that was late, or held back an update after training, was charged all the "
            "same. Its next answer counts it; until then only the site’s ledger does."
        )


def honest_sites(run: Run) -> int:
    """Sites that the promise relies on to add their share of the noise; 1: on no other."""
    study = run.study
    if study.privacy.placement == "local":
        return 1
    honest = study.privacy.honest_sites or study.participation.min_sites
    return place_distributed(1.0, honest, study.training.local_steps).honest_sites


def _table(run: Run) -> Table | None:
    told = spent_by_site(run)
    if not told:
        return None
    columns = ("Site", "Epsilon", "Delta", "Noise multiplier", "Clip norm", "Sample rate", "Steps")
    names = [site.name for site in run.sites] or list(told)
    return Table(columns, tuple(_row(run, name, told.get(name, {})) for name in names))


def _row(run: Run, site: str, last: Figures) -> tuple[str, ...]:
    delta = last.get("delta", math.nan)
    return (
        site,
        epsilon_spent(last.get("epsilon", math.nan)),
        f"{delta:g}" if math.isfinite(delta) else ABSENT,
        *(span(seen(run, name, (site,)) or _only(last, name)) for name in _SETTINGS),
        whole(last.get("steps", math.nan)),
    )


def seen(run: Run, name: str, sites: Iterable[str] | None = None) -> list[float]:
    """Every value of a figure over rounds, of these sites or of all."""
    wanted = None if sites is None else set(sites)
    return [
        figures[name]
        for record in run.rounds
        for site, figures in record.sites.items()
        if name in figures and (wanted is None or site in wanted)
    ]


def _refused(run: Run) -> Iterable[RefusedRounds]:
    rounds: dict[tuple[str, str], list[int]] = {}
    for record in run.rounds:
        for site, code in record.refused.items():
            if code in _REFUSALS:
                rounds.setdefault((site, code), []).append(record.number)
    for (site, code), numbers in rounds.items():
        yield RefusedRounds(site, _stretches(numbers), Refusal(code).sentence)


def _stretches(numbers: list[int]) -> str:
    """3, 4, 5 and 9 as: rounds 3–5, 9."""
    parts: list[list[int]] = []
    for number in numbers:
        if parts and number == parts[-1][-1] + 1:
            parts[-1].append(number)
        else:
            parts.append([number])
    texts = [f"{p[0]}–{p[-1]}" if len(p) > 1 else f"{p[0]}" for p in parts]
    return f"{'round' if len(numbers) == 1 else 'rounds'} {', '.join(texts)}"


def _from_rounds(run: Run) -> dict[str, Figures]:
    found: dict[str, dict[str, float]] = {}
    for record in run.rounds:
        for site, figures in record.sites.items():
            if "epsilon" in figures:
                steps = found.get(site, {}).get("steps", 0.0) + figures.get("steps", math.nan)
                found[site] = {**figures, "steps": steps}
    return dict(found)


def _bound(epsilon: float) -> float:
    """What is told as null was no finite number."""
    return math.inf if math.isnan(epsilon) else epsilon


def _only(figures: Figures, name: str) -> list[float]:
    return [figures[name]] if name in figures else []
