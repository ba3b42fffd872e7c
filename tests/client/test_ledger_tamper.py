"""Whatever is done to the file behind the ledger's back is found, named, and nothing is spent."""

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from ledgers import CAPS, kinds, opened, place, reserved, rows, sha, tampering, work

from fedvox.client.ledger import anchor
from fedvox.client.ledger.entry import COLUMNS
from fedvox.client.ledger.places import Place
from fedvox.client.ledger.verify import look
from fedvox.common.chain import Anchor, Fault
from fedvox.common.errors import Refusal, SiteError

ROWS = 5


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home whose ledger has five rows of every kind that occurs in use."""
    home = tmp_path_factory.mktemp("written")
    with opened(home) as ledger:
        ledger.release(reserved(ledger, work(1)), sha("sent"))
        ledger.decline(work(2), Refusal.STUDY, "not on the list")
        ledger.refuse(reserved(ledger, work(3)), Refusal.UNSAFE, "the norm is off")
    assert len(rows(home)) == ROWS + 1
    return home


@pytest.fixture
def home(written: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(written, tmp_path / "home"))


def named(home: Path, version: str = "v1") -> tuple[int, Fault]:
    """What is found first; and the ledger takes no more work."""
    before = kinds(home, version)
    with pytest.raises(SiteError) as caught, opened(home, CAPS, version) as ledger:
        ledger.reserve(work(9))
    assert caught.value.refusal is Refusal.INTERNAL and caught.value.detail
    assert kinds(home, version) == before
    finding = look(place(home, version)).findings[0]
    return finding.sequence, finding.fault


def test_untouched_it_is_whole(home: Path) -> None:
    assert look(place(home)).findings == ()


@pytest.mark.parametrize("column", COLUMNS[1:])
def test_a_change_of_any_field_of_any_row_is_named(written: Path, home: Path, column: str) -> None:
    for sequence in range(1, ROWS + 2):
        shutil.rmtree(home)
        shutil.copytree(written, home)
        with tampering(home) as connection:
            text = isinstance(rows(home)[sequence - 1][column], str)
            value = f"{column} || 'x'" if text else f"coalesce({column}, 0) + 1"
            connection.execute(
                f"UPDATE entries SET {column} = {value} WHERE sequence = ?", (sequence,)
            )
        assert named(home) == (sequence, Fault.CHANGED)


def test_a_cap_that_is_taken_away_is_named(home: Path) -> None:
    with tampering(home) as connection:
        connection.execute("UPDATE entries SET life_cap = NULL WHERE sequence = 2")
    assert named(home) == (2, Fault.CHANGED)


@pytest.mark.parametrize("sequence", range(1, ROWS + 2))
def test_a_deleted_row_is_named(home: Path, sequence: int) -> None:
    with tampering(home) as connection:
        connection.execute("DELETE FROM entries WHERE sequence = ?", (sequence,))
    assert named(home) == (sequence, Fault.MISSING)


@pytest.mark.parametrize("sequence", [1, 3, 5])
def test_a_deleted_row_is_named_when_the_others_close_up(home: Path, sequence: int) -> None:
    with tampering(home) as connection:
        connection.execute("DELETE FROM entries WHERE sequence = ?", (sequence,))
        for number in range(sequence + 1, ROWS + 2):
            connection.execute(
                "UPDATE entries SET sequence = ? WHERE sequence = ?", (number - 1, number)
            )
    assert named(home)[0] == sequence


def test_all_rows_deleted_is_named(home: Path) -> None:
    with tampering(home) as connection:
        connection.execute("DELETE FROM entries")
    assert named(home) == (1, Fault.MISSING)


def test_rows_that_changed_places_are_named(home: Path) -> None:
    with tampering(home) as connection:
        for old, new in ((3, 99), (4, 3), (99, 4)):
            connection.execute("UPDATE entries SET sequence = ? WHERE sequence = ?", (new, old))
    assert named(home) == (3, Fault.MOVED)


def test_values_of_another_kind_are_named_even_with_the_right_hashes(home: Path) -> None:
    from fedvox.client.ledger import schema
    from fedvox.client.ledger.places import looking
    from fedvox.common.chain import linked

    with looking(place(home)) as connection:
        last = list(schema.links_from(connection, 1))[-1]
    forged = linked(last.sequence, {**last.entry, "steps": "thirty"}, last.previous)
    with tampering(home) as connection:
        connection.execute("DELETE FROM entries WHERE sequence = ?", (last.sequence,))
        schema.insert(connection, forged)
    anchor.create(place(home).anchor, Anchor(forged.sequence, forged.hash))
    found = look(place(home))
    assert [(f.sequence, f.fault) for f in found.findings] == [(last.sequence, Fault.CHANGED)]
    assert [link.sequence for link in found.trusted] == [1, 2, 3, 4, 5]


def damage(path: Path, change: Callable[[bytes], bytes]) -> None:
    path.write_bytes(change(path.read_bytes()))


def test_a_missing_anchor_is_named_and_never_made_anew(home: Path) -> None:
    place(home).anchor.unlink()
    sequence, fault = named(home)
    assert (sequence, fault) == (0, Fault.MISSING)
    assert not place(home).anchor.exists()


def test_a_missing_database_is_named_and_never_begun_anew(home: Path) -> None:
    place(home).rows.unlink()
    with pytest.raises(SiteError) as caught:
        opened(home)
    assert "missing" in caught.value.detail and not place(home).rows.exists()
    assert look(place(home)).findings[0].fault is Fault.MISSING


def test_one_torn_slot_of_the_anchor_is_survived_and_two_are_damage(home: Path) -> None:
    whole = place(home).anchor.read_bytes()
    newest = anchor.read(place(home).anchor)
    assert newest == Anchor(ROWS + 1, rows(home)[-1]["hash"])
    for slot in (0, 1):
        torn = bytearray(whole)
        torn[128 * slot + 20] ^= 1
        place(home).anchor.write_bytes(torn)
        assert newest.count - anchor.read(place(home).anchor).count in (0, 1)
        assert look(place(home)).findings == ()
        with opened(home) as ledger:
            assert ledger.head() == newest
        assert anchor.read(place(home).anchor) == newest  # mended
    damage(place(home).anchor, lambda _: bytes(256))
    assert named(home)[0] == 0


def test_an_older_anchor_is_brought_up_to_date(home: Path) -> None:
    old = place(home).anchor.read_bytes()
    with opened(home) as ledger:
        reserved(ledger, work(5))
        reserved(ledger, work(6, "lung"))
    place(home).anchor.write_bytes(old)
    assert look(place(home)).findings == ()
    with opened(home) as ledger:
        assert reserved(ledger, work(5)).resumed
    assert anchor.read(place(home).anchor).count == ROWS + 3


def test_an_anchor_that_names_another_row_is_found(home: Path) -> None:
    anchor.create(place(home).anchor, Anchor(3, sha("another")))
    assert named(home) == (3, Fault.CHANGED)


def test_an_older_database_put_back_is_found(written: Path, home: Path) -> None:
    with opened(home) as ledger:
        reserved(ledger, work(7))
    shutil.copy(place(written).rows, place(home).rows)
    assert named(home) == (ROWS + 2, Fault.MISSING)


def test_a_database_of_another_site_is_found(home: Path, tmp_path: Path) -> None:
    with opened(tmp_path / "other") as ledger:
        for number in range(ROWS + 1):
            reserved(ledger, work(number, noise=50.0))
    shutil.copy(place(tmp_path / "other").rows, place(home).rows)
    assert named(home)[1] is Fault.CHANGED


def test_a_ledger_under_another_name_is_found(home: Path) -> None:
    renamed = Place(home, "hippocampus", "v9")
    place(home).rows.rename(renamed.rows)
    place(home).anchor.rename(renamed.anchor)
    assert look(renamed).findings[0].sequence == 1
    with pytest.raises(SiteError, match="log"), opened(home, CAPS, "v9") as ledger:
        ledger.reserve(work(9))


def test_pages_that_are_no_database_are_found(home: Path) -> None:
    damage(place(home).rows, lambda content: b"\0" * len(content))
    assert look(place(home)).findings
    with pytest.raises(SiteError), opened(home) as ledger:
        ledger.reserve(work(9))


def test_half_a_database_is_found(home: Path) -> None:
    damage(place(home).rows, lambda content: content[: len(content) // 2])
    assert look(place(home)).findings
    with pytest.raises(SiteError), opened(home) as ledger:
        ledger.reserve(work(9))


def test_rows_that_go_while_it_is_in_use_are_noticed(home: Path) -> None:
    with opened(home) as ledger:
        reservation = reserved(ledger, work(8))
        with tampering(home) as connection:
            connection.execute(
                "DELETE FROM entries WHERE sequence = (SELECT max(sequence) FROM entries)"
            )
        for act in (
            lambda: ledger.reserve(work(9)),
            lambda: ledger.release(reservation, sha("x")),
            lambda: ledger.refuse(reservation, Refusal.UNSAFE),
        ):
            with pytest.raises(SiteError) as caught:
                act()
            assert caught.value.refusal is Refusal.INTERNAL
