"""From the plain values of a run's files to records; what is absent or odd becomes empty."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from fedvox.server.report.records import Aside, Baseline, Evaluation, Round, Site, Tally

NAN = float("nan")
_SPENT = ("epsilon", "delta", "noise_multiplier", "sample_rate", "steps", "clip_norm")


def mapping(value: Any) -> Mapping[str, Any]:
    """`value` if it is a table, else an empty one."""
    return value if isinstance(value, dict) else {}


def words(value: Any) -> tuple[str, ...]:
    """The texts of a list."""
    return tuple(str(item) for item in value) if isinstance(value, list | tuple) else ()


def number(value: Any) -> float:
    """A number; NaN for null and anything else."""
    known = isinstance(value, int | float) and not isinstance(value, bool)
    return float(value) if known else NAN


def count(value: Any) -> int:
    """A whole number; 0 where there is none."""
    found = number(value)
    return int(found) if found == found else 0


def figures(value: Any) -> dict[str, float]:
    """The numbers of a table by name; null reads as NaN."""
    return {
        str(key): number(item)
        for key, item in mapping(value).items()
        if item is None or (isinstance(item, int | float) and not isinstance(item, bool))
    }


def by_site(value: Any) -> dict[str, dict[str, float]]:
    """Figures by site."""
    return {str(site): figures(item) for site, item in mapping(value).items()}


def read_site(item: Mapping[str, Any]) -> Site:
    """One entry of the summary's sites."""
    return Site(
        name=str(item.get("name", "")),
        patients={
            split: count(item.get(f"patients_{split}")) for split in ("train", "validation", "test")
        },
        strata={str(name): count(n) for name, n in mapping(item.get("strata")).items()},
        metrics=figures(item.get("metrics")),
        rounds_refused=count(item.get("rounds_refused")),
        spent=figures({name: item[name] for name in _SPENT if name in item}),
    )


def read_round(item: Mapping[str, Any]) -> Round:
    """One line of rounds.jsonl; raises KeyError without a round number."""
    return Round(
        number=int(item["round"]),
        seconds=number(item.get("seconds")),
        asked=words(item.get("asked")),
        answered=words(item.get("answered")),
        refused={str(site): str(code) for site, code in mapping(item.get("refused")).items()},
        late=words(item.get("late")),
        bytes_up=count(item.get("bytes_up")),
        bytes_down=count(item.get("bytes_down")),
        loss=number(item.get("loss")),
        sites=by_site(item.get("sites")),
        evaluation=_evaluation(item.get("evaluation")),
    )


def _evaluation(value: Any) -> Evaluation | None:
    if not isinstance(value, dict):
        return None
    # A site's entry may hold its metrics directly or under "metrics".
    sites = {
        name: mapping(item).get("metrics", item)
        for name, item in mapping(value.get("sites")).items()
    }
    return Evaluation(
        split=str(value.get("split", "validation")),
        union=figures(value.get("union")),
        sites=by_site(sites),
    )


def read_pooled(baselines: Mapping[str, Any]) -> Baseline | None:
    """The model trained on all data in one place."""
    pooled = mapping(baselines.get("pooled"))
    return _baseline("pooled", pooled) if pooled else None


def read_alone(baselines: Mapping[str, Any]) -> tuple[Baseline, ...]:
    """The models trained at one site alone."""
    local = mapping(baselines.get("local"))
    return tuple(_baseline(str(site), mapping(item)) for site, item in local.items())


def _baseline(name: str, item: Mapping[str, Any]) -> Baseline:
    return Baseline(
        name=name,
        metrics=figures(item.get("metrics")),
        own=figures(item.get("own")),
        sites=by_site(item.get("sites")),
        steps=count(item.get("steps")),
        samples=count(item.get("samples")),
    )


def read_tally(item: Mapping[str, Any]) -> Tally:
    """Confusion matrix and ROC points, where there are any."""
    rows = item.get("confusion")
    square = isinstance(rows, list) and all(
        isinstance(r, list) and len(r) == len(rows) for r in rows
    )
    return Tally(
        confusion=tuple(tuple(count(n) for n in row) for row in rows or ()) if square else (),
        roc={
            str(name): tuple((number(point[0]), number(point[1])) for point in points)
            for name, points in mapping(item.get("roc")).items()
        },
    )


def read_aside(summary: Mapping[str, Any]) -> tuple[dict[str, int], tuple[Aside, ...]]:
    """What was set aside: cases by reason, and each case."""
    listed = summary.get("aside_cases")
    cases = tuple(
        Aside(*(str(mapping(item).get(key, "")) for key in ("case", "reason", "detail")))
        for item in (listed if isinstance(listed, list) else ())
    )
    by_reason = {str(k): count(v) for k, v in mapping(summary.get("aside")).items()}
    return by_reason, cases
