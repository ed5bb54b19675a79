"""The server of a sweep under way: what it answers, to whom, and that it only reads."""

import http.client
import json
import os
import threading
import time

import pytest

from capacity.report.page.live import Watcher
from capacity.report.page.people import Asked
from capacity.report.page.serve import make_server


@pytest.fixture
def server(store, monkeypatch):
    monkeypatch.setattr("capacity.report.page.document.scripts", lambda: "")  # seconds to make
    with make_server(store, "127.0.0.1", 0, Asked(people=0)) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def ask(server, path, method="GET", host=None):
    connection = http.client.HTTPConnection(*server.server_address[:2], timeout=600)
    headers = {} if host is None else {"Host": host}
    connection.request(method, path, headers=headers)
    answer = connection.getresponse()
    text = answer.read().decode()
    connection.close()
    return answer, text


def everything(folder):
    return {path: (path.stat().st_mtime_ns, path.read_bytes()) for path in folder.rglob("*") if path.is_file()}


def test_it_answers_with_the_page_and_the_state_and_writes_nothing(server, store):
    before = everything(store)
    answer, text = ask(server, "/?x=1")
    assert answer.status == 200
    assert "1.30 to 1.50 bits per parameter" in text
    policy = answer.getheader("Content-Security-Policy")
    assert "default-src 'none'" in policy
    assert "connect-src 'self'" in policy
    assert answer.getheader("X-Content-Type-Options") == "nosniff"
    answer, text = ask(server, "/live.json")
    assert json.loads(text) == {"finished": 7, "failed": [], "runs": []}
    assert everything(store) == before


@pytest.mark.parametrize(
    "path", ["/store.json", "/../../etc/passwd", "/%2e%2e/x", "//etc/passwd", "/live.json/..", "*"]
)
def test_there_is_nothing_else(server, path):
    assert ask(server, path)[0].status == 404


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "HEAD", "OPTIONS", "TRACE"])
def test_it_takes_GET_alone(server, method):
    assert ask(server, "/", method)[0].status == 501


@pytest.mark.parametrize(
    ("host", "status"),
    [
        ("localhost:1", 200),
        ("127.0.0.1", 200),
        ("[::1]:80", 200),
        ("evil.example", 403),
        ("127.0.0.1.evil.example", 403),
    ],
)
def test_another_sites_name_is_refused(server, host, status):
    assert ask(server, "/live.json", host=host)[0].status == status


def test_a_folder_that_is_gone_is_told(server, store):
    store.rename(store.with_name("moved"))
    answer, text = ask(server, "/")
    assert answer.status == 503
    assert "is not there" in text


@pytest.mark.parametrize(
    ("host", "port", "told"),
    [("127.0.0.1", 70_000, "port: 70000"), ("203.0.113.7", 0, "host: 203.0.113.7"), ("no host", 0, "host: no host")],
)
def test_an_address_that_cannot_be_is_a_line(store, host, port, told):
    with pytest.raises(ValueError, match=f"^{told} is not allowed"):
        make_server(store, host, port, Asked(people=0))


def test_a_port_in_use_is_a_line(server, store):
    with pytest.raises(ValueError, match=r"^port: \d+ is not allowed .*; must be a free port of 127.0.0.1"):
        make_server(store, "127.0.0.1", server.server_address[1], Asked(people=0))


def under_way(out, name, config="exposures: 100\n", heartbeat='{"exposures": 25.0, "loss": 1.5}'):
    run = out / name
    run.mkdir()
    (run / "config.yaml").write_text(config)
    (run / "heartbeat.json").write_text(heartbeat)
    return run


def point(exposures, R):
    return json.dumps({"kind": "recall", "exposures": exposures, "bits_per_param": R}) + "\n"


def test_curves_grow_and_go_back_with_a_checkpoint(tmp_path):
    run = under_way(tmp_path, "a")
    metrics = run / "metrics.jsonl"
    watcher = Watcher(tmp_path)
    metrics.write_text(point(1, 0.1) + '{"kind": "train", "loss": 3}\n' + point(10, 0.2) + '{"kind": "rec')
    (state,) = watcher.state()["runs"]
    assert (state["share"], state["R"], state["loss"], state["alive"]) == (0.25, 0.2, 1.5, True)
    assert state["curve"] == {"exposures": [1, 10], "R": [0.1, 0.2]}
    metrics.write_text(point(1, 0.1) + point(5, 0.15))  # shorter, as a worker that resumed leaves it
    assert watcher.state()["runs"][0]["curve"] == {"exposures": [1, 5], "R": [0.1, 0.15]}


@pytest.mark.parametrize("config", ["", "- 1", "exposures: soon", "exposures: -3", "{", "budget: 5000"])
@pytest.mark.parametrize("heartbeat", ["", "[]", '{"exposures": "x"}', '{"exposures": 1e400}'])
def test_any_folder_has_a_state(config, heartbeat, tmp_path):
    run = under_way(tmp_path, "a", config, heartbeat)
    (run / "metrics.jsonl").write_bytes(b"\xff\n[1]\n" + point(1, 2).encode().replace(b"2", b"NaN"))
    (state,) = Watcher(tmp_path).state()["runs"]
    assert json.dumps(state, allow_nan=False)
    assert (state["share"], state["R"]) == (None, None)


def test_runs_that_failed_or_are_quiet_are_told_apart(tmp_path):
    failed = under_way(tmp_path, "failed")
    (failed / "failed.json").write_text('{"reason": "loss: nan"}')
    quiet = under_way(tmp_path, "quiet")
    long_ago = time.time() - 3600
    os.utime(quiet / "heartbeat.json", (long_ago, long_ago))
    (tmp_path / "link").symlink_to(quiet)
    state = Watcher(tmp_path).state()
    assert state["failed"] == [{"id": "failed", "reason": "loss: nan"}]
    assert [(run["id"], run["alive"]) for run in state["runs"]] == [("quiet", False)]
