import io

from fedvox.server.events import Event
from fedvox.server.watch import watch_for
from fedvox.server.watch.holdings import holding_lines


def site(name: str, train: int, **strata: int) -> dict[str, object]:
    return {"name": name, "train": train, "validation": 1, "test": 2, "strata": strata}


def test_the_table_has_a_row_a_site_and_their_sum() -> None:
    detail = {"sites": [site("north", 10, small=4, large=9), site("süd", 7, small=10)]}
    assert holding_lines(detail) == [
        "site   train  validation  test  small  large",
        "north     10           1     2      4      9",
        "süd        7           1     2     10      0",
        "all       17           2     4     14      9",
    ]


def test_a_thousand_sites_do_not_fill_the_terminal() -> None:
    lines = holding_lines({"sites": [site(f"s{n}", 1) for n in range(1000)]})
    assert len(lines) < 30
    assert lines[-2] == "and 976 more"
    assert lines[-1].split() == ["all", "1000", "1000", "2000"]


def test_the_plain_console_prints_it() -> None:
    stream = io.StringIO()
    with watch_for("plain", stream) as watch:
        watch(Event("held", detail={"sites": [site("north", 10, small=3)]}))
    assert stream.getvalue().splitlines()[1].split() == ["north", "10", "1", "2", "3"]
