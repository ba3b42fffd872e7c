"""The ledger, outbox and noise of a simulated site: as a hospital's, but for where the noise comes
from and what may be shown of the results."""

from __future__ import annotations

import hashlib
import math
from functools import partial
from pathlib import Path

from fedvox.client.guard import Guard
from fedvox.client.ledger.versions import open_ledger
from fedvox.client.ledger.work import Caps
from fedvox.client.outbox import Outbox
from fedvox.client.site import Roster
from fedvox.client.training.private.noise import seeded_noise
from fedvox.common.privacy.bucket import bucketed
from fedvox.common.privacy.terms import terms_for
from fedvox.common.study import Study

DATASET = "simulated"


def simulated_guard(home: Path, site: str, roster: Roster, study: Study) -> Guard:
    """Keeps a virtual site's ledger under its home, in the same format as a hospital's."""
    people = roster.people.get("train", ())
    keys = sorted(key for cases in people for key in cases)
    version = hashlib.sha256("\n".join(keys).encode()).hexdigest()[:16]
    cap = study.simulation.epsilon_cap or math.inf
    delta = terms_for(study, max(1, bucketed(len(people)))).delta
    caps = Caps(cap, cap, delta)
    return Guard(
        partial(open_ledger, home, DATASET, version, caps),
        Outbox(home / "outbox"),
        seeded_noise(study.study.seed, site),
        shows_figures=True,
    )
