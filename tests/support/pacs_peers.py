"""Both ends of DICOM for tests: a receiver of ours, and peers that behave or misbehave."""

import subprocess
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from socketserver import BaseServer
from typing import Any

from dicom_series import ROOT, Series, datasets, write
from orthanc import free_port, require
from pynetdicom import AE
from pynetdicom.association import Association
from pynetdicom.sop_class import (
    CTImageStorage,
    StudyRootQueryRetrieveInformationModelFind,
    StudyRootQueryRetrieveInformationModelGet,
    StudyRootQueryRetrieveInformationModelMove,
    Verification,
)
from pynetdicom.transport import ThreadedAssociationServer

from fedvox.client.pacs.allow import LOOPBACK
from fedvox.client.pacs.part import Limits
from fedvox.client.pacs.receiver import Listening, Receiver
from fedvox.client.pacs.refused import RefusedLog
from fedvox.client.pacs.spool import Spool, Stored

ROOMY = Limits(reserve_bytes=1 << 20)
STORESCU, ECHOSCU = Path("/usr/bin/storescu"), Path("/usr/bin/echoscu")


def ct(number: int, slices: int = 4, size: int = 12, **extras: Any) -> list[Any]:
    """A CT series in a study of its own, of a patient of its own."""
    said = {"StudyInstanceUID": f"{ROOT}.77.{number}", **extras}
    series = Series(slices, size, size, number=number, patient=f"PAT-{number}", extras=said)
    return list(datasets(series, series.voxels(number)))


def ct_files(
    folder: Path, number: int, slices: int = 4, size: int = 12, **extras: Any
) -> list[Path]:
    return write(folder / f"series{number}", ct(number, slices, size, **extras))


@dataclass
class Here:
    """A receiver that listens, and all that belongs to it."""

    receiver: Receiver
    spool: Spool
    refused: RefusedLog
    received: list[Stored] = field(default_factory=list)

    @property
    def port(self) -> int:
        return self.receiver.port

    def files(self) -> list[Path]:
        return sorted(self.spool.folder.glob("studies/*/*/*.dcm"))

    def unfinished(self) -> list[Path]:
        return list(self.spool.arriving.iterdir())


@contextmanager
def receiving(
    home: Path,
    limits: Limits = ROOMY,
    received: Callable[[Stored], None] = lambda stored: None,
    **options: Any,
) -> Iterator[Here]:
    """Our SCP on a free port; `options` are those of Listening."""

    def both(stored: Stored) -> None:
        came.append(stored)
        received(stored)

    settings = {"title": "FEDVOX", "port": 0, "allow": LOOPBACK, "address": "127.0.0.1", **options}
    refused, came = RefusedLog(home), list[Stored]()
    with (
        Spool(home, "d", "listen", limits) as spool,
        Receiver(Listening(**settings), spool.begin, spool.store, refused, both) as receiver,
    ):
        yield Here(receiver, spool, refused, came)
    refused.close()


def storescu(port: int, *paths: Path | str, called: str = "FEDVOX", **run: Any) -> str:
    """What dcmtk says; empty when everything was stored."""
    require(STORESCU)
    command = [STORESCU, "-v", "-aec", called, "+sd", "+r", "127.0.0.1", str(port), *paths]
    done = subprocess.run(
        list(map(str, command)), capture_output=True, text=True, timeout=60, **run
    )
    return "" if done.returncode == 0 else done.stdout + done.stderr


@contextmanager
def associated(
    port: int, calling: str = "SENDER", patience_s: float = 10, **options: Any
) -> Iterator[Association]:
    """pynetdicom as the sender of CT images."""
    entity = AE(calling)
    entity.acse_timeout = entity.dimse_timeout = entity.network_timeout = patience_s
    entity.add_requested_context(CTImageStorage)
    entity.add_requested_context(Verification)
    made = entity.associate("127.0.0.1", port, ae_title="FEDVOX", **options)
    try:
        yield made
    finally:
        made.release() if made.is_established else made.abort()


Handlers = Sequence[tuple[Any, Callable[..., Any]]]


@contextmanager
def pacs(handlers: Handlers, title: str = "PACS") -> Iterator[str]:
    """A PACS made of pynetdicom, answering by `handlers`; AE@HOST:PORT."""
    entity = AE(title)
    for context in (
        StudyRootQueryRetrieveInformationModelFind,
        StudyRootQueryRetrieveInformationModelGet,
        StudyRootQueryRetrieveInformationModelMove,
        Verification,
    ):
        entity.add_supported_context(context)
    entity.add_supported_context(CTImageStorage, scu_role=True, scp_role=True)
    entity.add_requested_context(CTImageStorage)
    entity.require_called_aet = True
    port = free_port()
    server = entity.make_server(
        ("127.0.0.1", port), evt_handlers=list(handlers), server_class=ThreadedAssociationServer
    )
    thread = threading.Thread(target=server.serve_forever, args=(0.05,))
    thread.start()
    try:
        yield f"{title}@127.0.0.1:{port}"
    finally:
        for one in server.active_associations:
            one.abort()
        BaseServer.shutdown(server)
        server.server_close()
        thread.join()
