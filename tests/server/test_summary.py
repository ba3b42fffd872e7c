"""Which sites a consortium's summary names, and what it says of each."""

from __future__ import annotations

from types import SimpleNamespace

from fedvox.common.messages import Reply
from fedvox.server.summary import sites_of


def test_a_site_that_left_is_named_if_its_updates_are_in_the_model() -> None:
    facts = {
        "a": Reply("a", facts={"patients_train": 5, "patients_validation": 1, "patients_test": 2}),
        "c": Reply("c", facts={"patients_test": 4}),
    }
    lines = [
        {"sites": {"a": {"examples": 4.0}, "b": {"examples": 7.0}}},
        {"sites": {"a": {"examples": 5.0}}},
    ]
    conducted = SimpleNamespace(facts=facts)
    assert sites_of(lines, conducted) == [  # type: ignore[arg-type]
        {"name": "a", "patients_train": 5, "patients_validation": 1, "patients_test": 2},
        {"name": "b", "patients_train": 7},
        {"name": "c", "patients_train": 0, "patients_validation": 0, "patients_test": 4},
    ]
