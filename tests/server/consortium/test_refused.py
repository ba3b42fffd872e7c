from typing import Any

from fedvox.common.identity.refusals import EnrolmentRefusal
from fedvox.server.consortium.refused import MOST, WINDOW_S, RefusalRecord


def test_whoever_is_outside_cannot_fill_the_record() -> None:
    said: list[tuple[str, Any]] = []
    now = [0.0]
    record = RefusalRecord(lambda kind, fields: said.append((kind, dict(fields))), lambda: now[0])
    for _ in range(MOST + 500):
        record.note(EnrolmentRefusal.MALFORMED)
    assert said == [("enrolment-refused", {"code": "malformed", "site": ""})] * MOST
    now[0] = WINDOW_S
    record.note(EnrolmentRefusal.REVOKED, "st-anna")
    assert said[MOST:] == [
        ("enrolments-refused", {"not_recorded_singly": 500}),
        ("enrolment-refused", {"code": "revoked", "site": "st-anna"}),
    ]
    now[0] = 2 * WINDOW_S
    record.note(EnrolmentRefusal.MALFORMED)
    assert [kind for kind, _ in said[MOST:]].count("enrolments-refused") == 1
