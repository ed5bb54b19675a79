"""The Ray engine: results as the local engine's, whatever dies; on a cluster of two nodes on this machine."""

import os
import signal
import threading

import pytest
from rich.console import Console

ray = pytest.importorskip("ray")

from capacity.runner import progress  # noqa: E402
from capacity.runner.engine import WorkerOptions  # noqa: E402
from capacity.runner.ray_engine import RayEngine, gpus_of  # noqa: E402
from capacity.runner.sweep import Stopped, run_all  # noqa: E402
from capacity.spec.plan import make_plans  # noqa: E402
from capacity.spec.preset import Preset  # noqa: E402
from capacity.store.folders import open_store  # noqa: E402
from tests.capacity.conftest import BIOD, metrics_of, wait_for, workers_of  # noqa: E402
from tests.capacity.test_faults import nobody_left  # noqa: E402

pytestmark = pytest.mark.filterwarnings("default")  # of Ray's own
OPTIONS = WorkerOptions("cpu", save_seconds=0.2)


@pytest.fixture
def nodes(monkeypatch):
    """Two nodes with a core each; the second can be taken away."""
    from ray.cluster_utils import Cluster

    monkeypatch.setenv("RAY_AUTH_MODE", "disabled")
    monkeypatch.setenv("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 1, "include_dashboard": False})
    cluster.second = cluster.add_node(num_cpus=1)
    cluster.wait_for_nodes()
    yield cluster
    ray.shutdown()
    cluster.shutdown()


def plans_of(**changes):
    return make_plans(
        Preset.model_validate(BIOD | {"people": [40, 50], "exposures": 1500, "quantize": "int8"} | changes)
    )


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory):
    """The same sweep on the local engine."""
    from capacity.runner.engine import LocalEngine

    out = tmp_path_factory.mktemp("local")
    open_store(out)
    assert run_all(plans_of(), out, LocalEngine(2, OPTIONS), Console(quiet=True)) == {}
    return out


def same(out, expected):
    runs = sorted(path.parent.name for path in expected.glob("*/result.json"))
    assert len(runs) == 2
    assert sorted(path.parent.name for path in out.glob("*/result.json")) == runs
    for name in runs:
        weights = [(store / name / "model" / "model.safetensors").read_bytes() for store in (out, expected)]
        assert weights[0] == weights[1]
        assert metrics_of(out / name) == metrics_of(expected / name)


def later(when, do):
    """Do something in a thread once a condition holds; also if it never does, so that the test ends."""

    def wait():
        try:
            wait_for(when)
        finally:
            do()

    thread = threading.Thread(target=wait)
    thread.start()
    return thread


def under_way(out, count=2):
    return lambda: len({path.parent.parent for path in out.glob("*/checkpoints/*.safetensors")}) >= count


def swept(nodes, out, **changes):
    open_store(out)
    engine = RayEngine(None, OPTIONS, None, nodes.address)
    try:
        with open(out / "said", "w", buffering=1) as said:
            return run_all(plans_of(**changes), out, engine, Console(file=said, width=200))
    finally:
        engine.close()


def test_a_worker_killed_on_a_cluster(nodes, tmp_path, undisturbed):
    thread = later(under_way(tmp_path, 1), lambda: os.kill(workers_of(tmp_path)[0], signal.SIGKILL))
    assert swept(nodes, tmp_path) == {}
    thread.join()
    same(tmp_path, undisturbed)
    nobody_left(tmp_path)
    assert "killed by SIGKILL; it goes on from its last checkpoint" in (tmp_path / "said").read_text()


@pytest.mark.faults
def test_a_node_killed(nodes, tmp_path, undisturbed):
    thread = later(under_way(tmp_path), lambda: nodes.remove_node(nodes.second, allow_graceful=False))
    assert swept(nodes, tmp_path) == {}
    thread.join()
    same(tmp_path, undisturbed)
    nobody_left(tmp_path)


def test_a_signal_stops_the_workers_of_a_cluster(nodes, tmp_path, monkeypatch):
    monkeypatch.setattr(progress, "_PLAIN_SECONDS", 0.5)
    shown = (tmp_path / "said").read_text
    thread = later(lambda: under_way(tmp_path)() and "tokens/s" in shown(), lambda: os.kill(os.getpid(), signal.SIGINT))
    with pytest.raises(Stopped):
        swept(nodes, tmp_path, exposures=200_000)
    thread.join()
    nobody_left(tmp_path)
    assert not list(tmp_path.glob("*/result.json"))
    assert "tokens/s" in shown()


def test_small_models_share_a_gpu():
    (small,) = plans_of(people=40)
    assert gpus_of(small, 1, None) == 0.125
    assert gpus_of(small, 1, 0.5) == 0.5
    assert gpus_of(small, 4, None) == 4.0
