from __future__ import annotations

import hashlib
import io
import socket
import tarfile
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import nibabel
import numpy as np
import pytest

from fedvox.common.errors import DataError, ResourceError
from fedvox.common.study import load_study
from fedvox.simulations.sources import medmnist_sets, open_source, public
from fedvox.simulations.sources.download import PublicFile, fetch


class Shop:
    """A web server with ranges, which may break off."""

    def __init__(self) -> None:
        self.files: dict[str, bytes] = {}
        self.break_after: list[int] = []
        self.resumes = True
        self.asked: list[str | None] = []
        shop = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                shop.answer(self)

            def log_message(self, *_: object) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.address = f"http://127.0.0.1:{self.server.server_port}"
        threading.Thread(target=self.server.serve_forever, args=(0.02,), daemon=True).start()

    def answer(self, handler: BaseHTTPRequestHandler) -> None:
        asked = handler.headers.get("Range")
        self.asked.append(asked)
        content = self.files.get(handler.path.lstrip("/"))
        if content is None:
            handler.send_error(404)
            return
        start = int(asked[6:-1]) if asked and self.resumes else 0
        if asked and self.resumes and start >= len(content):
            handler.send_error(416)
            return
        rest = content[start:]
        handler.send_response(206 if start else 200)
        handler.send_header("Content-Length", str(len(rest)))
        handler.end_headers()
        handler.wfile.write(rest[: self.break_after.pop(0)] if self.break_after else rest)


@pytest.fixture
def shop():
    found = Shop()
    yield found
    found.server.shutdown()
    found.server.server_close()


def wanted(shop: Shop, folder: Path, content: bytes, md5: str = "") -> PublicFile:
    shop.files["f.bin"] = content
    md5 = md5 or hashlib.md5(content).hexdigest()
    return PublicFile(f"{shop.address}/f.bin", folder / "f.bin", md5, "f.bin")


CONTENT = np.random.default_rng(0).bytes(1_500_000)


def test_a_file_arrives_with_progress_and_only_once(shop, tmp_path):
    seen = []
    file = wanted(shop, tmp_path / "deep" / "er", CONTENT)
    path = fetch(file, lambda name, done, total: seen.append((name, done, total)))
    assert path.read_bytes() == CONTENT
    assert seen[-1] == ("f.bin", len(CONTENT), len(CONTENT))
    assert len(seen) > 3
    fetch(file)
    assert shop.asked == [None]
    assert [p.name for p in path.parent.iterdir()] == ["f.bin"]


def test_broken_connections_are_resumed_where_they_broke(shop, tmp_path):
    shop.break_after = [400_000, 300_000, 0, 100_000]
    assert fetch(wanted(shop, tmp_path, CONTENT)).read_bytes() == CONTENT
    assert shop.asked == [None, "bytes=400000-", "bytes=700000-", "bytes=700000-", "bytes=800000-"]


def test_a_later_run_goes_on_with_what_is_there(shop, tmp_path):
    (tmp_path / "f.bin.part").write_bytes(CONTENT[:1000])
    assert fetch(wanted(shop, tmp_path, CONTENT)).read_bytes() == CONTENT
    assert shop.asked == ["bytes=1000-"]


def test_a_part_that_is_complete_is_only_checked(shop, tmp_path):
    (tmp_path / "f.bin.part").write_bytes(CONTENT)
    assert fetch(wanted(shop, tmp_path, CONTENT)).read_bytes() == CONTENT


def test_a_server_that_does_not_resume_starts_over(shop, tmp_path):
    shop.resumes = False
    (tmp_path / "f.bin.part").write_bytes(b"x" * 1000)
    assert fetch(wanted(shop, tmp_path, CONTENT)).read_bytes() == CONTENT


def test_a_wrong_checksum_removes_the_file(shop, tmp_path):
    with pytest.raises(DataError, match="md5"):
        fetch(wanted(shop, tmp_path, CONTENT, "0" * 32))
    assert list(tmp_path.iterdir()) == []


def test_a_file_that_is_not_published_is_said_at_once(shop, tmp_path):
    file = PublicFile(f"{shop.address}/none", tmp_path / "none", "", "none")
    with pytest.raises(DataError, match="Not Found"):
        fetch(file)
    assert len(shop.asked) == 1


@pytest.mark.parametrize("address", ["http://127.0.0.1:{port}", "http://no-such-host.invalid"])
def test_offline_it_says_where_to_put_the_file(tmp_path, address):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    address = address.format(port=port)
    started = time.monotonic()
    for spec, by_hand in (
        ("msd:Task04_Hippocampus", "Task04_Hippocampus.tar, or the extracted folder"),
        ("medmnist:organmnist3d", "organmnist3d.npz"),
    ):
        with pytest.raises(DataError) as caught:
            open_source(spec, load_study(), cache=tmp_path, address=address)
        kind = spec.split(":")[0]
        assert by_hand in str(caught.value)
        assert str(tmp_path / kind) in str(caught.value)
    assert time.monotonic() - started < 5


