"""One step of training, and from it hours per round."""

from __future__ import annotations

from fedvox.client.check.finding import Check, Finding, green, red, yellow
from fedvox.client.check.machine import GIB
from fedvox.client.check.trying import Failed
from fedvox.client.check.visit import Visit

_MUCH_MEMORY = 0.8
_LONG_ROUND_H = 12.0


def _step(visit: Visit) -> Finding | None:
    trial = visit.trial
    if trial is None:
        return None
    if isinstance(trial, Failed):
        remedy = "see the message; without one step there is no round"
        if trial.for_want_of_memory:
            remedy = "ask for a smaller data.patch or training.batch_size, or use a larger machine"
        return red(f"no step could be taken: {trial.text}", remedy, "no step could be taken")
    told = f"{trial.step_s:.2g} s a step on {trial.device}"
    return green(told, told)


def _memory(visit: Visit) -> Finding | None:
    trial = visit.trial
    if trial is None or isinstance(trial, Failed):
        return None
    of = "the graphics card" if trial.on_gpu else "the machine"
    told = f"{trial.peak_bytes / GIB:.2g} GiB of {of}'s {trial.limit_bytes / GIB:.3g} GiB at most"
    if trial.limit_bytes and trial.peak_bytes > _MUCH_MEMORY * trial.limit_bytes:
        remedy = "ask for a smaller data.patch or training.batch_size"
        return yellow(told, remedy, told)
    return green(told, told)


def _round(visit: Visit) -> Finding | None:
    study, trial = visit.study, visit.trial
    if study is None or trial is None or isinstance(trial, Failed):
        return None
    training = study.training
    round_h = trial.step_s * training.local_steps / 3600
    whole = _hours(round_h * training.rounds)
    told = (
        f"{_hours(round_h)} a round of {training.local_steps} steps, {whole} for all "
        f"{training.rounds}, without evaluation"
    )
    if round_h > _LONG_ROUND_H:
        remedy = "a GPU, fewer training.local_steps, or a participation.deadline_s that allows it"
        return yellow(told, remedy, told)
    return green(told, told)


def _hours(hours: float) -> str:
    return f"{hours:.2g} h" if hours >= 0.1 else f"{hours * 60:.2g} min"


CHECKS = (
    Check("trial.step", _step),
    Check("trial.memory", _memory),
    Check("trial.round", _round),
)
