"""The record of who was turned away."""

from pathlib import Path

from fedvox.client.pacs.refused import RefusedLog, Why


def test_refusals_are_counted_by_peer(tmp_path: Path) -> None:
    log = RefusedLog(tmp_path)
    for _ in range(3):
        log.add(Why.CALLING, "10.0.0.1", "EVIL")
    log.add(Why.TLS, "10.0.0.1")
    log.close()
    again = RefusedLog(tmp_path)
    again.add(Why.CALLING, "10.0.0.1", "EVIL")
    found = {(one.why, one.address, one.title): one.count for one in again.all()}
    assert found == {("calling-ae", "10.0.0.1", "EVIL"): 4, ("tls", "10.0.0.1", ""): 1}
    assert again.count == 1


def test_each_peer_is_told_of_once(tmp_path: Path) -> None:
    said: list[str] = []
    log = RefusedLog(tmp_path, said.append)
    for _ in range(3):
        log.add(Why.CALLING, "10.0.0.1", "EVIL")
    assert len(said) == 1 and "EVIL at 10.0.0.1" in said[0] and "--allow" in said[0]
    for number in range(500):
        log.add(Why.CALLING, "10.0.0.1", f"AE{number}")
    assert len(said) == 100


def test_what_a_peer_calls_itself_is_made_harmless(tmp_path: Path) -> None:
    log = RefusedLog(tmp_path)
    log.add(Why.CALLING, "10.0.0.1", "A\n\x1b[2Jé" + "B" * 100)
    assert log.all()[0].title == "A??[2J?BBBBBBBBB"


def test_it_stays_small(tmp_path: Path) -> None:
    log = RefusedLog(tmp_path)
    for number in range(1200):
        log.add(Why.CALLING, "10.0.0.1", f"AE{number}")
    assert len(log.all()) == 1000 and log.count == 1200
