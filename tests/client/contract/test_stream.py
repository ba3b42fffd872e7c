"""The contract: generated code is that of the .proto, and nothing breaks its limits."""

import resource
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import fedvox.client.contract.generate as generate
from fedvox.client.contract import trainer_pb2 as wire
from fedvox.client.contract.heads import (
    ReplyHead,
    RequestHead,
    StreamError,
    TooLarge,
    reply_from_wire,
    reply_on_wire,
    request_from_wire,
    request_on_wire,
)
from fedvox.client.contract.stream import PART_BYTES, announced, parts, read_groups, sizes_of
from fedvox.common.errors import Refusal


def test_what_is_committed_was_made_from_the_proto(tmp_path: Path) -> None:
    generate.generate(tmp_path)
    own = Path(generate.__file__).parent
    for name in generate.GENERATED:
        assert (tmp_path / name).read_bytes() == (own / name).read_bytes(), f"{name}: run generate"


def test_every_message_and_call_of_the_proto_is_explained() -> None:
    """A reviewer reads nothing else: each rpc has a comment above it, the whole has one on top."""
    lines = (Path(generate.__file__).parent / "trainer.proto").read_text().splitlines()
    assert lines[0].startswith("//")
    for number, line in enumerate(lines):
        if line.strip().startswith("rpc "):
            assert lines[number - 1].strip().startswith("//"), line


def test_heads_survive_the_wire() -> None:
    asked = RequestHead(
        "evaluate", "[study]\n", 7, "a" * 64, {"split": "test", "n": 3, "x": 0.5, "b": True}
    )
    assert request_from_wire(request_on_wire(asked, {})) == asked
    said = ReplyHead(
        "berlin", 7, "a" * 64, 12, {"loss": 0.25}, {"patients_train": 12, "contract": "c"}
    )
    assert reply_from_wire(reply_on_wire(said, {})) == said
    refused = ReplyHead("berlin", refusal=Refusal.WAITING)
    assert reply_from_wire(reply_on_wire(refused, {})) == refused


@pytest.mark.parametrize(
    "broken",
    [
        wire.RequestHead(kind=0),
        wire.RequestHead(kind=17),
        wire.RequestHead(kind=2, study="x" * (1 << 20) + "x"),
        wire.RequestHead(kind=2, weights_sha256="../../etc/passwd"),
        wire.RequestHead(kind=2, settings={"a": wire.Scalar()}),
        wire.RequestHead(kind=2, settings={"a": wire.Scalar(text="x" * 2000)}),
        wire.RequestHead(kind=2, settings={str(n): wire.Scalar(whole=n) for n in range(65)}),
    ],
)
def test_a_head_that_breaks_the_contract_is_none(broken: wire.RequestHead) -> None:
    with pytest.raises(StreamError):
        request_from_wire(broken)


def test_a_number_that_does_not_fit_is_told_before_it_is_sent() -> None:
    with pytest.raises(StreamError):
        request_on_wire(RequestHead("train", "", settings={"n": 1 << 80}), {})


@pytest.mark.parametrize("size", [0, 1, PART_BYTES - 1, PART_BYTES, PART_BYTES + 1, 3 * PART_BYTES])
def test_groups_come_as_they_were_sent(size: int) -> None:
    sent = {"weights": bytes(range(256)) * (size // 256) + b"x" * (size % 256), "control": b"abc"}
    chunks = list(parts({**sent, "weights": memoryview(sent["weights"])}))
    assert max(len(chunk.part) for chunk in chunks) <= PART_BYTES
    assert read_groups(sizes_of(sent), iter(chunks)) == sent


def _chunks(*contents: bytes) -> Iterator[wire.Chunk]:
    return iter([wire.Chunk(part=content) for content in contents])


@pytest.mark.parametrize(
    ("sizes", "contents"),
    [
        ({"weights": 4}, [b"abc"]),  # too few
        ({"weights": 4}, [b"abcd", b"e"]),  # too many
        ({"weights": 4}, [b"abcde"]),
        ({"weights": 4, "control": 1}, [b"abcde"]),  # of two groups
        ({"weights": 4}, [b"ab", b"", b"cd"]),  # an endless stream of nothing
        ({"weights": 1 << 30}, [b"x" * (PART_BYTES + 1)]),
    ],
)
def test_other_bytes_than_announced_are_no_groups(
    sizes: dict[str, int], contents: list[bytes]
) -> None:
    with pytest.raises(StreamError):
        read_groups(sizes, _chunks(*contents))


def test_what_is_announced_is_bounded() -> None:
    def groups(*sizes: int) -> list[wire.Group]:
        return [wire.Group(name=f"g{n}", bytes=size) for n, size in enumerate(sizes)]

    assert announced(groups(5, 0), 5) == {"g0": 5, "g1": 0}
    with pytest.raises(TooLarge):
        announced(groups(6), 5)
    for broken in (groups(*[1] * 9), [wire.Group(name="", bytes=1)], [wire.Group(name="x" * 65)]):
        with pytest.raises(StreamError):
            announced(broken, 5)
    with pytest.raises(StreamError):
        announced([wire.Group(name="a"), wire.Group(name="a")], 5)


def test_an_announcement_alone_costs_no_memory() -> None:
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(StreamError):
        read_groups({"weights": 1 << 40}, _chunks(b"x"))
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 50_000


@pytest.mark.parametrize(
    ("module", "absent"),
    [
        ("fedvox.client.contract.stub", ("torch", "safetensors.torch", "monai")),
        (
            "fedvox.client.trainer.process",
            ("flwr", "httpx", "requests", "urllib3", "fedvox.simulations"),
        ),
        ("fedvox.client.start", ("torch", "grpc", "numpy")),
    ],
)
def test_what_a_process_has_no_business_with_it_does_not_load(
    module: str, absent: tuple[str, ...]
) -> None:
    code = f"import sys, {module}; print([m for m in {absent!r} if m in sys.modules])"
    command = [sys.executable, "-P", "-c", code]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout.strip() == "[]"
