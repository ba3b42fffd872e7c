from __future__ import annotations

from collections.abc import Mapping

from fedvox.server.gate.recording import Incidents


class Log:
    def __init__(self) -> None:
        self.lines: list[dict[str, object]] = []
        self.now = 0.0
        self.incidents = Incidents(self.record, lambda: self.now)

    def record(self, kind: str, fields: Mapping[str, object]) -> None:
        assert kind == "refused"
        self.lines.append(dict(fields))


def test_the_first_is_written_and_repetitions_are_counted() -> None:
    log = Log()
    for _ in range(5):
        log.incidents.refused("10.0.0.1", "no-certificate")
    log.incidents.refused("10.0.0.1", "too-large", "a")
    log.incidents.refused("10.0.0.2", "no-certificate")
    assert log.lines == [
        {"peer": "10.0.0.1", "reason": "no-certificate"},
        {"peer": "10.0.0.1", "reason": "too-large", "site": "a"},
        {"peer": "10.0.0.2", "reason": "no-certificate"},
    ]
    log.now = 61
    log.incidents.refused("10.0.0.1", "no-certificate")
    assert log.lines[-1] == {"peer": "10.0.0.1", "reason": "no-certificate", "repeated": 4}


def test_what_has_become_quiet_is_written_with_its_number() -> None:
    log = Log()
    for _ in range(3):
        log.incidents.refused("10.0.0.1", "no-certificate")
    log.now = 30
    log.incidents.forget()
    assert len(log.lines) == 1
    log.now = 61
    log.incidents.forget()
    assert log.lines[1:] == [{"peer": "10.0.0.1", "reason": "no-certificate", "repeated": 2}]
    log.incidents.forget()
    assert len(log.lines) == 2


def test_many_strangers_do_not_fill_the_log() -> None:
    log = Log()
    for number in range(5000):
        log.incidents.refused(f"10.0.{number // 256}.{number % 256}", "no-certificate")
    assert len(log.lines) < 300
