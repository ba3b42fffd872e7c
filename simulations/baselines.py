"""What federating is held against: the pooled model, and each site alone, at equal steps.

The pooled model takes as many gradient steps on as many examples as all sites together took in the
federation, a site alone as many as that site took; the learning rate runs through the study's whole
schedule in each. Finished baselines are kept, so a resumed run does not train them again.
"""

from __future__ import annotations

import queue
import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fedvox.client.site import Roster
from fedvox.client.training.batches import Batch, Batches, seed_of
from fedvox.client.training.learner import Learner, Pull
from fedvox.client.training.schedule import Stretch
from fedvox.common.arrays import Arrays
from fedvox.common.codec import CodecError, decode, encode, notes_of
from fedvox.common.errors import Refusal, SiteError
from fedvox.common.files import write_bytes_atomic, writing
from fedvox.common.study import Study, study_hash
from fedvox.common.tasks.task import Tally
from fedvox.server.evaluation import Evaluation, Metrics, from_tallies
from fedvox.server.events import Event, Watch
from fedvox.simulations.consortium import Consortium
from fedvox.simulations.stopping import interrupt

POOLED = "pooled"


@dataclass(frozen=True)
class Baseline:
    """One model trained without federating, on every site's test patients."""

    name: str
    """POOLED, or the site that trained alone."""
    steps: int
    samples: int
    test: Evaluation | None
    problem: str = ""

    def as_record(self) -> dict[str, Any]:
        """For summary.json."""
        if self.test is None:
            return {"problem": self.problem, "steps": self.steps, "samples": self.samples}
        return {
            "metrics": dict(self.test.union),
            "own": dict(self.test.sites.get(self.name, {})),
            "steps": self.steps,
            "samples": self.samples,
            "sites": {site: dict(metrics) for site, metrics in self.test.sites.items()},
        }


def run_baselines(
    consortium: Consortium,
    steps_by_site: Mapping[str, int],
    initial: Arrays,
    metrics: Metrics,
    folder: Path,
    workers: int,
    watch: Watch,
) -> dict[str, Baseline]:
    """All baselines, the longest first; each worker keeps one model."""
    work = _Work(consortium, initial, metrics, folder, watch)
    jobs: queue.SimpleQueue[tuple[str, Roster, int]] = queue.SimpleQueue()
    jobs.put((POOLED, consortium.pooled, sum(steps_by_site.values())))
    for site in consortium.sites:
        jobs.put((site, consortium.rosters[site], steps_by_site.get(site, 0)))
    done: dict[str, Baseline] = {}
    failures: list[BaseException] = []
    ended: queue.SimpleQueue[None] = queue.SimpleQueue()

    def drain() -> None:
        try:
            learner = Learner(consortium.study)
            while not failures:
                job = jobs.get_nowait()
                done[job[0]] = work.run(learner, *job)
        except queue.Empty:
            return
        except BaseException as error:
            failures.append(error)
        finally:
            ended.put(None)

    threads = [threading.Thread(target=drain, name=f"baseline-{n}") for n in range(workers)]
    for thread in threads:
        thread.start()
    try:
        for _ in threads:
            ended.get()  # not join: interrupted, it takes a thread for ended that still works
    except BaseException:
        interrupt(threads)
        raise
    finally:
        for thread in threads:
            thread.join()
    if failures:
        raise failures[0]
    return {name: done[name] for name in sorted(done)}


class _Work:
    """One baseline after the other, each kept on disk when it is finished."""

    def __init__(
        self,
        consortium: Consortium,
        initial: Arrays,
        metrics: Metrics,
        folder: Path,
        watch: Watch,
    ) -> None:
        self._consortium = consortium
        self._study: Study = consortium.study
        self._initial = initial
        self._metrics = metrics
        self._folder = folder
        self._watch = watch

    def run(self, learner: Learner, name: str, roster: Roster, steps: int) -> Baseline:
        samples = steps * self._study.training.batch_size
        kept = self._kept(name, steps)
        if kept is None:
            try:
                kept = self._tallies(learner, name, roster, steps)
            except SiteError as error:
                return Baseline(name, steps, samples, None, f"{error}: {error.detail}")
            self._keep(name, steps, kept)
        if not kept:
            return Baseline(name, steps, samples, None, "no site has test patients")
        return Baseline(name, steps, samples, from_tallies("test", kept, self._metrics))

    def _tallies(self, learner: Learner, name: str, roster: Roster, steps: int) -> dict[str, Tally]:
        keys = roster.keys.get("train", ())
        if not keys:
            raise SiteError(Refusal.EMPTY, "no training cases")
        weights = self._initial
        if steps:
            seed = seed_of(self._study.study.seed, name)
            balance = self._study.training.balance
            batches = Batches(learner.task, self._consortium.store, keys, seed, balance)
            stretch = Stretch(steps, 0.0, 1.0)
            stream = batches.of(stretch, self._study.training.batch_size, learner.device)
            gradients = learner.gradients(self._reported(stream, name, steps))
            pull = Pull(grad_clip=self._study.training.grad_clip)
            trained = learner.train(weights, gradients, stretch, None, pull, seed_of(seed, 0))
            weights = trained.weights
        store, rosters = self._consortium.store, self._consortium.rosters
        tests = {site: rosters[site].keys.get("test", ()) for site in self._consortium.sites}
        return {
            site: learner.evaluate(weights, store, cases) for site, cases in tests.items() if cases
        }

    def _reported(self, stream: Iterator[Batch], name: str, steps: int) -> Iterator[Batch]:
        for done, batch in enumerate(stream):
            if done % 10 == 0:
                self._watch(Event("baseline", site=name, figures={"done": done, "total": steps}))
            yield batch
        self._watch(Event("baseline", site=name, figures={"done": steps, "total": steps}))

    def _path(self, name: str) -> Path:
        return self._folder / f"{name}.safetensors"

    def _keep(self, name: str, steps: int, tallies: Mapping[str, Tally]) -> None:
        flat = {f"{site}:{key}": a for site, tally in tallies.items() for key, a in tally.items()}
        notes = {"study": study_hash(self._study), "steps": str(steps)}
        with writing(self._folder):
            self._folder.mkdir(parents=True, exist_ok=True)
        write_bytes_atomic(self._path(name), encode(flat, notes))

    def _kept(self, name: str, steps: int) -> dict[str, Tally] | None:
        try:
            data = self._path(name).read_bytes()
            notes, flat = notes_of(data), decode(data)
        except (OSError, CodecError):
            return None
        if notes.get("study") != study_hash(self._study) or notes.get("steps") != str(steps):
            return None
        tallies: dict[str, Tally] = {}
        for key, array in flat.items():
            site, _, name = key.partition(":")
            tallies.setdefault(site, {})[name] = array
        return tallies
