"""The reader of DICOM images."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

from fedvox.client.ingest.reading.elements import Damaged
from fedvox.client.ingest.reading.frames import Frame, Shared, frames_of
from fedvox.client.ingest.reading.geometry import Stack
from fedvox.client.ingest.reading.header import Header, looks_like_dicom, read_header
from fedvox.client.ingest.reading.kinds import is_index, label_kind, shows_head
from fedvox.client.ingest.reading.series import UNEXPECTED, findings_of
from fedvox.client.ingest.reading.tags import Tag
from fedvox.client.ingest.reading.technical import technical_of
from fedvox.client.ingest.reading.values import voxels_of
from fedvox.client.ingest.reasons import Quarantined, Reason
from fedvox.client.ingest.scan import (
    HEAD,
    HU,
    SUV,
    Findings,
    LabelFile,
    Scan,
    ScanRef,
    SetAside,
    merged,
)


def sniff(path: Path, head: bytes) -> bool:
    """Whether the file is DICOM, with its preamble or without."""
    return looks_like_dicom(head)


def find(paths: Iterable[Path]) -> Findings:
    """What the DICOM files hold: scans, labels, and what is set aside with a reason."""
    shared = Shared()
    frames: list[Frame] = []
    labels: list[LabelFile] = []
    asides: list[SetAside] = []
    companions: list[Path] = []
    broken: set[str] = set()
    count = 0
    for path in paths:
        count += 1
        try:
            header = read_header(path)
            if is_index(header):
                companions.append(path)
            elif kind := label_kind(header):
                labels.append(_label(path, header, kind))
            else:
                frames += list(frames_of(path, header, shared))
        except Damaged as error:
            broken.add(error.series_uid.strip(b" \0").decode("latin-1"))
            asides.append(SetAside(Reason.UNREADABLE, (path,), str(error)))
        except OSError as error:
            asides.append(SetAside(Reason.UNREADABLE, (path,), error.strerror or str(error)))
        except Exception as error:  # a file that surprises must not stop the others
            asides.append(SetAside(Reason.UNREADABLE, (path,), f"{UNEXPECTED} {error!r}"))
    rest = Findings((), tuple(labels), tuple(asides), tuple(companions), count)
    return merged([findings_of(frames, broken - {""}), rest])


def _label(path: Path, header: Header, kind: str) -> LabelFile:
    return LabelFile(
        path,
        kind,
        header.text(Tag.PATIENT_ID),
        header.text(Tag.STUDY_UID),
        header.text(Tag.SERIES_UID),
        header.text(Tag.FRAME_OF_REFERENCE),
    )


def load(ref: ScanRef) -> Scan:
    """The scan; Quarantined where its pixels cannot be had."""
    stack = ref.plan
    if not isinstance(stack, Stack):
        raise Quarantined(Reason.UNREADABLE, "not a reference of this reader")
    frames, common = stack.frames, stack.frames[0].common
    flags = set(stack.flags)
    if shows_head(common):
        flags.add(HEAD)
    if common.modality == "PT":
        flags.add(SUV)
    if common.modality == "CT" and all(frame.rescaled for frame in frames):
        flags.add(HU)
    return Scan(
        image=voxels_of(frames)[None],
        affine=stack.affine,
        modality=common.modality,
        patient=ref.patient,
        technical=technical_of(common),
        study_uid=ref.study_uid,
        series_uid=ref.series_uid,
        frame_of_reference=ref.frame_of_reference,
        flags=frozenset(flags),
        sop_uids=ref.sop_uids,
        frame_numbers=_numbers(frames),
    )


def _numbers(frames: Sequence[Frame]) -> tuple[int, ...]:
    return tuple(frame.number for frame in frames)
