from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fedvox.common.frames import framed, unframed


@given(st.lists(st.binary(max_size=300), max_size=20))
def test_what_is_framed_is_unframed(messages: list[bytes]) -> None:
    assert [bytes(frame) for frame in unframed(framed(messages), 20)] == messages


@given(st.binary(max_size=60))
def test_anything_else_is_whole_messages_or_an_error(body: bytes) -> None:
    try:
        frames = unframed(body, 5)
    except ValueError:
        return
    assert framed(bytes(frame) for frame in frames) == body


@pytest.mark.parametrize("body", [b"\0", b"\0\0\0\x05abcd", b"\xff\xff\xff\xffx"])
def test_what_is_cut_off_is_an_error(body: bytes) -> None:
    with pytest.raises(ValueError, match="whole messages"):
        unframed(body, 9)


def test_too_many_are_an_error() -> None:
    with pytest.raises(ValueError, match="too many"):
        unframed(framed([b""] * 4), 3)
