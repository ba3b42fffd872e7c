"""The way out of a summary: the policy first, then the charge, then the counting."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from fedvox.client.cohort.measure import measure_case
from fedvox.client.cohort.noise import charge_for
from fedvox.client.cohort.summarise import Heading, reach_of, with_noise, without_noise
from fedvox.client.cohort.tally import Tally, tally
from fedvox.client.dataset.dataset import Dataset
from fedvox.client.deid.sitekey import SiteKey
from fedvox.client.policy.recording import site_recorder
from fedvox.client.policy.rules import Policy
from fedvox.client.policy.signature import policy_of
from fedvox.client.settings import SiteSettings
from fedvox.common.cohort.summary import NoiseTerms
from fedvox.common.errors import FedvoxError, InputError, SiteError
from fedvox.common.privacy.bucket import bucketed

_PURPOSE = "cohort"
"""Under this name the ledger counts together what summaries have spent."""


@dataclass(frozen=True)
class Wish:
    """What the person at the site asks for."""

    dataset: str
    epsilon: float = 0.0
    """What may be spent of the patients' privacy; 0: no noise, nothing is charged."""
    classes: tuple[str, ...] = ()
    """Of whole images, under noise: which there are must not come from the data."""


@dataclass(frozen=True)
class Released:
    """A summary that may leave."""

    content: bytes
    release: str
    epsilon: float


def release(home: Path, wish: Wish) -> Released:
    """The summary of a dataset's newest version; FedvoxError where none may leave."""
    policy = policy_of(home)
    rules = policy.cohort
    if rules.release == "never":
        raise InputError(
            'the policy lets no summary leave (cohort.release = "never"): if it shall, set '
            'release = "counts" or "histograms" under [cohort] in policy.toml, then `fedvox site '
            "policy sign`"
        )
    if policy.privacy.required == "patient" and not wish.epsilon:
        raise InputError(
            "the policy lets only leave what hides every patient (privacy.required): give "
            "--epsilon, so that the counts are noised and charged"
        )
    dataset = Dataset.open(home, wish.dataset)
    # By the site's own key: nobody can hold images against it, to find out whether they are in it.
    name = SiteKey.of(home).token("cohort", dataset.version.fingerprint)[:24]
    heading = Heading(SiteSettings.load(home).site, name, rules.release, rules.least_cell)
    if len(dataset.patients()) < rules.least_cell:
        raise InputError(
            f"dataset {wish.dataset!r}: fewer than {rules.least_cell} patients "
            "(cohort.least_cell): no count of them may leave"
        )
    content = (
        _noised(home, policy, dataset, heading, wish)
        if wish.epsilon
        else without_noise(count(dataset), heading).text().encode()
    )
    digest = hashlib.sha256(content).hexdigest()
    fields = {"release": rules.release, "epsilon": wish.epsilon, "sha256": digest}
    site_recorder(home)("cohort-released", fields)
    return Released(content, rules.release, wish.epsilon)


def count(dataset: Dataset) -> Tally:
    """The exact counts of a dataset."""
    people = {}
    for patient, cases in dataset.patients().items():
        measured = [found for case in cases if (found := measure_case(dataset, case))]
        if measured:
            people[patient] = measured
    return tally(people)


def _noised(home: Path, policy: Policy, dataset: Dataset, heading: Heading, wish: Wish) -> bytes:
    """Charged before a case is opened; asked for again, the same bytes and no second charge."""
    from fedvox.client.ledger.once import payload_once
    from fedvox.client.ledger.versions import open_ledger
    from fedvox.client.ledger.work import Caps, Reservation, Work, WorkId
    from fedvox.client.outbox import Outbox
    from fedvox.common.privacy.terms import delta_below

    rules = policy.privacy
    delta = rules.largest_delta or delta_below(max(1, bucketed(len(dataset.patients()))))
    charge = charge_for(wish.epsilon, delta)
    far = reach_of(heading, wish.classes)
    terms = NoiseTerms(epsilon=wish.epsilon, delta=delta, deviation=charge.noise_multiplier * far)
    asked = _sha256([vars(heading), vars(wish), delta, dataset.version.name])
    work = Work(WorkId(asked, 0, _sha256([]), _PURPOSE), _PURPOSE, charge, far, delta)
    caps = Caps(rules.most_epsilon, rules.most_epsilon_life, delta, rules.least_noise)

    def perform(charged: Reservation) -> bytes:
        return with_noise(count(dataset), heading, terms, wish.classes).text().encode()

    try:
        with open_ledger(home, dataset.name, dataset.version.name, caps) as ledger:
            return payload_once(ledger, Outbox(home / "outbox"), work, perform)
    except SiteError as error:
        raise FedvoxError(f"{error}: {error.detail}") from None


def _sha256(parts: Sequence[object]) -> str:
    return hashlib.sha256(json.dumps(["fedvox cohort 1", *parts]).encode()).hexdigest()
