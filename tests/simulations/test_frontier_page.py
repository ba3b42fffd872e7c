"""What a frontier says: ratios, its table, its picture, its page."""

import math
import re

import pytest

from fedvox.common.study import parse_study
from fedvox.simulations.frontier.figures import Frontier, Outcome, as_plain, ratio_of
from fedvox.simulations.frontier.page import frontier_html
from fedvox.simulations.frontier.plot import picture
from fedvox.simulations.frontier.points import Grid
from fedvox.simulations.frontier.text import level_table, result_sentence

WITHOUT = math.inf


def made_up(
    values: dict[tuple[float, int], float], seeds: tuple[int, ...] = (0, 1), name: str = "made-up"
) -> Frontier:
    """A frontier with these results; what is NaN failed."""
    study = parse_study(f'[study]\nname = "{name}"\n[task]\nclasses = ["background", "organ"]\n')
    grid = Grid(tuple(sorted({epsilon for epsilon, _ in values})), seeds)
    outcomes = []
    for point in grid:
        value = values[(point.epsilon, point.seed)]
        status = "failed" if math.isnan(value) else "done"
        spent = point.epsilon - 0.001 if point.private else math.nan
        outcomes.append(Outcome(point, status, "dice", value, spent, 0.01, (0.5, 0.7)))
    return Frontier(study, "done", grid, tuple(outcomes))


MADE_UP = {
    (1.0, 0): 0.2, (1.0, 1): 0.4,
    (2.0, 0): 0.3, (2.0, 1): 0.45,
    (4.0, 0): 0.4, (4.0, 1): 0.5,
    (WITHOUT, 0): 0.5, (WITHOUT, 1): 0.7,
}  # fmt: skip


def test_ratios_are_of_the_seeds_that_both_have() -> None:
    found = made_up(MADE_UP)
    ratios = [level["ratio"] for level in as_plain(found)["points"]]
    assert ratios == pytest.approx([0.6 / 1.2, 0.75 / 1.2, 0.9 / 1.2, 1])
    torn = made_up({**MADE_UP, (1.0, 1): math.nan})
    assert torn.levels[0].ratio == pytest.approx(0.2 / 0.5), "seed 1 failed: only seed 0 counts"
    assert math.isnan(ratio_of(torn.levels[0].outcomes, ()))


def test_the_table_says_what_the_seeds_came_to() -> None:
    table = level_table(made_up({**MADE_UP, (1.0, 1): math.nan}))
    rows = [dict(zip(table.columns, row, strict=True)) for row in table.rows]
    assert rows[0] == {
        "Epsilon": "1", "Dice": "0.200", "Range": "0.200–0.200", "Of no privacy": "40.0\u202f%",
        "Spent": "1.00", "Delta": "0.01", "Seeds": "1/2",
    }  # fmt: skip
    assert rows[3]["Epsilon"] == "none" and rows[3]["Spent"] == "–"
    assert rows[2]["Range"] == "0.400–0.500" and rows[2]["Dice"] == "0.450"


def test_the_result_is_said_in_a_sentence() -> None:
    every = result_sentence(made_up(MADE_UP))
    assert every == (
        "Of the Dice without privacy, 75.0\u202f% is kept at epsilon 4, 50.0\u202f% at epsilon 1."
    )
    private = {key: value for key, value in MADE_UP.items() if key[0] != WITHOUT}
    alone = result_sentence(made_up(private))
    assert alone.startswith("Dice was 0.300 at epsilon 1 and 0.450 at epsilon 4;")
    nothing = made_up(dict.fromkeys(MADE_UP, math.nan))
    assert result_sentence(nothing) == "No private run has a result yet."
    assert picture(nothing, "svg") is None and "</html>" in frontier_html(nothing)


def test_the_axis_is_logarithmic_and_no_privacy_a_dashed_line() -> None:
    html = frontier_html(made_up(MADE_UP))
    svg = html[html.index("<svg") : html.index("</svg>")]
    texts = re.findall(r'x="([\d.]+)" y="([\d.]+)"[^>]*>([\d.]+)</text>', svg)
    x, y = ({text: float(found[n]) for *found, text in texts} for n in (0, 1))
    assert x["2"] - x["1"] == pytest.approx(x["4"] - x["2"], abs=0.01) and x["2"] > x["1"]
    dashed = re.findall(r'd="M [\d.]+ ([\d.]+) \nL [\d.]+ ([\d.]+) \n"[^>]*dasharray', svg)
    assert len(dashed) == 1 and dashed[0][0] == dashed[0][1]
    below = y["0.45"] - (y["0.450"] + 6)  # a tick's text stands so far below its line
    assert float(dashed[0][0]) == pytest.approx(y["0.60"] - below, abs=0.01)
    bare = {key: value for key, value in MADE_UP.items() if key[0] != WITHOUT}
    assert "dasharray" not in frontier_html(made_up(bare)).split("<svg")[1].split("</svg>")[0]


def test_the_page_loads_nothing_and_promises_nothing() -> None:
    html = frontier_html(made_up(MADE_UP))
    assert not re.search(r"https?://|<script|@import|url\((?!#)", html)
    assert "#0a0b" not in html, "a placeholder colour was left in the chart"
    for tag in ("main", "section", "table", "svg", "ul", "aside"):
        assert html.count(f"<{tag}") == html.count(f"</{tag}>"), tag
    assert "none of these models protects anybody" in html
    assert "spends privacy of its own" in html
    assert frontier_html(made_up(MADE_UP)) == html


def test_the_picture_is_the_same_each_time() -> None:
    for kind in ("svg", "png"):
        drawn = picture(made_up(MADE_UP), kind)
        assert drawn is not None and drawn == picture(made_up(MADE_UP), kind)
