"""What a run found, in a sentence and in key figures."""

from __future__ import annotations

import math
from dataclasses import dataclass

from fedvox.common.privacy.terms import patients_per_step
from fedvox.server.report.privacy import is_guaranteed, is_private, spent
from fedvox.server.report.records import SPLITS, Run
from fedvox.server.report.standing import best_alone
from fedvox.server.report.wording import (
    amount,
    byte_count,
    duration,
    epsilon_spent,
    lower_is_better,
    many,
    metric_word,
    score,
    signed,
    whole,
)

MODELS = {
    "unet": "U-Net",
    "segresnet": "SegResNet",
    "dynunet": "DynUNet",
    "densenet121": "DenseNet-121",
    "resnet18": "ResNet-18",
    "resnet50": "ResNet-50",
    "seresnet50": "SE-ResNet-50",
}
STRATEGIES = {
    "fedavg": "FedAvg",
    "fedprox": "FedProx",
    "fedavgm": "FedAvgM",
    "fedadam": "FedAdam",
    "fedyogi": "FedYogi",
    "fedadagrad": "FedAdagrad",
    "scaffold": "SCAFFOLD",
    "fedbn": "FedBN",
    "ditto": "Ditto",
}


@dataclass(frozen=True)
class Card:
    """One key figure."""

    label: str
    value: str
    note: str = ""
    tone: str = ""
    """federated, pooled or empty."""


def strategy_name(name: str) -> str:
    """A strategy as papers write it."""
    return STRATEGIES.get(name, name.removeprefix("flower:"))


def patients(run: Run) -> dict[str, int]:
    """Patients of all sites by split."""
    return {split: sum(site.patients.get(split, 0) for site in run.sites) for split in SPLITS}


def result_sentence(run: Run) -> str:
    """What came out, in one sentence."""
    if not math.isfinite(run.score):
        return _unfinished_sentence(run)
    parts = [
        f"Federated reached {metric_word(run.headline)} {score(run.score)} "
        "on the union of all test sets"
    ]
    if run.pooled is not None:
        parts.append(f"pooled {score(_headline(run, run.pooled.metrics))}")
    best = best_alone(run)
    if best is not None:
        parts.append(f"the best site alone {score(_headline(run, best.metrics))}")
    return "; ".join(parts) + "."


def _unfinished_sentence(run: Run) -> str:
    closed = f"{len(run.rounds)} of {many(run.study.training.rounds, 'round')}"
    found = [
        (r.number, r.evaluation.union.get(run.headline, math.nan))
        for r in run.rounds
        if r.evaluation is not None
    ]
    known = [(number, value) for number, value in found if math.isfinite(value)]
    if not known and run.status == "done" and is_private(run):
        return (
            f"The model was trained in {many(len(run.rounds), 'round')}. How good it is was not "
            "told: under this study no metric leaves a site."
        )
    if not known:
        return f"The run has no result yet: {closed} were closed."
    number, value = known[-1]
    return (
        f"The run has no final result: {closed} were closed; "
        f"{metric_word(run.headline)} on validation patients was {score(value)} in round {number}."
    )


def cards(run: Run) -> tuple[Card, ...]:
    """The key figures of a run."""
    found = (*_result_cards(run), _privacy_card(run), *_size_cards(run))
    return tuple(card for card in found if card is not None)


def _result_cards(run: Run) -> tuple[Card | None, ...]:
    if not math.isfinite(run.score):
        return ()
    tested = patients(run)["test"]
    mean = score(_headline(run, run.metrics))
    note = f"{many(tested, 'test patient')} together; mean over sites {mean}"
    return (
        Card(f"Federated {metric_word(run.headline)}", score(run.score), note, "federated"),
        _pooled_card(run),
        _alone_card(run),
    )


def _pooled_card(run: Run) -> Card | None:
    if run.pooled is None:
        return None
    value = _headline(run, run.pooled.metrics)
    note = f"pooled reached {score(value)} at equal steps"
    if not math.isfinite(value) or value <= 0 or lower_is_better(run.headline):
        return Card("Against pooled", signed(run.score - value), note)
    return Card("Of the pooled model", f"{100 * run.score / value:.1f}\u202f%", note)


def _alone_card(run: Run) -> Card | None:
    best = best_alone(run)
    if best is None:
        return None
    value = _headline(run, best.metrics)
    return Card(
        "Over the best site alone", signed(run.score - value), f"{best.name} reached {score(value)}"
    )


def _privacy_card(run: Run) -> Card | None:
    if not is_private(run):
        return None
    most = spent(run)
    if not math.isfinite(most.epsilon):
        return Card("Epsilon", epsilon_spent(most.epsilon), "not told, or without a bound")
    seeded = "" if is_guaranteed(run) else "; simulated, so no guarantee"
    return Card("Epsilon", epsilon_spent(most.epsilon), f"a patient, delta {most.delta:g}{seeded}")


def _size_cards(run: Run) -> tuple[Card | None, ...]:
    held = patients(run)
    training, steps = run.study.training, many(run.study.training.local_steps, "step")
    parameters = run.number("parameters")
    return (
        Card(
            "Sites",
            whole(len(run.sites)),
            f"{whole(held['train'])} patients to train, {whole(held['validation'])} to validate, "
            f"{whole(held['test'])} to test",
        ),
        Card(
            "Rounds",
            f"{whole(len(run.rounds))}",
            f"of {whole(training.rounds)}; in each a site takes {steps} of {_batch(run)}",
        ),
        _traffic_card(run),
        _time_card(run),
        Card("Parameters", amount(parameters), MODELS.get(run.study.model.name, ""))
        if math.isfinite(parameters)
        else None,
    )


def _batch(run: Run) -> str:
    if is_private(run):
        return f"{many(patients_per_step(run.study), 'patient')} on average"
    return f"batch size {run.study.training.batch_size}"


def _traffic_card(run: Run) -> Card | None:
    up = run.number("bytes_up")
    down = run.number("bytes_down")
    if not (math.isfinite(up) and math.isfinite(down)):
        up = float(sum(record.bytes_up for record in run.rounds))
        down = float(sum(record.bytes_down for record in run.rounds))
    if not up + down:
        return None
    note = f"{byte_count(up)} from the sites, {byte_count(down)} to them"
    return Card("Traffic", byte_count(up + down), note)


def _time_card(run: Run) -> Card | None:
    wall_s = run.number("wall_s")
    if not math.isfinite(wall_s):
        seconds = [record.seconds for record in run.rounds if math.isfinite(record.seconds)]
        return Card("Time", duration(sum(seconds)), "in closed rounds") if seconds else None
    parts = [
        f"{duration(run.number(key))} {what}"
        for key, what in (("prepare_s", "preparing"), ("train_s", "training"))
        if math.isfinite(run.number(key))
    ]
    return Card("Time", duration(wall_s), ", ".join(parts))


def _headline(run: Run, metrics: object) -> float:
    return metrics.get(run.headline, math.nan) if isinstance(metrics, dict) else math.nan
