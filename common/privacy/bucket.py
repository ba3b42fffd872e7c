"""How many patients a site has, as exactly as it may be known outside."""

from __future__ import annotations


def bucketed(patients: int) -> int:
    """Rounded down to two digits of which the second is 0 or 5: one patient hardly ever shows."""
    if patients < 5:
        return min(patients, 1)
    step = 5 * int(10 ** max(len(str(patients)) - 2, 0))
    return patients // step * step