def test_a_server_that_says_nothing_is_given_up(tmp_path):
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        url = f"http://127.0.0.1:{silent.getsockname()[1]}/f"
        with pytest.raises(DataError, match="timed out"):
            fetch(PublicFile(url, tmp_path / "f", "", "f"), timeout_s=0.2)


def test_a_folder_that_cannot_be_written_is_said(shop, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(ResourceError, match="FEDVOX_CACHE"):
        fetch(wanted(shop, tmp_path / "file", CONTENT))


def an_archive(name: str, extra: dict[str, bytes] | None = None) -> bytes:
    image = nibabel.Nifti1Image(np.arange(60, dtype=np.float32).reshape(3, 4, 5), np.eye(4))
    told = (
        b'{"labels": {"0": "background", "1": "x"}, "modality": {"0": "MRI"}, "training": '
        b'[{"image": "./imagesTr/a.nii", "label": "./labelsTr/a.nii"}]}'
    )
    label = nibabel.Nifti1Image(np.ones((3, 4, 5), dtype=np.uint8), np.eye(4))
    files = {
        f"{name}/dataset.json": told,
        f"{name}/imagesTr/a.nii": image.to_bytes(),
        f"{name}/labelsTr/a.nii": label.to_bytes(),
        **(extra or {}),
    }
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as tar:
        for path, content in files.items():
            info = tarfile.TarInfo(path)
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))
    return packed.getvalue()


def test_msd_by_name_is_fetched_unpacked_and_kept(shop, tmp_path, monkeypatch):
    name = "Task04_Hippocampus"
    archive = an_archive(name)
    monkeypatch.setitem(public.MSD_MD5, name, hashlib.md5(archive).hexdigest())
    shop.files[f"{name}.tar"] = archive
    for _ in range(2):
        source = open_source(f"msd:{name}", load_study(), cache=tmp_path, address=shop.address)
        assert source.name == name
        assert source.load(source.cases()[0]).image[0, 2, 3, 4] == 59
    assert len(shop.asked) == 1


def test_what_was_put_there_by_hand_is_used_without_a_network(tmp_path):
    (tmp_path / "msd").mkdir()
    (tmp_path / "msd" / "Task02_Heart.tar").write_bytes(an_archive("Task02_Heart"))
    source = open_source(
        "msd:Task02_Heart", load_study(), cache=tmp_path, address="http://x.invalid"
    )
    assert len(source.cases()) == 1


@pytest.mark.parametrize(
    ("archive", "says"),
    [
        (an_archive("Task02_Heart", {"../escaped": b"x"}), "cannot be unpacked"),
        (an_archive("Other"), "holds no Task02_Heart/dataset.json"),
        (b"no tar", "cannot be unpacked"),
    ],
)
def test_archives_that_are_not_what_they_should_be(tmp_path, archive, says):
    folder = tmp_path / "msd"
    folder.mkdir()
    (folder / "Task02_Heart.tar").write_bytes(archive)
    with pytest.raises(DataError, match=says):
        open_source("msd:Task02_Heart", load_study(), cache=tmp_path)
    assert [path.name for path in folder.iterdir()] == ["Task02_Heart.tar"]
    assert not (tmp_path / "escaped").exists()


@pytest.mark.parametrize(
    ("spec", "says"),
    [
        ("msd:Task04_Hipocampus", "did you mean 'Task04_Hippocampus'"),
        ("medmnist:organmnist3", "did you mean 'organmnist3d'"),
        ("medmnist:chestmnist", "multi-label"),
        ("medmnist:organmnist3d_128", "sizes 28, 64"),
    ],
)
def test_names_that_are_not_published(tmp_path, spec, says):
    with pytest.raises(DataError, match=says):
        open_source(spec, load_study(), cache=tmp_path, address="http://x.invalid")


def test_published_sums_are_sums():
    sums = [*public.MSD_MD5.values()]
    sums += [md5 for known in medmnist_sets.SETS.values() for md5 in known.md5.values()]
    assert len(set(sums)) == len(sums) == 10 + 11 * 4 + 6 * 2
    assert all(len(md5) == 32 and int(md5, 16) for md5 in sums)


def test_medmnist_by_name_is_fetched(shop, tmp_path, monkeypatch):
    arrays = {f"{split}_images": np.zeros((2, 8, 8, 8), np.uint8) for split in ("train", "test")}
    arrays |= {f"{split}_labels": np.zeros((2, 1), np.uint8) for split in ("train", "test")}
    np.savez_compressed(tmp_path / "set.npz", **arrays)
    content = (tmp_path / "set.npz").read_bytes()
    known = medmnist_sets.SETS["vesselmnist3d"]
    monkeypatch.setitem(
        medmnist_sets.SETS, "vesselmnist3d",
        medmnist_sets.PublishedSet({64: hashlib.md5(content).hexdigest()}, known.classes),
    )  # fmt: skip
    shop.files["vesselmnist3d_64.npz"] = content
    spec = "medmnist:vesselmnist3d_64"
    source = open_source(spec, load_study(), cache=tmp_path, address=shop.address)
    assert (source.name, len(source.cases())) == ("vesselmnist3d_64", 4)
