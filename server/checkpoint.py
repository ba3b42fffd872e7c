"""The state after each round on disk: atomic, checked to the last bit, never of another study.

A checkpoint is one safetensors file: weights and slots under prefixed names, what it belongs to in
the notes of its header. The note "sha256" is the hash of the whole file with that note as zeros.
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from fedvox.common.arrays import Array, Arrays, blocks
from fedvox.common.codec import CodecError, encoded_parts, mapping, notes_of, viewed
from fedvox.common.errors import CheckpointError
from fedvox.common.files import sync_folder, write_bytes_atomic, writing
from fedvox.server.strategies.strategy import State

_NAME = re.compile(r"round-(\d{5,})\.safetensors")
_ZEROS = "0" * 64
_SEAL = b'"sha256":"'
_WEIGHTS, _SLOT = "weights/", "slot/"
_HASHED_BYTES = 1 << 20


@dataclass(frozen=True)
class Found:
    """The newest whole checkpoint, and what had to be passed over on the way to it."""

    state: State | None
    path: Path | None = None
    passed_over: tuple[tuple[Path, str], ...] = ()
    """Damaged files, newest first, with what is wrong with each."""


@dataclass(frozen=True)
class Checkpoints:
    """The checkpoints of a run; one process at a time works with them."""

    folder: Path
    keep: int = 2
    """How many are kept: the newest, and those to go back to should it be damaged."""

    def save(self, state: State, study_hash: str, contract_hash: str, **notes: str) -> Path:
        """Writes the state after its round, then removes what is older than `keep` rounds.

        Files of later rounds go too: they are damaged, or from before a step back.
        """
        path = self.folder / f"round-{state.round:05d}.safetensors"
        own = {"round": str(state.round), "study_hash": study_hash, "contract_hash": contract_hash}
        length, header, *tensors = encoded_parts(_flat(state), {**notes, **own, "sha256": _ZEROS})
        with writing(path):
            self.folder.mkdir(parents=True, exist_ok=True)
        digest = hashlib.sha256(length)
        for part in (header, *tensors):
            digest.update(part)
        at = _seal_at(bytes(header))
        seal = digest.hexdigest().encode()
        write_bytes_atomic(path, length, header[:at], seal, header[at + len(seal) :], *tensors)
        self._prune(state.round)
        return path

    def latest(self, study_hash: str, contract_hash: str) -> Found:
        """The newest whole state of this study; CheckpointError where none of several is whole."""
        passed_over: list[tuple[Path, str]] = []
        for _, path in self._files():
            try:
                state, notes = _read(path)
            except (CodecError, OSError) as error:
                passed_over.append((path, str(error)))
                continue
            _require_same(path, notes, study_hash, contract_hash)
            return Found(state, path, tuple(passed_over))
        if passed_over:
            reasons = "; ".join(f"{path.name}: {reason}" for path, reason in passed_over)
            raise CheckpointError(
                f"{self.folder}: no checkpoint is whole ({reasons}). Restore the folder from a "
                "backup, or remove it and start the run again from its first round"
            )
        return Found(None)

    def _files(self) -> list[tuple[int, Path]]:
        """The checkpoints by round, newest first."""
        if not self.folder.is_dir():
            return []
        named = ((_NAME.fullmatch(path.name), path) for path in self.folder.iterdir())
        return sorted(((int(match[1]), path) for match, path in named if match), reverse=True)

    def _prune(self, newest: int) -> None:
        files = self._files()
        kept = [path for number, path in files if number <= newest][: self.keep]
        with writing(self.folder):
            for path in [path for _, path in files if path not in kept]:
                path.unlink(missing_ok=True)
            for path in self.folder.glob(".round-*.tmp"):
                path.unlink(missing_ok=True)
            sync_folder(self.folder)


def _flat(state: State) -> dict[str, Array]:
    flat = {f"{_WEIGHTS}{name}": array for name, array in state.weights.items()}
    for slot, arrays in state.slots.items():
        if "/" in slot:
            raise CheckpointError(f"a strategy's slot cannot have a slash in its name: {slot!r}")
        flat |= {f"{_SLOT}{slot}/{name}": array for name, array in arrays.items()}
    return flat


def _state(flat: Arrays, round: int) -> State:
    weights: dict[str, Array] = {}
    slots: dict[str, dict[str, Array]] = {}
    for key, array in flat.items():
        kind, _, name = key.partition("/")
        if kind == "weights":
            weights[name] = array
        else:
            slot, _, name = name.partition("/")
            slots.setdefault(slot, {})[name] = array
    return State(weights, round, slots)


def opened(path: Path) -> State:
    """The state in a checkpoint that was just written, as a memory map of the file."""
    file = mapping(path)
    return _state(viewed(file), int(notes_of(file)["round"]))


def _read(path: Path) -> tuple[State, dict[str, str]]:
    """The state in a file and its notes; CodecError where a single bit is not as it was written."""
    file = mapping(path)
    notes = notes_of(file)
    begin, end = 8, 8 + int.from_bytes(file[:8], "little")
    header = file[begin:end]
    at = _seal_at(header)
    digest = hashlib.sha256(file[:begin])
    digest.update(header[:at] + _ZEROS.encode() + header[at + len(_ZEROS) :])
    for block in blocks(np.frombuffer(memoryview(file)[end:], np.uint8), _HASHED_BYTES):
        digest.update(block.data)
    if notes.get("sha256") != digest.hexdigest():
        raise CodecError("damaged: its bytes are not those that were written")
    return _state(viewed(file), int(notes["round"])), notes


def _seal_at(header: bytes) -> int:
    """Where the 64 digits of the hash stand in the header."""
    at = header.find(_SEAL)
    if at < 0:
        raise CodecError("damaged: its header holds no hash")
    return at + len(_SEAL)


def _require_same(path: Path, notes: dict[str, str], study_hash: str, contract_hash: str) -> None:
    """The contract first: where it differs, the study does too, and the contract is the reason."""
    if notes["contract_hash"] != contract_hash:
        raise CheckpointError(
            f"{path}: was trained under another data contract ([data] of the study: spacing, "
            "intensities, patch, labels or classes). Resume with the study.toml of that run, or "
            "start a new run"
        )
    if notes["study_hash"] != study_hash:
        raise CheckpointError(
            f"{path}: belongs to another study (same data contract, other settings). Resume with "
            "the study.toml of that run, or start a new run"
        )
