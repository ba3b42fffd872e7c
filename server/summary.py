"""summary.json: what a federation came to, for scripts and for the report."""

from __future__ import annotations

import platform
from collections import Counter
from collections.abc import Mapping, Sequence
from importlib.metadata import version
from typing import Any

from fedvox.common import __version__
from fedvox.common.study import Study, contract_hash, study_hash
from fedvox.common.tasks.task import task_for
from fedvox.server.conduct import Conducted
from fedvox.server.spending import privacy_of, spent_by_site

_SPLITS = ("train", "validation", "test")


def federation_summary(
    study: Study,
    status: str,
    lines: Sequence[Mapping[str, Any]],
    conducted: Conducted | None,
    sites: Sequence[Mapping[str, Any]],
    notes: list[str],
    doubt: str = "",
) -> dict[str, Any]:
    """What the lines of the rounds and the evaluated model say; nulls for what is not there.

    `sites` are what is known of each: name, patients by split; `doubt` is why what was spent of
    privacy guarantees nothing.
    """
    test = conducted.test if conducted else None
    by_site = dict(test.sites) if test else {}
    steps = sum(len(line["answered"]) for line in lines) * study.training.local_steps
    return {
        "study": study.study.name,
        "status": status,
        "task": study.task.kind,
        "classes": list(study.task.classes),
        "strategy": study.strategy.name,
        "seed": study.study.seed,
        "rounds": study.training.rounds,
        "rounds_completed": len(lines),
        "bytes_up": sum(line["bytes_up"] for line in lines),
        "bytes_down": sum(line["bytes_down"] for line in lines),
        "parameters": _parameters(conducted),
        "model_sha256": conducted.model_sha256 if conducted else None,
        "study_sha256": study_hash(study),
        "contract_sha256": contract_hash(study),
        "headline": task_for(study).headline,
        "metrics": mean_over(by_site),
        "union": dict(test.union) if test else {},
        "sites": _sites(sites, conducted, by_site, lines),
        "privacy": privacy_of(study, lines, doubt),
        "steps": {"federated": steps, "samples": steps * study.training.batch_size},
        "versions": versions(),
        "notes": notes,
    }


def sites_of(lines: Sequence[Mapping[str, Any]], conducted: Conducted) -> list[dict[str, Any]]:
    """The sites of a consortium by name, with what each has told of its patients.

    One that was revoked, or was away in the end, is among them if its updates are in the model.
    """
    counted = {site: figures for line in lines for site, figures in line["sites"].items()}
    found: dict[str, dict[str, Any]] = {
        site: {"name": site, "patients_train": int(figures["examples"])}
        for site, figures in counted.items()
    }
    for site, reply in conducted.facts.items():
        told = {f"patients_{s}": reply.facts.get(f"patients_{s}", 0) for s in _SPLITS}
        found[site] = {"name": site, **told}
    return [found[site] for site in sorted(found)]


def mean_over(sites: Mapping[str, Mapping[str, float]]) -> dict[str, float]:
    """The mean of each metric over the sites that have it."""
    names = dict.fromkeys(name for metrics in sites.values() for name in metrics)
    found = {name: [m[name] for m in sites.values() if name in m] for name in names}
    return {name: sum(values) / len(values) for name, values in found.items()}


def versions() -> dict[str, str]:
    """Of fedvox and of what its numbers come from."""
    packages = ("torch", "monai", "flwr", "numpy")
    found = {package: version(package) for package in packages}
    return {"fedvox": __version__, "python": platform.python_version(), **found}


def _parameters(conducted: Conducted | None) -> int:
    return sum(w.size for w in conducted.state.weights.values()) if conducted else 0


def _sites(
    sites: Sequence[Mapping[str, Any]],
    conducted: Conducted | None,
    metrics: Mapping[str, Mapping[str, float]],
    lines: Sequence[Mapping[str, Any]],
) -> list[dict[str, Any]]:
    refused = Counter(site for line in lines for site in line["refused"])
    absent = conducted.absent if conducted else {}
    spent = spent_by_site(lines)
    return [
        {
            **site,
            "metrics": dict(metrics.get(site["name"], {})),
            "rounds_refused": refused[site["name"]],
            "absent": absent.get(site["name"]),
            **spent.get(site["name"], {}),
        }
        for site in sites
    ]
