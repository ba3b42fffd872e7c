"""The same study on Ray: one seed, one model, and Ctrl-C. Every start of Ray takes ten seconds."""

import json
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from command import TINY, cached_in, fedvox, process, simulate, summary

from fedvox.common.study import load_study
from fedvox.simulations.engines import workers_for

pytestmark = pytest.mark.xdist_group("ray")


@pytest.fixture(scope="module", autouse=True)
def cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    folder = tmp_path_factory.mktemp("cache")
    with cached_in(folder):
        yield folder


def test_interrupted_on_ray_it_ends_on_this_machine_with_the_same_bits(tmp_path: Path) -> None:
    """Together, since Ray starts slowly: engines may change between two sittings."""
    words = [*TINY, "--rounds=3", "--baselines"]
    with process("simulate", *words, "--engine=ray", "--json", "--out", tmp_path / "ray") as run:
        assert run.stdout and run.stderr
        for line in run.stdout:
            event = json.loads(line)
            if event["event"] == "trained" and event["round"] == 2:
                run.send_signal(signal.SIGINT)
                break
        run.stdout.read()
        assert (run.wait(60), run.stderr.read()) == (130, "fedvox simulate: interrupted\n")
    assert summary(tmp_path / "ray")["rounds_completed"] >= 1
    resumed = fedvox("simulate", "--resume", tmp_path / "ray", "--engine=inprocess", "--quiet")
    assert resumed.status == 0, resumed.err
    assert simulate(tmp_path / "here", "--rounds=3", "--baselines", "--quiet").status == 0
    for key in ("model_sha256", "metrics", "baselines"):
        assert summary(tmp_path / "ray")[key] == summary(tmp_path / "here")[key], key


@pytest.mark.slow
def test_a_whole_run_on_ray_says_nothing_and_gives_the_same_model(tmp_path: Path) -> None:
    with process("simulate", *TINY, "--engine=ray", "--quiet", "--out", tmp_path / "ray") as run:
        out, err = run.communicate(timeout=120)
    assert (run.returncode, out, err) == (0, "", "")
    assert simulate(tmp_path / "here", "--quiet").status == 0
    one, other = summary(tmp_path / "ray"), summary(tmp_path / "here")
    assert one["engine"] == "ray" and one["model_sha256"] == other["model_sha256"]


CLUSTER = """
import sys
import ray
from ray.cluster_utils import Cluster

cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 2, "include_dashboard": False})
print(cluster.address, flush=True)
sys.stdin.read()
cluster.shutdown()
"""


@pytest.mark.slow
def test_an_existing_cluster_is_used_where_ray_address_names_one(tmp_path: Path) -> None:
    with tempfile.TemporaryDirectory(prefix="ray") as home:  # sockets need a short path
        cluster = subprocess.Popen(
            [sys.executable, "-c", CLUSTER], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
            text=True, env={**os.environ, "RAY_TMPDIR": home, "RAY_USAGE_STATS_ENABLED": "0"},
        )  # fmt: skip
        assert cluster.stdin and cluster.stdout
        address = cluster.stdout.readline().strip()
        assert address
        words = [*TINY, "--engine=ray", "--quiet", "--out", tmp_path / "ray"]
        with process("simulate", *words, RAY_ADDRESS=address) as run:
            out, err = run.communicate(timeout=120)
        assert cluster.poll() is None, "the cluster was there before, and stays"
        cluster.communicate(timeout=60)
    assert (run.returncode, out, err) == (0, "", "")
    assert simulate(tmp_path / "here", "--quiet").status == 0
    assert summary(tmp_path / "ray")["model_sha256"] == summary(tmp_path / "here")["model_sha256"]


def test_how_many_sites_train_at_once() -> None:
    cores = len(os.sched_getaffinity(0))
    auto = load_study(settings=["training.device=cpu"])
    assert workers_for(auto) == cores
    assert workers_for(load_study(settings=["simulation.workers=7"])) == 7
    many = load_study(settings=["training.device=cpu", f"simulation.threads={cores}"])
    assert workers_for(many) == 1
