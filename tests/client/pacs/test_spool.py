"""The spool: what it keeps, under which names, and what it drops."""

import errno
from pathlib import Path

import pytest
from mounts import small_disk
from pacs_peers import ROOMY, ct_files
from pydicom import dcmread

from fedvox.client.pacs.part import Limits
from fedvox.client.pacs.reasons import Reason, Unfetched
from fedvox.client.pacs.spool import Spool, Stored, study_of
from fedvox.common.errors import InputError, RunInUseError


def put(spool: Spool, content: bytes) -> Stored:
    part = spool.begin()
    for at in range(0, len(content), 500):
        part.write(content[at : at + 500])
    return spool.store(part)


def contents(spool: Spool) -> list[Path]:
    return sorted(
        path for path in spool.folder.rglob("*") if path.is_file() and path.name != ".lock"
    )


def test_objects_lie_by_study_and_series_under_names_of_our_own(tmp_path: Path) -> None:
    files = ct_files(tmp_path / "src", 1)
    with Spool(tmp_path, "d", "listen", ROOMY) as spool:
        stored = {put(spool, path.read_bytes()) for path in files}
        assert len(stored) == len(files) == len(contents(spool))
        assert len({(one.study, one.series) for one in stored}) == 1
        header = dcmread(files[0])
        names = " ".join(map(str, contents(spool)))
        for uid in (header.StudyInstanceUID, header.SeriesInstanceUID, header.SOPInstanceUID):
            assert uid not in names
        assert spool.studies() == [next(iter(stored)).study]
        assert spool.study_token(header.StudyInstanceUID) == spool.studies()[0]
        kept = {path.read_bytes() for path in contents(spool)}
        assert kept == {path.read_bytes() for path in files}


def test_only_the_owner_may_look(tmp_path: Path) -> None:
    with Spool(tmp_path, "d", "listen", ROOMY) as spool:
        put(spool, ct_files(tmp_path / "src", 1)[0].read_bytes())
        for path in (tmp_path / "pacs").rglob("*"):
            mode = path.stat().st_mode & 0o777
            assert mode == 0o700 if path.is_dir() else mode & 0o077 == 0 or path.name == ".lock"


def test_what_is_sent_twice_is_there_once(tmp_path: Path) -> None:
    content = ct_files(tmp_path / "src", 1)[0].read_bytes()
    with Spool(tmp_path, "d", "listen", ROOMY) as spool:
        assert put(spool, content) == put(spool, content)
        assert len(contents(spool)) == 1


def test_two_objects_that_claim_to_be_one_are_both_kept(tmp_path: Path) -> None:
    path = ct_files(tmp_path / "src", 1)[0]
    with Spool(tmp_path, "d", "listen", ROOMY) as spool:
        put(spool, path.read_bytes())
        other = dcmread(path)
        other.PixelData = bytes(len(other.PixelData))
        other.save_as(path)
        put(spool, path.read_bytes())
        assert len(contents(spool)) == 2


@pytest.mark.parametrize("content", [b"", b"no dicom", bytes(200), bytes(128) + b"DICM" + b"\2\0"])
def test_what_is_broken_is_dropped(tmp_path: Path, content: bytes) -> None:
    with Spool(tmp_path, "d", "listen", ROOMY) as spool:
        with pytest.raises(Unfetched) as caught:
            put(spool, content)
        assert caught.value.reason is Reason.BROKEN
        assert contents(spool) == []


def test_what_is_not_wanted_is_dropped(tmp_path: Path) -> None:
    content = ct_files(tmp_path / "src", 1)[0].read_bytes()
    with Spool(tmp_path, "d", "listen", ROOMY) as spool:
        part = spool.begin()
        part.write(content)
        with pytest.raises(Unfetched) as caught:
            spool.store(part, lambda study, series: False)
        assert caught.value.reason is Reason.NOT_ASKED_FOR
        assert contents(spool) == []


