"""Every way a row can be touched is found, and named."""

import hashlib
from dataclasses import replace

import pytest

from fedvox.common.chain import (
    Anchor,
    Entry,
    Fault,
    Link,
    canonical,
    fits,
    genesis,
    linked,
    verify,
)

START = genesis("test")


def chain(count: int = 6) -> list[Link]:
    links: list[Link] = []
    previous = START
    for sequence in range(1, count + 1):
        links.append(linked(sequence, {"steps": sequence * 10, "study": "brain"}, previous))
        previous = links[-1].hash
    return links


def anchor(links: list[Link]) -> Anchor:
    return Anchor(links[-1].sequence, links[-1].hash)


def first(links: list[Link], at: Anchor | None = None) -> tuple[int, Fault]:
    finding = verify(links, START, at)[0]
    assert f"row {finding.sequence}" in finding.text or f"rows {finding.sequence}" in finding.text
    return finding.sequence, finding.fault


def test_the_hash_is_of_the_previous_one_and_the_entrys_json() -> None:
    entry: Entry = {"b": 1, "a": "ä", "c": None, "d": 0.1, "e": True}
    text = '{"a":"\\u00e4","b":1,"c":null,"d":0.1,"e":true,"sequence":7}'
    assert canonical(7, entry) == text.encode()
    expected = hashlib.sha256(("ab" * 32 + text).encode()).hexdigest()
    assert linked(7, entry, "ab" * 32) == Link(7, entry, "ab" * 32, expected)


def test_what_json_cannot_say_is_never_written() -> None:
    for value in (float("nan"), float("inf")):
        with pytest.raises(ValueError):
            linked(1, {"epsilon": value}, START)
        assert not fits(Link(1, {"epsilon": value}, START, "00"))


def test_a_chain_as_it_was_written_is_whole() -> None:
    links = chain()
    assert verify(links, START) == verify(links, START, anchor(links)) == []
    assert verify([], START) == []
    # What came after the anchor was written is no fault.
    assert verify(links, START, anchor(links[:4])) == []


@pytest.mark.parametrize("position", range(6))
@pytest.mark.parametrize("change", [{"steps": 1}, {"study": "lung"}, {"more": 1}])
def test_a_changed_field_is_named_and_nothing_else(position: int, change: dict[str, int]) -> None:
    links = chain()
    links[position] = replace(links[position], entry={**links[position].entry, **change})
    found = verify(links, START, anchor(chain()))
    assert [(f.sequence, f.fault) for f in found] == [(position + 1, Fault.CHANGED)]


@pytest.mark.parametrize("position", range(6))
@pytest.mark.parametrize("field", ["hash", "previous"])
def test_a_changed_hash_is_named(position: int, field: str) -> None:
    links = chain()
    links[position] = replace(links[position], **{field: "00" * 32})
    assert first(links, anchor(chain())) == (position + 1, Fault.CHANGED)


@pytest.mark.parametrize("position", range(6))
def test_a_row_that_is_changed_and_hashed_again_is_named(position: int) -> None:
    links = chain()
    old = links[position]
    links[position] = linked(old.sequence, {"steps": 0, "study": "brain"}, old.previous)
    assert first(links, anchor(chain())) == (position + 1, Fault.CHANGED)


@pytest.mark.parametrize("position", range(6))
def test_a_missing_row_is_named(position: int) -> None:
    links = chain()
    del links[position]
    assert first(links, anchor(chain())) == (position + 1, Fault.MISSING)


def test_several_missing_rows_and_a_changed_one_behind_them_are_all_named() -> None:
    links = chain(8)
    links[6] = replace(links[6], entry={"steps": 0})
    del links[1:3]
    found = verify(links, START)
    assert [(f.sequence, f.fault) for f in found] == [(2, Fault.MISSING), (7, Fault.CHANGED)]
    assert "rows 2 to 3" in found[0].text


def test_only_the_anchor_tells_that_the_tail_was_cut() -> None:
    links = chain()
    assert verify(links[:4], START) == []
    assert first(links[:4], anchor(links)) == (5, Fault.MISSING)
    assert first([], anchor(links)) == (1, Fault.MISSING)


def test_only_the_anchor_tells_that_a_chain_was_written_anew() -> None:
    again: list[Link] = []
    for link in chain():
        previous = again[-1].hash if again else START
        again.append(linked(link.sequence, {"steps": 0, "study": "brain"}, previous))
    assert verify(again, START) == []
    assert first(again, anchor(chain())) == (6, Fault.CHANGED)


@pytest.mark.parametrize("position", range(1, 6))
def test_rows_that_changed_places_are_named(position: int) -> None:
    links = chain()
    links[position - 1], links[position] = links[position], links[position - 1]
    assert first(links) == (position, Fault.MOVED)


@pytest.mark.parametrize("position", range(1, 6))
def test_rows_that_changed_numbers_are_named(position: int) -> None:
    links = chain()
    one, two = links[position - 1], links[position]
    links[position - 1] = replace(two, sequence=one.sequence)
    links[position] = replace(one, sequence=two.sequence)
    assert first(links) == (position, Fault.MOVED)


@pytest.mark.parametrize("position", range(6))
def test_a_row_put_in_is_named_also_when_those_behind_it_are_renumbered(position: int) -> None:
    links = chain()
    previous = links[position].previous
    forged = linked(position + 1, {"steps": 5, "study": "brain"}, previous)
    behind = [replace(link, sequence=link.sequence + 1) for link in links[position:]]
    sequence, fault = first([*links[:position], forged, *behind], anchor(chain()))
    assert (sequence, fault) == (position + 1, Fault.INSERTED)


def test_a_row_that_is_there_twice_is_named() -> None:
    links = chain()
    assert first([*links[:3], links[2], *links[3:]]) == (3, Fault.INSERTED)


def test_a_chain_of_another_purpose_is_none_of_ours() -> None:
    assert verify(chain(), genesis("receipts"))[0].sequence == 1
    assert genesis("test") != genesis("receipts")


def test_it_does_not_go_on_for_ever() -> None:
    links = [replace(link, hash="00" * 32) for link in chain(100)]
    assert len(verify(links, START)) == 20
