"""The page of a frontier, in one file that needs nothing else, and its picture as files."""

from __future__ import annotations

from pathlib import Path

from markupsafe import Markup

from fedvox.common.files import write_bytes_atomic
from fedvox.common.study import dump_study, without_paths
from fedvox.server.report.page import resource, template, write_page
from fedvox.server.report.wording import metric_name
from fedvox.simulations.frontier.figures import Frontier
from fedvox.simulations.frontier.plot import frontier_chart, picture
from fedvox.simulations.frontier.text import level_table, result_sentence, run_table


def write_pages(folder: Path, frontier: Frontier) -> None:
    """Writes frontier.html, and frontier.svg and .png where there is something to draw."""
    write_page(folder / "frontier.html", frontier_html(frontier))
    for kind in ("svg", "png"):
        drawn = picture(frontier, kind)
        if drawn is not None:
            write_bytes_atomic(folder / f"frontier.{kind}", drawn)


def frontier_html(frontier: Frontier) -> str:
    """The page as text."""
    study = without_paths(frontier.study)  # a page is sent to others
    page: str = template("frontier.html").render(
        css=Markup(resource("style.css")),
        frontier=frontier,
        study=study,
        study_text=dump_study(study),
        result=result_sentence(frontier),
        headline=metric_name(frontier.headline),
        chart=frontier_chart(frontier),
        levels=level_table(frontier),
        runs=run_table(frontier),
    )
    return page
