"""`python -m capacity.report`: a file, or a server; every mistake is one line, and nothing is written then."""

import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from basis.flags import UserError
from capacity import run
from capacity.report import __main__ as report
from capacity.report.page import people, serve
from capacity.report.page.write import write_page
from tests.capacity.records import make_row, write_store

ROOT = Path(__file__).parents[3]


@pytest.fixture
def store(tmp_path):
    write_store(tmp_path / "out", [make_row("a"), make_row("a", "int8")])
    return tmp_path / "out"


@pytest.fixture(autouse=True)
def no_scripts(monkeypatch):
    monkeypatch.setattr("capacity.report.page.document.scripts", lambda: "")  # seconds to make


def test_it_writes_one_file(store, capsys):
    assert report.main([str(store)]) == 0
    assert re.fullmatch(r"Report: .*report.html \(\d\.\d MB\)\n", capsys.readouterr().out)
    text = (store / "report.html").read_text()
    assert "A model of 59,952 parameters stores 1.65 bits per parameter." in text
    elsewhere = store.parent / "new" / "page.html"
    assert report.main([str(store), str(store), "--out", str(elsewhere), "--people", "0"]) == 0
    assert "No model was asked" in elsewhere.read_text()


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["NONE"], r"folder: .*none is not there"),
        (["EMPTY"], r"folder: .*empty has no finished run"),
        (["OUT", "--people", "-1"], "argument --people: '-1' is not allowed; must be 0 to 1000"),
        (["OUT", "--ask", "b"], "ask: 'b' is no finished run with its model"),
        (["OUT", "--out", "EMPTY"], r"out: .*empty is a folder; must be a file"),
        (["OUT", "--port", "80"], "port: 80 is not allowed without --serve"),
        (["OUT", "--serve", "--port", "65536"], "argument --port: '65536' is not allowed; must be 0 to 65535"),
        (["OUT", "--serve", "--host", "no host"], "host: no host is not allowed"),
        (["OUT", "--serve", "--out", "x"], "out: x is not allowed with --serve"),
        (["OUT", "OUT", "--serve"], "serve: 2 folders are not allowed"),
        (["NONE", "--serve"], r"folder: .*none is not there; must be the folder of a sweep"),
        ([], "the following arguments are required: OUT"),
    ],
)
def test_a_mistake_is_one_line_and_writes_nothing(arguments, told, store):
    empty = store.parent / "empty"
    empty.mkdir()
    places = {"OUT": str(store), "NONE": str(store.parent / "none"), "EMPTY": str(empty)}
    before = sorted(store.parent.rglob("*"))
    with pytest.raises(UserError) as refused:
        report.main([places.get(one, one) for one in arguments])
    (line,) = refused.value.lines
    assert re.match(told, line)
    assert sorted(store.parent.rglob("*")) == before


def test_a_link_out_of_the_folder_is_refused(store):
    (store / "report.html").symlink_to(store.parent / "elsewhere")
    with pytest.raises(UserError, match="is a link to"):
        report.main([str(store)])


def test_help_imports_nothing_slow():
    program = (
        "import sys, contextlib\n"
        "from capacity.report.__main__ import main\n"
        "with contextlib.suppress(SystemExit): main(['--help'])\n"
        "assert not {'torch', 'pandas', 'altair', 'vl_convert'} & sys.modules.keys()"
    )
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, check=True, capture_output=True, text=True)
    assert f"default: {people.PEOPLE}; 0: none" in " ".join(done.stdout.split())
    assert (report._HOST, report._PORT, report._PEOPLE) == (serve.LOOPBACK, serve.PORT, people.PEOPLE)


def test_interrupt_ends_the_server_quietly(store):
    command = [sys.executable, "-m", "capacity.report", str(store), "--serve", "--port", "0"]
    environment = os.environ | {"PYTHONUNBUFFERED": "1"}
    with subprocess.Popen(
        command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as server:
        assert re.match(r"Report of .*: http://127\.0\.0\.1:\d+/ ", server.stdout.readline())
        server.send_signal(signal.SIGINT)
        _, said = server.communicate(timeout=600)
    assert (server.returncode, said) == (0, "")


TINY = {
    **{"dataset": "biod", "sizes": "1x16", "people": 40, "exposures": 2, "batch": 16, "optimizer": "adamw"},
    **{"biod.K": 2, "biod.C": 2, "biod.D": 8, "biod.L": 1, "biod.T": 8, "device": "cpu", "quantize": "none"},
}
FLAGS = [text for name, value in TINY.items() for text in (f"--{name}", str(value))]


def test_a_sweep_writes_the_report_and_a_failing_report_is_a_warning(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr("capacity.report.figures.runs.draw_all", lambda *_: [])
    flags = [*FLAGS, "--out", str(tmp_path / "out")]
    assert run.main([*flags, "--no-report"]) == 0
    assert not (tmp_path / "out" / "report.html").exists()
    assert run.main(flags) == 0
    assert f"Report: {tmp_path / 'out' / 'report.html'}" in capsys.readouterr().out
    written = (tmp_path / "out" / "report.html").read_bytes()

    def fail(*_, **__):
        raise RuntimeError("no\nlibrary")

    monkeypatch.setattr("capacity.report.page.write.write_page", fail)
    assert run.main(flags) == 0
    (line,) = [line for line in capsys.readouterr().err.splitlines() if "report" in line]
    assert line.startswith("warning: no report: no library; `capacity report ")
    assert (tmp_path / "out" / "report.html").read_bytes() == written


def test_a_page_of_a_store_with_bad_records_has_the_others(store):
    (store / "broken").mkdir()
    (store / "broken" / "result.json").write_text("{")
    told = []
    assert write_page([store], store / "report.html", on_bad=told.append) > 1000
    assert len(told) == 1
