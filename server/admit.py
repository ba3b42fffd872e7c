"""Nothing is folded that was not checked: who answered, for what, with which tensors, how large."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from enum import StrEnum

import numpy as np
import numpy.typing as npt

from fedvox.common.arrays import SQUARED, Array, Arrays, blocks, is_finite
from fedvox.common.errors import FedvoxError
from fedvox.common.messages import Reply
from fedvox.server.strategies.strategy import State, Strategy

Spec = tuple[tuple[int, ...], np.dtype[np.generic]]
"""Shape and type of a tensor."""
Expected = Mapping[str, Mapping[str, Spec]]
"""Group -> name -> what the tensor must look like."""


class Code(StrEnum):
    """Why an answer does not count."""

    SITE = "site"
    UNASKED = "unasked"
    REPLAY = "replay"
    ROUND = "round"
    WEIGHTS = "weights"
    STUDY = "study"
    CONTRACT = "contract"
    EXAMPLES = "examples"
    FIGURES = "figures"
    GROUPS = "groups"
    NAMES = "names"
    SHAPE = "shape"
    DTYPE = "dtype"
    NOT_FINITE = "not-finite"
    NORM = "norm"
    RECEIPT = "receipt"


class Rejected(FedvoxError):
    """An answer that must not count, with the reason as a code."""

    def __init__(self, code: Code, detail: str) -> None:
        super().__init__(f"{code}: {detail}")
        self.code = code
        self.detail = detail


@dataclass
class Admission:
    """The gate of one round; it remembers who has passed."""

    round: int
    weights_sha256: str
    """Of the weights that went out."""
    state: State
    strategy: Strategy
    max_norm: float
    asked: Collection[str] | None = None
    """Sites that may answer; None: whoever the answer is handed in for."""
    patients: Mapping[str, int] = field(default_factory=dict)
    """Site -> patients it said it has; it cannot count for more."""
    study: str = ""
    """Compared with the fact "study" of an answer that has one; empty: not compared."""

    def __post_init__(self) -> None:
        expects = self.strategy.expects(self.state)
        self._expected = {group: specs_of(arrays) for group, arrays in expects.items()}
        self._answered: set[str] = set()
        self._agreed: frozenset[str] | None = None

    @property
    def weights(self) -> Arrays:
        """The weights that went out."""
        return self.state.weights

    def check(self, site: str, reply: Reply) -> Mapping[str, float]:
        """The norm of each group; raises Rejected where the answer must not count."""
        self._check_sender(site, reply)
        self._check_subject(reply)
        self._check_figures(site, reply)
        optional = self.weights if self.strategy.partial else ()
        norms = admit(reply.arrays, self._expected, self.max_norm, optional)
        self._check_agreement(frozenset(reply.arrays["update"]))
        return norms

    def counted(self, site: str, reply: Reply) -> None:
        """The answer counts: the site has had its say, and the others must treat names alike."""
        self._answered.add(site)
        self._agreed = frozenset(reply.arrays["update"])

    def _check_sender(self, site: str, reply: Reply) -> None:
        if reply.site != site:
            raise Rejected(Code.SITE, f"an answer of {site} calls itself {_short(reply.site)}")
        if self.asked is not None and site not in self.asked:
            raise Rejected(Code.UNASKED, f"{site} was not asked in round {self.round}")
        if site in self._answered:
            raise Rejected(Code.REPLAY, f"{site} has answered in round {self.round} already")

    def _check_subject(self, reply: Reply) -> None:
        if reply.round != self.round:
            raise Rejected(
                Code.ROUND, f"the answer is for round {reply.round}, this is {self.round}"
            )
        if reply.weights_sha256 != self.weights_sha256:
            raise Rejected(Code.WEIGHTS, "the answer starts from other weights than were sent")
        if self.study and reply.facts.get("study", self.study) != self.study:
            raise Rejected(Code.STUDY, "the answer belongs to another study")

    def _check_figures(self, site: str, reply: Reply) -> None:
        most = self.patients.get(site, reply.examples)
        if not 1 <= reply.examples <= most:
            raise Rejected(
                Code.EXAMPLES, f"{site} counts {reply.examples} patients; it has said {most}"
            )
        for name, value in reply.figures.items():
            if not math.isfinite(value):
                raise Rejected(Code.FIGURES, f"the figure {_short(name)} is {value}")

    def _check_agreement(self, names: frozenset[str]) -> None:
        """Tensors may be left out, but by all sites of a round alike."""
        if self._agreed is not None and (differing := sorted(names ^ self._agreed)):
            raise Rejected(
                Code.NAMES, f"other sites of this round treat {_short(differing[0])} otherwise"
            )


def specs_of(arrays: Arrays) -> dict[str, Spec]:
    """What tensors that belong to `arrays` must look like."""
    return {name: (array.shape, array.dtype) for name, array in arrays.items()}


def admit(
    arrays: Mapping[str, Arrays],
    expected: Expected,
    max_norm: float,
    optional: Collection[str] = (),
) -> dict[str, float]:
    """The norm of each group of an update; raises Rejected where something is not as it must be.

    Names in `optional` may be absent. Nothing is read of the data before names, shapes and types
    are known to be right; then one pass finds what is not finite, and the norms.
    """
    if arrays.keys() != expected.keys():
        raise Rejected(Code.GROUPS, f"holds {_list(arrays)}, the strategy needs {_list(expected)}")
    for group, specs in expected.items():
        _check_specs(group, arrays[group], specs, optional)
    norms = {group: _finite_norm(group, arrays[group]) for group in expected}
    for group, norm in norms.items():
        if norm > max_norm:
            raise Rejected(
                Code.NORM,
                f"{group}: has norm {norm:.4g}, participation.max_update_norm is {max_norm:.4g}",
            )
    return norms


def _check_specs(
    group: str, arrays: Arrays, specs: Mapping[str, Spec], optional: Collection[str]
) -> None:
    unknown = sorted(arrays.keys() - specs.keys())
    missing = sorted(specs.keys() - arrays.keys() - set(optional))
    if unknown or missing or not arrays:
        raise Rejected(
            Code.NAMES, f"{group}: missing: {_list(missing)}; not of this model: {_list(unknown)}"
        )
    for name, array in arrays.items():
        shape, dtype = specs[name]
        if array.shape != shape:
            raise Rejected(Code.SHAPE, f"{group}: {name} has shape {array.shape}, not {shape}")
        if array.dtype != dtype:
            raise Rejected(Code.DTYPE, f"{group}: {name} is {array.dtype}, not {dtype}")


def _finite_norm(group: str, arrays: Arrays) -> float:
    total = 0.0
    values = np.empty(SQUARED, np.float64)
    for name in sorted(arrays):
        squares = _squares(arrays[name], values)
        if not math.isfinite(squares) and not is_finite(arrays[name]):
            raise Rejected(Code.NOT_FINITE, f"{group}: {name} holds NaN or infinity")
        total += squares
    return math.sqrt(total)


def _squares(array: Array, values: npt.NDArray[np.float64]) -> float:
    """The sum of squares in float64; not finite where an element is not."""
    total = 0.0
    with np.errstate(over="ignore", invalid="ignore"):
        for part in blocks(array, values.size):
            value = values[: part.size]
            np.copyto(value, part)
            total += float(value @ value)
    return total


def _list(names: Collection[str]) -> str:
    shown = ", ".join(_short(name) for name in sorted(names)[:3])
    more = f" and {len(names) - 3} more" if len(names) > 3 else ""
    return f"{shown}{more}" or "nothing"


def _short(name: str) -> str:
    """A name that came from outside: quoted, and not longer than a line can bear."""
    return repr(name[:60])
