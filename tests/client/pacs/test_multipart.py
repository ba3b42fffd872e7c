"""Multipart bodies, against the standard library's parser, in pieces of every size."""

from email.parser import BytesParser

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fedvox.client.pacs.multipart import Parts, boundary_of
from fedvox.client.pacs.reasons import Reason, Unfetched

TYPE = b'multipart/related; type="application/dicom"; boundary="b-1"'


def body(parts: list[bytes], preamble: bytes = b"", end: bytes = b"\r\n--b-1--") -> bytes:
    head = b"\r\nContent-Type: application/dicom\r\nContent-Length: 3\r\n\r\n"
    joined = b"\r\n--b-1".join(head + part for part in parts)
    return preamble + b"--b-1" + joined + end


def read(chunks: list[bytes], boundary: bytes = b"b-1") -> list[bytes]:
    found, parts = [], Parts(chunks, boundary)
    while parts.next():
        got = bytearray()
        parts.read(got.extend)
        found.append(bytes(got))
    return found


def pieces(data: bytes, size: int) -> list[bytes]:
    return [data[at : at + size] for at in range(0, len(data), size)]


@pytest.mark.parametrize("size", [1, 2, 3, 7, 64, 10_000])
def test_in_pieces_of_any_size(size: int) -> None:
    parts = [b"abc", b"", b"\r\n--b-", b"x" * 1000 + b"\r\n", b"-b-1--"]
    assert read(pieces(body(parts), size)) == parts
    assert read(pieces(body(parts, b"preamble\r\n", b"\r\n--b-1--\r\nepilogue"), size)) == parts


def test_as_the_standard_library_reads_it() -> None:
    parts = [b"one\x00\xff", b"two" * 50]
    message = BytesParser().parsebytes(b"Content-Type: " + TYPE + b"\r\n\r\n" + body(parts))
    assert [part.get_payload(decode=True) for part in message.get_payload()] == parts
    assert read([body(parts)]) == parts


@settings(max_examples=200, deadline=None)
@given(st.lists(st.binary(max_size=80), min_size=1, max_size=4), st.integers(1, 50))
def test_whatever_the_parts_hold(parts: list[bytes], size: int) -> None:
    clean = [part for part in parts if b"--b-1" not in part] or [b""]
    assert read(pieces(body(clean), size)) == clean


@pytest.mark.parametrize("cut", range(1, 120, 7))
def test_a_body_that_is_cut_is_never_taken_for_whole(cut: int) -> None:
    whole = body([b"a" * 40, b"b" * 40])
    with pytest.raises(Unfetched) as caught:
        read([whole[: len(whole) - cut]])
    assert caught.value.reason is Reason.INCOMPLETE


def test_headers_without_end_are_given_up() -> None:
    with pytest.raises(Unfetched) as caught:
        read(pieces(b"--b-1\r\n" + b"X: y\r\n" * 10_000, 512))
    assert caught.value.reason is Reason.BROKEN


def test_the_boundary_is_taken_from_the_type() -> None:
    assert boundary_of(TYPE.decode()) == b"b-1"
    assert boundary_of("multipart/related;boundary=x y") == b"x y"
    for other in ("application/dicom", "", "multipart/related", "text/html; boundary=x"):
        with pytest.raises(Unfetched):
            boundary_of(other)
