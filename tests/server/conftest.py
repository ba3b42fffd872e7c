"""A run folder as `fedvox simulate` leaves it, made up in a moment."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fedvox.common.study import dump_study, parse_study

MakeRun = Callable[..., Path]
HOSPITALS = (
    "St. Elisabeth University Hospital, Department of Radiology",
    "Charité – Campus Virchow",
    "north",
    "Hôpital Européen Georges-Pompidou (Paris)",
    "Karolinska",
    "general-hospital-of-the-southern-district-2",
)
BUDGET_LASTS = 8
"""Rounds after which the second site of a private run refuses."""
_WORDS = {
    "segmentation": ("background", "organ", "lesion"),
    "classification": ("normal", "pneumonia", "tuberculosis"),
}


def site_names(count: int) -> list[str]:
    """Long, accented and short names."""
    if count == 2:
        return ["site-a", "site-b"]
    return [HOSPITALS[i] if i < len(HOSPITALS) else f"hospital-{i:03d}" for i in range(count)]


class FakeRun:
    """Writes one run folder, file by file."""

    def __init__(self, folder: Path, task: str, names: list[str], rounds: int, seed: int) -> None:
        self.folder, self.task, self.names, self.rounds = folder, task, names, rounds
        self.rng = np.random.default_rng(seed)
        self.seed = seed
        self.private = False
        self.classes = _WORDS[task]
        self.headline = "dice" if task == "segmentation" else "balanced_accuracy"
        self.quality = self.rng.normal(0, 0.03, len(names))

    def write(self, strategy: str, baselines: bool, settings: tuple[str, ...]) -> None:
        self.folder.mkdir(parents=True)
        study = parse_study(
            f'[task]\nkind = "{self.task}"\nclasses = {json.dumps(list(self.classes))}\n',
            settings=(
                f"training.rounds={self.rounds}",
                f"strategy.name={strategy}",
                f"simulation.sites={len(self.names)}",
                f"study.seed={self.seed}",
                "data.partition=dirichlet:0.5",
                *settings,
            ),
        )
        (self.folder / "study.toml").write_text(dump_study(study), encoding="utf-8")
        self.private = study.privacy.mode == "patient"
        records = [self.round(number) for number in range(1, self.rounds + 1)]
        lines = "".join(json.dumps(record) + "\n" for record in records)
        (self.folder / "rounds.jsonl").write_text(lines, encoding="utf-8")
        summary = self.summary(strategy, baselines, records)
        self.json("summary.json", summary)
        self.partition(summary["sites"])
        self.json("evaluation.json", {"test": {"federated": {"union": self.tally(), "sites": {}}}})
        self.samples()

    def json(self, name: str, value: Any) -> None:
        (self.folder / name).write_text(json.dumps(value), encoding="utf-8")

    def metrics(self, level: float) -> dict[str, float]:
        value = float(np.clip(level + self.rng.normal(0, 0.01), 0.01, 0.99))
        if self.task == "classification":
            return {
                "accuracy": value + 0.01,
                "balanced_accuracy": value,
                "auroc": min(value + 0.1, 0.999),
            }
        return {
            "dice": value,
            "iou": value / (2 - value),
            "hd95": 14 * (1 - value),
            "dice_organ": min(value + 0.08, 0.99),
            "dice_lesion": value - 0.08,
            "iou_organ": value,
            "iou_lesion": value - 0.15,
        }

    def round(self, number: int) -> dict[str, Any]:
        refused = {self.names[-1]: "resources"} if number in (3, 4) else {}
        if self.private and number > BUDGET_LASTS:
            refused[self.names[1]] = "budget"
        late = [self.names[0]] if number == 5 and len(self.names) > 2 else []
        answered = [n for n in self.names if n not in refused and n not in late]
        fall = float(np.exp(-3 * number / self.rounds))
        losses = {n: 0.25 + fall * (1 + self.quality[i]) for i, n in enumerate(self.names)}
        level = 0.82 - 0.6 * fall
        return {
            "round": number,
            "seconds": 7.5 + float(self.rng.normal(0, 0.4)),
            "asked": self.names,
            "answered": answered,
            "refused": refused,
            "late": late,
            "bytes_up": 2_800_000 * len(answered),
            "bytes_down": 2_800_000 * len(self.names),
            "loss": 0.25 + fall,
            "update_norm": 3 * fall,
            "lr": 2e-3 * fall,
            "sites": {
                n: {"loss": losses[n], "seconds": 1.7, "examples": 20.0, **self.spent(n, number)}
                for n in answered
            },
            "weights_in": "0" * 64,
            "weights_out": "1" * 64,
            "evaluation": self.evaluation(level) if number % 4 == 0 else None,
        }

    def spent(self, name: str, number: int) -> dict[str, float]:
        """A site's figures of one round; the first site spends most."""
        if not self.private:
            return {}
        place = self.names.index(name)
        return {
            "epsilon": max(3 - 0.25 * place, 0.5) * number**0.4,
            "delta": 0.01 if place else 0.001,
            "noise_multiplier": 0.8 + 0.1 * place,
            "sample_rate": 0.1 + 0.02 * place,
            "steps": 12.0,
            "clip_norm": 1.0,
        }

    def spending(self, records: list[dict[str, Any]]) -> dict[str, dict[str, float]]:
        """What each site has spent at the end."""
        found: dict[str, dict[str, float]] = {}
        for record in records:
            for name, figures in record["sites"].items():
                if "epsilon" in figures:
                    steps = found.get(name, {"steps": 0.0})["steps"] + figures["steps"]
                    told = {key: figures[key] for key in self.spent(name, 1)}
                    found[name] = {**told, "steps": steps}
        return found

    def privacy(self, records: list[dict[str, Any]]) -> dict[str, Any]:
        if not self.private:
            return {"mode": "none"}
        sites = self.spending(records).values()
        return {
            "mode": "patient",
            "unit": "patient",
            "placement": "local",
            "epsilon": max(site["epsilon"] for site in sites),
            "delta": max(site["delta"] for site in sites),
            "guarantee": False,
            "why": "seeded",
        }

    def evaluation(self, level: float) -> dict[str, Any]:
        sites = {
            n: {"metrics": self.metrics(level + q)}
            for n, q in zip(self.names, self.quality, strict=True)
        }
        return {"split": "validation", "union": self.metrics(level), "sites": sites}

    def sites(self) -> list[dict[str, Any]]:
        rows = []
        for index, name in enumerate(self.names):
            total = int(self.rng.integers(12, 60))
            test, validation = total // 4, max(total // 10, 1)
            small = int(self.rng.integers(0, total))
            rows.append(
                {
                    "name": name,
                    "patients_train": total - test - validation,
                    "patients_validation": validation,
                    "patients_test": test,
                    "strata": {
                        "no lesion": small,
                        "small": (total - small) // 2,
                        "large": total - small - (total - small) // 2,
                    },
                    "metrics": self.metrics(0.81 + self.quality[index]),
                    "rounds_refused": 2 if index == len(self.names) - 1 else 0,
                }
            )
        return rows

    def local(self, steps: int) -> dict[str, Any]:
        found = {}
        for name in self.names:
            level = 0.6 + 0.12 * float(self.rng.random())
            found[name] = {
                "metrics": self.metrics(level),
                "own": self.metrics(level + 0.1),
                "steps": steps,
                "samples": steps * 4,
                "sites": {
                    n: self.metrics(level + (0.1 if n == name else -0.02)) for n in self.names
                },
            }
        return found

    def summary(
        self, strategy: str, baselines: bool, records: list[dict[str, Any]]
    ) -> dict[str, Any]:
        sites = self.sites()
        spending = self.spending(records)
        for site in sites:
            site |= spending.get(site["name"], {})
        steps = self.rounds * 12
        total = steps * len(self.names)
        pooled = {
            "metrics": self.metrics(0.83),
            "steps": total,
            "samples": total * 4,
            "sites": {n: self.metrics(0.83) for n in self.names},
        }
        return {
            "study": "phantom",
            "task": self.task,
            "classes": list(self.classes),
            "engine": "inprocess",
            "seed": self.seed,
            "strategy": strategy,
            "rounds": self.rounds,
            "rounds_completed": self.rounds,
            "status": "done",
            "wall_s": 171.4,
            "prepare_s": 9.2,
            "train_s": 150.3,
            "bytes_up": sum(r["bytes_up"] for r in records),
            "bytes_down": sum(r["bytes_down"] for r in records),
            "parameters": 1_412_331,
            **{
                f"{k}_sha256": hashlib.sha256(k.encode()).hexdigest()
                for k in ("model", "study", "contract")
            },
            "data": {"source": "phantom", "partition": "dirichlet:0.5"},
            "headline": self.headline,
            "metrics": self.metrics(0.81),
            "union": self.metrics(0.815),
            "sites": sites,
            "privacy": self.privacy(records),
            "baselines": {"pooled": pooled, "local": self.local(steps)} if baselines else None,
            "steps": {"federated": total, "samples": total * 4},
            "aside": {"unreadable": 2, "duplicate": 1},
            "aside_cases": [
                {"case": "case_0017", "reason": "unreadable", "detail": "not a NIfTI file"},
                {"case": "case_0031", "reason": "unreadable", "detail": "file ends early"},
                {"case": "case_0044", "reason": "duplicate", "detail": "same image as case_0002"},
            ],
            "versions": {
                "fedvox": "0.1.0",
                "python": "3.11.7",
                "torch": "2.13.0",
                "monai": "1.6.1",
                "flwr": "1.41.0",
                "numpy": "2.4.6",
            },
            "machine": {
                "processor": "Example CPU @ 2.4 GHz",
                "cores": 2,
                "device": "cpu",
                "precision": "fp32",
            },
            "notes": [],
        }

    def partition(self, sites: list[dict[str, Any]]) -> None:
        lines = ["case,patient,site,split"]
        for index, site in enumerate(sites):
            for split in ("train", "validation", "test"):
                for n in range(site[f"patients_{split}"]):
                    quoted = site["name"].replace('"', '""')
                    lines.append(f'c{index}{split}{n},p{index}{split}{n},"{quoted}",{split}')
        (self.folder / "partition.csv").write_text("\n".join(lines) + "\n", encoding="utf-8")

    def tally(self) -> dict[str, Any]:
        if self.task == "segmentation":
            return {}
        t = np.linspace(0, 1, 30)
        roc = {
            c: np.stack([t, t ** (0.12 + 0.08 * i)], 1).tolist() for i, c in enumerate(self.classes)
        }
        return {"confusion": [[18, 2, 1], [3, 14, 2], [0, 4, 9]], "roc": roc}

    def samples(self) -> None:
        y, x = np.mgrid[:64, :64]
        arrays: dict[str, Any] = {}
        names = []
        for index in range(8):
            site = self.names[index % len(self.names)]
            cx, cy, r = self.rng.uniform((24, 24, 6), (40, 40, 11))
            body = ((x - 32) / 28) ** 2 + ((y - 32) / 24) ** 2 < 1
            lesion = (x - cx) ** 2 + (y - cy) ** 2 < r**2
            guess = (x - cx - 1.5) ** 2 + (y - cy + 1) ** 2 < (r + 0.8) ** 2
            noise = self.rng.normal(0, 0.08, (64, 64))
            arrays[f"image_{index}"] = (body * 0.5 + lesion * 0.3 + noise).astype(np.float32)
            if self.task == "segmentation":
                arrays[f"truth_{index}"] = lesion.astype(np.uint8) * 2
                arrays[f"prediction_{index}"] = guess.astype(np.uint8) * 2
                names.append(f"{site} · Dice 0.{index + 80}")
            else:
                names.append(f"{site} · truth normal, predicted {self.classes[index % 3]}")
        np.savez_compressed(self.folder / "samples.npz", names=np.array(names), **arrays)


@pytest.fixture
def make_run(tmp_path: Path) -> MakeRun:
    """make_run(name, task=..., names=..., ...) writes a run and returns its folder."""

    def make(
        name: str = "run",
        task: str = "segmentation",
        names: list[str] | None = None,
        rounds: int = 12,
        seed: int = 0,
        strategy: str = "fedavg",
        baselines: bool = True,
        settings: tuple[str, ...] = (),
    ) -> Path:
        fake = FakeRun(tmp_path / name, task, names or site_names(4), rounds, seed)
        fake.write(strategy, baselines, settings)
        return fake.folder

    return make
