"""The report of one run: a page in one file that needs nothing else."""

from __future__ import annotations

import os
from collections.abc import Callable
from importlib.resources import files
from pathlib import Path
from typing import Any

from jinja2 import Environment, StrictUndefined
from markupsafe import Markup

from fedvox.common.errors import ResourceError
from fedvox.server.report import (
    curves,
    findings,
    holdings,
    methods,
    privacy,
    roc,
    standing,
    tables,
    traffic,
)
from fedvox.server.report.draw import SITES_BY_NAME, Chart
from fedvox.server.report.load import load_run
from fedvox.server.report.records import Run
from fedvox.server.report.slices import pictures
from fedvox.server.report.wording import metric_name, shortened, whole

_CHARTS: dict[str, Callable[[Run], Chart | None]] = {
    "loss": curves.loss_chart,
    "metric": curves.metric_chart,
    "epsilon": curves.epsilon_chart,
    "standing": standing.standing_chart,
    "splits": holdings.split_chart,
    "strata": holdings.stratum_chart,
    "seconds": traffic.seconds_chart,
    "bytes": traffic.bytes_chart,
    "participation": traffic.participation_chart,
    "roc": roc.roc_chart,
}
_ASIDE_SHOWN = 200


def render_report(run: Path) -> Path:
    """Writes report.html into the run folder `run` and says where it is."""
    page = report_html(load_run(run))
    return write_page(run / "report.html", page)


def report_html(run: Run) -> str:
    """The report as text."""
    page: str = template("report.html").render(
        css=Markup(resource("style.css")),
        run=run,
        study=run.study,
        result=findings.result_sentence(run),
        strategy=findings.strategy_name(run.study.strategy.name),
        headline=metric_name(run.headline),
        cards=findings.cards(run),
        charts={name: chart(run) for name, chart in _CHARTS.items()},
        alone_shown=standing.ALONE_SHOWN,
        matrix=tables.matrix(run),
        too_many=len(run.sites) > SITES_BY_NAME,
        confusion=tables.confusion(run),
        class_table=tables.class_table(run),
        metric_table=tables.metric_table(run),
        site_table=tables.site_table(run),
        pictures=pictures(run),
        privacy=privacy.chapter(run),
        fairness=methods.fairness(run),
        methods=methods.methods(run),
        refusals=_refusals(run),
        aside_cases=run.aside_cases[:_ASIDE_SHOWN],
        aside_left=max(len(run.aside_cases) - _ASIDE_SHOWN, 0),
        provenance=_provenance(run),
        version=dict(_pairs(run.summary.get("versions"))).get("fedvox", ""),
    )
    return page


def template(name: str) -> Any:
    """A page template of this package; everything put into it is escaped unless it is Markup."""
    environment = Environment(
        autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    environment.filters["svg"] = Markup  # made by draw.to_svg, which escapes what it writes
    environment.filters["whole"] = whole
    environment.filters["shortened"] = shortened
    environment.globals["macros"] = environment.from_string(resource("macros.html")).module
    return environment.from_string(resource(name))


def write_page(path: Path, text: str) -> Path:
    """Writes a page at once or not at all."""
    unfinished = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        unfinished.write_text(text, encoding="utf-8")
        unfinished.replace(path)
    except OSError as error:
        unfinished.unlink(missing_ok=True)
        raise ResourceError(
            f"{path}: cannot be written: {error.strerror}; make room or choose a writable folder"
        ) from None
    return path


def _refusals(run: Run) -> dict[str, int]:
    """How often each reason for a refusal was given."""
    found: dict[str, int] = {}
    for record in run.rounds:
        for code in record.refused.values():
            found[code] = found.get(code, 0) + 1
    return dict(sorted(found.items()))


def _provenance(run: Run) -> tuple[tuple[str, tuple[tuple[str, str], ...]], ...]:
    """Versions, machine and hashes as groups of (name, value)."""
    hashes = [
        (label, run.text(key))
        for label, key in (
            ("model", "model_sha256"),
            ("study", "study_sha256"),
            ("data contract", "contract_sha256"),
        )
        if run.text(key)
    ]
    groups = [("Software", _pairs(run.summary.get("versions")))]
    groups.append(("Machine", _pairs(run.summary.get("machine"))))
    groups.append(("sha256", tuple(hashes)))
    return tuple((name, pairs) for name, pairs in groups if pairs)


def _pairs(value: object) -> tuple[tuple[str, str], ...]:
    if not isinstance(value, dict):
        return ()
    return tuple((str(name), str(item)) for name, item in value.items() if item is not None)


def resource(name: str) -> str:
    """The text of a file of this package."""
    return files("fedvox.server.report").joinpath(name).read_text(encoding="utf-8")
