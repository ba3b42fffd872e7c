"""What operators may do with a study, and what is refused."""

import json
from pathlib import Path

import pytest
from small import tiny

from fedvox.common.errors import InputError
from fedvox.server.coordinator.studies import ACTS, State, Studies


def test_a_proposal_is_kept_whole_and_the_same_again_is_the_same(tmp_path: Path) -> None:
    studies = Studies(tmp_path)
    study = tiny("study.name=lungs")
    record = studies.propose(study, "ann", ("a", "b"))
    assert studies.propose(study, "bob", ("a", "b")) == record
    assert studies.study("lungs") == study and studies.get("lungs").by == "ann"
    with pytest.raises(InputError, match="other settings"):
        studies.propose(tiny("study.name=lungs", "training.lr=0.5"), "ann")
    with pytest.raises(InputError, match="other settings"):
        studies.propose(study, "ann", ("a",))


@pytest.mark.parametrize("name", ["other", "../lungs", ".", "", "a\0b"])
def test_an_unknown_name_is_answered_with_the_known_ones(tmp_path: Path, name: str) -> None:
    studies = Studies(tmp_path)
    studies.propose(tiny("study.name=lungs"), "ann")
    with pytest.raises(InputError, match="there are: lungs"):
        studies.get(name)


def test_acts_go_from_the_states_they_are_for_and_from_no_other(tmp_path: Path) -> None:
    studies = Studies(tmp_path)
    studies.propose(tiny("study.name=x"), "ann")
    for act, (sources, target) in ACTS.items():
        for state in State:
            studies.set(studies.get("x"), state=state)
            if state in sources:
                assert studies.act("x", act).state is target
            else:
                with pytest.raises(InputError, match=f"cannot be asked to {act}"):
                    studies.act("x", act)
                assert studies.get("x").state is state


def test_what_was_decided_meanwhile_is_not_undone(tmp_path: Path) -> None:
    studies = Studies(tmp_path)
    seen = studies.propose(tiny("study.name=x"), "ann")
    studies.act("x", "stop")
    assert studies.set(seen, state=State.RUNNING).state is State.STOPPED


def test_a_damaged_record_costs_its_own_study_only(tmp_path: Path) -> None:
    studies = Studies(tmp_path)
    for name in ("x", "y"):
        studies.propose(tiny(f"study.name={name}"), "ann")
    (studies.folder("x") / "record.json").write_text('{"name": "x", "sta')
    assert [record.name for record in studies.all()] == ["y"]
    (told,) = studies.damaged()
    assert "x/record.json: cannot be read" in told and "restore it from a backup" in told
    with pytest.raises(InputError, match="cannot be read"):
        studies.get("x")
    with pytest.raises(InputError, match="cannot be read"):
        studies.propose(tiny("study.name=x"), "ann")


def test_a_record_of_an_earlier_release_is_read(tmp_path: Path) -> None:
    studies = Studies(tmp_path)
    studies.propose(tiny("study.name=x"), "ann", ("a",))
    path = studies.folder("x") / "record.json"
    told = json.loads(path.read_text())
    del told["excluded"]
    path.write_text(json.dumps(told))
    assert studies.get("x").excluded == () and studies.get("x").sites == ("a",)