def test_an_object_may_be_as_large_as_the_limit_and_no_larger(tmp_path: Path) -> None:
    content = ct_files(tmp_path / "src", 1)[0].read_bytes()
    with Spool(tmp_path, "d", "listen", Limits(len(content), 0)) as spool:
        put(spool, content)
        with pytest.raises(Unfetched) as caught:
            put(spool, content + b"\0")
        assert caught.value.reason is Reason.TOO_LARGE
        assert len(contents(spool)) == 1


def test_the_reserve_of_the_disk_is_kept(tmp_path: Path) -> None:
    content = ct_files(tmp_path / "src", 1)[0].read_bytes()
    with Spool(tmp_path, "d", "listen", Limits(reserve_bytes=1 << 60)) as spool:
        with pytest.raises(Unfetched) as caught:
            put(spool, content)
        assert caught.value.reason is Reason.NO_SPACE
        cause = caught.value.__cause__
        assert isinstance(cause, OSError) and cause.errno == errno.ENOSPC
        assert contents(spool) == []


def test_a_disk_that_fills_up_costs_only_what_did_not_fit(tmp_path: Path) -> None:
    content = ct_files(tmp_path / "src", 1, slices=1, size=200)[0].read_bytes()
    with (
        small_disk(tmp_path / "small", "300k") as home,
        Spool(home, "d", "listen", Limits(1 << 20, 0)) as spool,
    ):
        kept = 0
        with pytest.raises(Unfetched) as caught:
            for number in range(20):
                put(spool, content + bytes(1 + number))
                kept += 1
        assert caught.value.reason is Reason.NO_SPACE
        assert 1 <= kept == len(contents(spool)) < 20
        assert list(spool.arriving.iterdir()) == []


def test_a_study_is_taken_whole_and_what_comes_later_waits_anew(tmp_path: Path) -> None:
    files = ct_files(tmp_path / "src", 1)
    with Spool(tmp_path, "d", "listen", ROOMY) as spool:
        study = put(spool, files[0].read_bytes()).study
        put(spool, files[1].read_bytes())
        first = spool.take(study)
        put(spool, files[2].read_bytes())
        assert spool.studies() == [study]
        second = spool.take(study)
        assert spool.taken() == [first, second] and first != second
        assert study_of(first) == study_of(second) == study
        assert (len(list(first.glob("*/*.dcm"))), len(list(second.glob("*/*.dcm")))) == (2, 1)
        spool.done(first)
        assert spool.taken() == [second]


def test_a_new_process_finds_what_was_kept_and_drops_what_was_on_its_way(tmp_path: Path) -> None:
    files = ct_files(tmp_path / "src", 1)
    with Spool(tmp_path, "d", "listen", ROOMY) as spool:
        stored = put(spool, files[0].read_bytes())
        spool.begin().write(b"half")
        assert len(contents(spool)) == 2
    with Spool(tmp_path, "d", "listen", ROOMY) as spool:
        assert len(contents(spool)) == 1 and spool.series(stored.study) == [stored.series]


def test_part_of_a_series_can_be_dropped(tmp_path: Path) -> None:
    one = ct_files(tmp_path / "src", 1)[0]
    other = ct_files(tmp_path / "src", 2, StudyInstanceUID=dcmread(one).StudyInstanceUID)[0]
    with Spool(tmp_path, "d", "pull", ROOMY) as spool:
        first, second = put(spool, one.read_bytes()), put(spool, other.read_bytes())
        assert first.study == second.study
        spool.drop_series(first.study, first.series)
        assert spool.series(first.study) == [second.series]
        spool.drop_series(second.study, second.series)
        assert spool.studies() == []


def test_one_process_at_a_time(tmp_path: Path) -> None:
    with Spool(tmp_path, "d", "listen"):
        with pytest.raises(RunInUseError, match="another process"), Spool(tmp_path, "d", "listen"):
            pass
        with Spool(tmp_path, "d", "pull"), Spool(tmp_path, "e", "listen"):
            pass


def test_a_dataset_has_a_name_that_is_no_path(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="name"):
        Spool(tmp_path, "../d", "listen")
