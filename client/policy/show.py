"""Policies, verdicts and studies as lines for people."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from fedvox.client.policy.check import Verdict, broken
from fedvox.client.policy.rules import Policy
from fedvox.common.study import Study, study_hash
from fedvox.common.study.load import toml_value


def policy_lines(policy: Policy, written: bool, problem: str) -> Iterator[str]:
    """Every rule; first whether they hold."""
    if problem:
        yield f"NOTHING RUNS: {problem}"
    elif written:
        yield "policy.toml, signed by this site"
    else:
        yield "the defaults: there is no policy.toml, so every study waits for a person"
    for name in Policy.model_fields:
        yield ""
        yield f"[{name}]"
        table = getattr(policy, name)
        for key in type(table).model_fields:
            yield f"{key} = {toml_value(getattr(table, key))}"


def verdict_lines(
    study: Study, verdicts: Sequence[Verdict], admitted: bool, open_rules: Sequence[str] = ()
) -> Iterator[str]:
    """Each rule with its verdict, and what would happen."""
    yield f"study {study.study.name}, sha256 {study_hash(study)}"
    width = max(len(verdict.rule) for verdict in verdicts)
    for verdict in verdicts:
        yield f"  {'ok ' if verdict.passed else 'NO '} {verdict.rule:<{width}}  {verdict.reason}"
    for rule in open_rules:
        yield f"  ?   {rule}"
    found = broken(list(verdicts))
    if found is not None:
        yield f"refused: {found.refusal.sentence}"
    elif admitted:
        yield "runs without asking: studies.admit names it"
    else:
        yield "waits for a person: `fedvox site approve` (studies.admit does not name it)"


def size(count: int) -> str:
    """Bytes for reading."""
    amount, unit = float(count), "B"
    for unit in ("B", "kB", "MB", "GB", "TB"):
        if amount < 1000 or unit == "TB":
            break
        amount /= 1000
    return f"{amount:.0f} {unit}" if unit == "B" else f"{amount:.1f} {unit}"


def table(rows: Sequence[Sequence[str]]) -> Iterator[str]:
    """Rows under each other; the first is the heading."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        cells = (f"{cell:<{width}}" for cell, width in zip(row, widths, strict=True))
        yield "  ".join(cells).rstrip()
