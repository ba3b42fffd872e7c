"""What the site's own policy, and the people at the site, say of the study."""

from __future__ import annotations

from datetime import datetime

from fedvox.client.check.finding import Check, Finding, green, red, yellow
from fedvox.client.check.visit import Visit
from fedvox.common.errors import Refusal

_SIGN = "look at it with `fedvox site policy show`, then `fedvox site policy sign`"


def _policy(visit: Visit) -> Finding:
    from fedvox.client.policy.load import PolicyError
    from fedvox.client.policy.signature import policy_file

    try:
        _ = visit.policy
    except PolicyError as error:
        return red(str(error), _SIGN, "does not hold: nothing runs")
    if policy_file(visit.home).exists():
        return green("policy.toml holds, signed by this site", "own, signed")
    return green("the defaults hold: every study waits for a person", "the defaults")


def _verdict(visit: Visit) -> Finding | None:
    study = visit.study
    if study is None or _policy(visit).level == "red":
        return None
    from fedvox.client.policy.check import check
    from fedvox.client.policy.parameters import count_parameters

    # Where nobody is there to train on, that is told by data.patients.
    patients = (visit.supply.patients("train") or None) if visit.supply else None
    parameters = count_parameters(study) if study.task.classes else None
    verdicts = check(study, visit.policy, patients, datetime.now().astimezone(), parameters)
    broken = [verdict for verdict in verdicts if not verdict.passed]
    text = "; ".join(f"{verdict.rule}: {verdict.reason}" for verdict in broken)
    rules = ", ".join(verdict.rule for verdict in broken)
    if not broken:
        return green(f"allows the study, by all {len(verdicts)} rules", "allows the study")
    if all(verdict.refusal is Refusal.HOURS for verdict in broken):
        return yellow(text, "nothing: work begins when the hours do", "allows it at other hours")
    remedy = "change the study, or policy.toml and sign it; `fedvox site policy test` says more"
    return red(text, remedy, f"forbids it by {rules}")


def _approval(visit: Visit) -> Finding | None:
    study = visit.study
    if study is None or _policy(visit).level == "red":
        return None
    from fedvox.client.policy.approvals import Approvals, State
    from fedvox.client.policy.check import admits
    from fedvox.common.study import study_hash

    record = Approvals(visit.home, lambda kind, fields: None).find_exactly(study_hash(study))
    if record is not None and record.state is State.APPROVED:
        return green(f"approved by {record.by}", "approved")
    if record is not None and record.state is not State.WAITING:
        remedy = f"`fedvox site resume {record.name}` or `approve`, if it shall run"
        return red(f"{record.state} by {record.by}", remedy, str(record.state))
    if admits(study, visit.policy):
        return green("runs without asking: studies.admit names it", "runs without asking")
    remedy = f"once it has asked: `fedvox site approve {study.study.name}`"
    return yellow("waits for a person at this site", remedy, "waits for a person")


def _budget(visit: Visit) -> Finding | None:
    """What the ledgers say is left; reading them spends nothing."""
    study = visit.study
    if study is None or study.privacy.mode == "none" or _policy(visit).level == "red":
        return None
    from fedvox.client.ledger.places import places
    from fedvox.client.ledger.summary import summarise
    from fedvox.client.ledger.verify import look

    name = visit.spec.partition(":")[2] if visit.spec.startswith("dataset:") else visit.spec
    looks = [look(place) for place in places(visit.home) if place.dataset == name.split(":")[0]]
    if any(found.findings for found in looks):
        remedy = "`fedvox site ledger --verify` says where; restore it from a backup"
        return red("a ledger is not as it was written", remedy, "damaged")
    spent = max((summarise(found, 0).life.epsilon for found in looks), default=0.0)
    cap, wanted = visit.policy.privacy.most_epsilon_life, study.privacy.epsilon
    told = f"epsilon {spent:.3g} of {cap:g} spent in the data's life; the study asks for {wanted:g}"
    if wanted and spent + wanted > cap:
        remedy = "the study would be refused at the cap: less epsilon, or raise most_epsilon_life"
        return yellow(told, remedy, "may not be enough for the whole study")
    return green(told, "enough")


CHECKS = (
    Check("policy.signed", _policy),
    Check("policy.verdict", _verdict),
    Check("policy.approval", _approval),
    Check("policy.budget", _budget),
)
