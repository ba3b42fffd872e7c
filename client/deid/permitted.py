"""What of a patient the site's signed policy lets into the store."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path

from fedvox.client.deid.attributes import Kept
from fedvox.common.errors import InputError
from fedvox.common.study.load import toml_value


def permitted(home: Path, wanted: Collection[str]) -> Kept:
    """What was asked to be kept; InputError where the policy does not allow all of it."""
    if not wanted:
        return Kept()
    from fedvox.client.policy.signature import policy_of

    allowed = policy_of(home).store.keep
    barred = sorted(set(wanted) - set(allowed))
    if barred:
        needed = toml_value(sorted({*allowed, *wanted}))
        raise InputError(
            f"--keep {barred[0]}: the policy does not let it into the store: import without, or "
            f"set keep = {needed} under [store] in policy.toml (`fedvox site policy init` writes "
            "one), then `fedvox site policy sign`"
        )
    return Kept("age" in wanted, "sex" in wanted)
