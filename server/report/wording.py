"""How numbers, units and metrics are written for people."""

from __future__ import annotations

import math
from collections.abc import Iterable

_METRICS = {
    "dice": "Dice",
    "iou": "IoU",
    "hd95": "HD95 (mm)",
    "accuracy": "Accuracy",
    "balanced_accuracy": "Balanced accuracy",
    "auroc": "AUROC",
    "sensitivity": "Sensitivity",
    "specificity": "Specificity",
    "loss": "Loss",
}
_LOWER_IS_BETTER = ("hd95", "loss")
_SEPARATORS = "/:._ -"
ABSENT = "–"


def metric_name(key: str) -> str:
    """A metric's name in a sentence or heading."""
    return _METRICS.get(key, key.replace("_", " "))


def metric_word(key: str) -> str:
    """A metric's name within a sentence: lower case, but for names and abbreviations."""
    name = metric_name(key)
    return name if name == "Dice" or name[1:] != name[1:].lower() else name.lower()


def lower_is_better(key: str) -> bool:
    """Whether a smaller value of this metric is a better one."""
    return key.startswith(_LOWER_IS_BETTER)


def split_metric(key: str, classes: Iterable[str]) -> tuple[str, str]:
    """dice/lesion as ("dice", "lesion"); dice, which is over all classes, as ("dice", "")."""
    if key in _METRICS:
        return key, ""
    for name in sorted(classes, key=len, reverse=True):
        head = key.removesuffix(name)
        if head != key and head and head[-1] in _SEPARATORS:
            return head.rstrip(_SEPARATORS), name
    return key, ""


def score(value: float, digits: int = 3) -> str:
    """A metric's value."""
    if not math.isfinite(value):
        return ABSENT
    return f"{value:.{1 if abs(value) >= 10 else digits}f}"


def share(value: float) -> str:
    """A part of a whole in percent."""
    return ABSENT if not math.isfinite(value) else f"{100 * value:.1f}\u202f%"


def span(values: Iterable[float], digits: int = 4) -> str:
    """From the smallest to the largest; one figure where they look the same."""
    known = [f"{value:.{digits}g}" for value in sorted(values) if math.isfinite(value)]
    if not known:
        return ABSENT
    return known[0] if known[0] == known[-1] else f"{known[0]}–{known[-1]}"


def epsilon_spent(value: float) -> str:
    """Rounded up: what is shown is never less than what is spent."""
    if math.isnan(value):
        return ABSENT
    return "∞" if math.isinf(value) else f"{math.ceil(value * 100 - 1e-9) / 100:.2f}"


def signed(value: float) -> str:
    """A difference of two metrics, with its sign (a true minus)."""
    return ABSENT if not math.isfinite(value) else f"{value:+.3f}".replace("-", "−")


def whole(value: float) -> str:
    """A count with thousands separated by a thin space."""
    return ABSENT if not math.isfinite(value) else f"{value:,.0f}".replace(",", "\u202f")


def many(count: int, one: str, more: str = "") -> str:
    """1 round, 2 rounds."""
    return f"{whole(count)} {one if count == 1 else more or one + 's'}"


def amount(count: float) -> str:
    """A large count in thousands or millions."""
    if not math.isfinite(count):
        return ABSENT
    for size, suffix in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if count >= size:
            return f"{_three_digits(count / size)}\u202f{suffix}"
    return f"{count:.0f}"


def byte_count(count: float) -> str:
    """Bytes in decimal units."""
    if not math.isfinite(count):
        return ABSENT
    for size, suffix in ((1e12, "TB"), (1e9, "GB"), (1e6, "MB"), (1e3, "kB")):
        if count >= size:
            return f"{_three_digits(count / size)} {suffix}"
    return f"{count:.0f} B"


def _three_digits(value: float) -> str:
    return f"{value:.{0 if value >= 99.95 else 1 if value >= 9.995 else 2}f}"


def duration(seconds: float) -> str:
    """A time span in the two units that matter."""
    if not math.isfinite(seconds):
        return ABSENT
    if seconds < 9.95:
        return f"{seconds:.1f} s"
    whole_s = round(seconds)
    if whole_s < 60:
        return f"{whole_s} s"
    if whole_s < 3600:
        return f"{whole_s // 60} min {whole_s % 60:02d} s"
    return f"{whole_s // 3600} h {whole_s % 3600 // 60:02d} min"


def shortened(name: str, limit: int = 22) -> str:
    """A long name with its middle left out: beginnings and ends tell sites apart."""
    if len(name) <= limit:
        return name
    tail = (limit - 1) // 2
    return f"{name[: limit - 1 - tail]}…{name[-tail:]}"


def listed(items: Iterable[str]) -> str:
    """a, b and c."""
    names = list(items)
    return " and ".join([", ".join(names[:-1]), names[-1]]) if len(names) > 1 else "".join(names)
