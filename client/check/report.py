"""What was found, for people at the site, for scripts, and as a report that may be mailed."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from typing import Any

from fedvox.client.check.finding import Level, Line, worst
from fedvox.client.check.visit import Visit
from fedvox.common import __version__

_WHOLE = {
    Level.GREEN: "ready",
    Level.YELLOW: "ready, with what is yellow",
    Level.RED: "not ready",
}


def text_lines(lines: Sequence[Line]) -> Iterator[str]:
    """One line a finding, its remedy below it, and the whole at the end."""
    width = max(len(line.name) for line in lines)
    for line in lines:
        found = line.finding
        first, *rest = found.text.splitlines() or [""]
        yield f"{found.level:<6}  {line.name:<{width}}  {first}"
        for more in rest:
            yield f"{'':<{8 + width}}  {more}"
        if found.remedy:
            yield f"{'':<{8 + width}}  -> {found.remedy}"
    yield f"{worst(lines)}: {_WHOLE[worst(lines)]}"


def as_plain(lines: Sequence[Line], visit: Visit) -> dict[str, Any]:
    """For scripts at the site."""
    return {
        "level": str(worst(lines)),
        "home": str(visit.home),
        "study": visit.study.study.name if visit.study else None,
        "findings": [
            {
                "check": line.name,
                "level": str(line.finding.level),
                "found": line.finding.text,
                "remedy": line.finding.remedy,
            }
            for line in lines
        ],
    }


def shared_text(lines: Sequence[Line], visit: Visit) -> str:
    """The report for the operator: levels, bucketed counts, and nothing that names anything.

    What the operator knows already, the site's name in the consortium and the study, stands on
    top; the rest is made of what each check has set aside for it.
    """
    width = max(len(line.name) for line in lines)
    head = [
        "fedvox site check, for the operator of the consortium",
        f"release  {__version__}",
        f"day      {datetime.now(UTC):%Y-%m-%d}",
    ]
    if visit.settings is not None:
        head.append(f"site     {visit.settings.site}")
    if visit.study is not None:
        from fedvox.common.study import study_hash

        head.append(f"study    {visit.study.study.name} {study_hash(visit.study)}")
    body = [
        f"{line.finding.level:<6}  {line.name:<{width}}  {line.finding.shared}".rstrip()
        for line in lines
    ]
    return "\n".join([*head, "", *body, "", f"{worst(lines)}: {_WHOLE[worst(lines)]}", ""])
