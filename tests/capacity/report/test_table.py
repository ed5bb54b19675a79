"""What is printed about runs."""

import io
import json
import re
import subprocess
import sys
from fnmatch import fnmatch
from pathlib import Path

import pandas as pd
import pytest
from rich.console import Console

from capacity.publish import publish
from capacity.report.table import short_number, show
from capacity.store.folders import count_runs
from capacity.store.options import OPTIONS
from capacity.store.records import COLUMNS, load
from capacity.table import main
from tests.capacity.records import make_row, write_store

ROOT = Path(__file__).parents[3]


def printed(rows, width=100):
    text = io.StringIO()
    show(pd.DataFrame(rows), Console(file=text, width=width))
    return text.getvalue()


def lines_of(rows, **options):
    """The lines of settings, their cells one blank apart."""
    return [" ".join(line.split()) for line in printed(rows, **options).splitlines() if "2x48" in line]


def test_every_setting_has_one_line_with_its_quantized_capacities():
    rows = [make_row(name, people=N) for name, N in (("a", 500), ("b", 1000))]
    rows += [make_row("a", "int8", people=500, bits_per_param=1.64), make_row("b", "int4", bits_per_param=0.55)]
    assert lines_of(rows) == [
        "2x48 60.0K 500 1,000 6.91 0.30 1.65 1.60–1.70 2.74 97% 1.64 -",
        "2x48 60.0K 1,000 1,000 6.91 0.30 1.65 1.60–1.70 2.74 97% - 0.55",
    ]
    lines = printed(rows, width=200).splitlines()
    assert lines[-2].startswith("Data bioD, no junk, recipe paper.")
    assert lines[-2].endswith("Range: the 95 % interval over people.")
    assert lines[-1].startswith("R = bits per parameter; the paper has about 2")


def test_seeds_have_one_line_with_their_mean_and_its_range():
    rows = [make_row(str(seed), seed=seed, bits_per_param=1.5 + seed / 10, qa_accuracy=seed / 4) for seed in range(3)]
    rows += [row | {"quantization": "int8", "bits_per_param": row["bits_per_param"] / 2} for row in rows]
    assert lines_of(rows) == ["2x48 60.0K 1,000 1,000 3 6.91 0.30 1.60 1.50–1.70 2.74 25% 0.80"]
    assert "Range: the lowest and the highest seed." in printed(rows, width=200)
    some = [*rows, make_row("x", people=7)]
    assert lines_of(some)[1] == "2x48 60.0K 7 1,000 1 6.91 0.30 1.65 1.60–1.70 2.74 97% -"
    assert "Range: the 95 % interval over people; of several seeds the lowest and the highest seed." in printed(
        some, width=200
    )


def test_what_differs_has_a_column_and_is_never_averaged():
    rows = [make_row("a", optimizer="adamw", lr=0.003, bits_per_param=1.0)]
    rows += [make_row("b", optimizer="muon", lr=0.01, bits_per_param=2.0)]
    rows += [make_row("c", optimizer="muon", lr=0.02, bits_per_param=0.5)]
    assert [line.split()[4:6] + line.split()[8:9] for line in lines_of(rows)] == [
        ["adamw", "0.003", "1.00"],
        ["muon", "0.01", "2.00"],
        ["muon", "0.02", "0.50"],
    ]
    decided = [row | {"lr": 0.1 if row["optimizer"] == "muon" else 0.2} for row in rows[:2]]
    assert "lr" not in printed(decided)


def test_copies_of_some_seeds_are_not_compared_with_the_mean_of_all():
    rows = [make_row(f"{seed}", seed=seed, bits_per_param=1 + seed) for seed in range(3)]
    rows += [make_row(f"{seed}", "int8", seed=seed, bits_per_param=1 + seed) for seed in range(3)]
    rows += [make_row("0", "int4", bits_per_param=0.1)]
    told = "Quantized copies of 1 run were measured for some of the seeds with that size and N only"
    assert told in printed(rows)
    assert lines_of(rows)[0].endswith("97% 2.00 -")
    assert told not in printed(rows[:-1])


def test_columns_appear_where_runs_differ_and_fit_a_terminal():
    differ = {"dataset": "bios", "junk": "7/8", "recipe": "fast", "people": 20_000_000}
    schemes = ("none", "rtn-int8+embedding", "gptq-int4")
    rows = [make_row(name, scheme, seed=seed) for name, seed in (("a", 0), ("c", 1)) for scheme in schemes]
    rows += [make_row("b", scheme, **differ) for scheme in schemes]
    text = printed(rows, width=110)
    assert all(word in text for word in ("bioS", "7/8", "fast", "20M", "seeds", "rtn-int8", "+emb", "gptq-int4"))
    assert max(map(len, text.splitlines())) <= 110
    assert "…" not in text
    assert "recipe paper" not in text
    assert "rtn: rounded to nearest; +emb: embedding and output head quantized, too." in text


@pytest.mark.parametrize(
    ("exposures", "r_max", "limited"), [(100, 0.16, True), (100, 1.2, False), (1000, 1.8, True), (1000, 2.1, False)]
)
def test_the_law_is_named_only_where_the_data_can_show_it(exposures, r_max, limited):
    learned = {"exposures": exposures, "max_bits_per_param": r_max, "bits_per_param": 0.9 * r_max}
    text = " ".join(printed([make_row("a", **learned)]).split())
    assert ("the paper has about 2" in text) != limited
    assert (f"with R max at most {r_max:.2g} the data are the limit here" in text) == limited
    little = " ".join(printed([make_row("a", **learned | {"bits_per_param": 0.5 * r_max})]).split())
    assert ("so training was too short" in little) == limited
    assert "the data are the limit" not in little


def test_missing_numbers_and_no_runs_are_printed_too():
    missing = {"bits_per_param_low": None, "qa_accuracy": None, "loss_value": None, "seed": None}
    rows = [make_row("a", **missing, question_accuracy_held_out=0.5)]
    assert " - " in printed(rows)
    assert "asked" in printed(rows)
    assert "No finished run" in printed([])


def test_a_narrow_terminal_gets_every_digit():
    rows = [make_row("a", scheme) for scheme in ("none", "int8", "int8-g16", "int4", "int4-g16", "int2")]
    narrow, wide = printed(rows, width=40), printed(rows, width=300)
    assert "…" not in narrow
    words = [next(line.split() for line in text.splitlines() if "2x48" in line) for text in (narrow, wide)]
    assert len(words[0]) > 10
    assert words[0] == words[1]


def test_many_settings_are_cut_to_the_last():
    rows = [make_row(str(N), people=N) for N in range(1, 503)]
    assert "502 settings, the last 500 of them here:" in printed(rows)
    assert len(lines_of(rows)) == 500


def test_short_numbers():
    assert [short_number(n, 3) for n in (7, 950, 59_952, 123_456, 999_900, 1.5e6, 2e10, 3e14)] == [
        "7", "950", "60.0K", "123K", "1.00M", "1.50M", "20.0B", "300T",
    ]  # fmt: skip
    assert [short_number(n) for n in (0.05, 10_000, 300_000, 1e6, 2.5e6)] == ["0.05", "10K", "300K", "1M", "2.5M"]
    assert [count_runs(n) for n in (0, 1, 2, 1000)] == ["0 runs", "1 run", "2 runs", "1,000 runs"]


def test_the_program_puts_folders_together(tmp_path, capsys):
    write_store(tmp_path / "A", [make_row("a"), make_row("a", "int8")])
    write_store(tmp_path / "B", [make_row("b", bits_per_param=1.23, recipe="fast")])
    assert main([str(tmp_path / "A")]) == 0
    assert (tmp_path / "A" / "results.csv").read_text().count("\n") == 3
    assert (tmp_path / "A" / "plots" / "capacity.png").stat().st_size > 0
    assert "1.65" in capsys.readouterr().out
    assert main([str(tmp_path / "A"), str(tmp_path / "B"), "--out", str(tmp_path / "both")]) == 0
    assert (tmp_path / "both" / "results.csv").read_text().count("\n") == 4
    assert (tmp_path / "both" / "plots").is_dir()
    assert not (tmp_path / "B" / "results.csv").exists()
    assert "1.23" in capsys.readouterr().out


@pytest.mark.parametrize("name", ["nowhere", "empty"])
def test_the_program_says_in_one_line_that_there_are_no_runs(tmp_path, name):
    (tmp_path / "empty").mkdir()
    command = [sys.executable, "-m", "capacity.table", str(tmp_path / name)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert done.stdout == ""
    assert done.stderr.startswith("error: ")
    assert str(tmp_path / name) in done.stderr
    assert done.stderr.count("\n") == 1


def test_the_guide_explains_every_column():
    guide = (ROOT / "docs" / "guide.md").read_text()
    section = guide.partition("### The columns of results.csv")[2].partition("\n## ")[0]
    explained = [*re.findall(r"`(\w+\*?)`", section), *OPTIONS]
    assert "every option that decides a result" in section
    published = [load(folder).columns for folder in (ROOT / "results").iterdir() if folder.joinpath("plots").is_dir()]
    for column in {name for names in (COLUMNS, *published) for name in names}:
        assert any(fnmatch(column, name) for name in explained), column


def test_the_program_draws_a_figure_of_ones_own(tmp_path, capsys, monkeypatch):
    write_store(tmp_path / "A", [make_row("a")])
    (tmp_path / "mine.py").write_text(
        "from matplotlib.figure import Figure\n\ndef empty(runs):\n    return {'': Figure()}\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    assert main([str(tmp_path / "A"), "--figure", "mine:empty"]) == 0
    assert sorted(path.name for path in (tmp_path / "A" / "plots").iterdir()) == ["empty.png", "empty.svg"]
    assert main([str(tmp_path / "A"), "--figure", "mine:nothing"]) == 2
    assert capsys.readouterr().err.startswith("error: figure: 'mine:nothing' cannot be imported")


def test_of_published_results_the_program_writes_nothing_unasked(tmp_path, capsys):
    write_store(tmp_path / "A", [make_row("a")])
    publish(tmp_path / "published", [tmp_path / "A"])
    before = sorted((tmp_path / "published").iterdir())
    assert main([str(tmp_path / "published")]) == 0
    assert "1.65" in capsys.readouterr().out
    assert sorted((tmp_path / "published").iterdir()) == before
    assert main([str(tmp_path / "published"), "--out", str(tmp_path / "out")]) == 0
    assert (tmp_path / "out" / "results.csv").read_text().count("\n") == 2


def test_a_link_out_of_the_folder_is_refused_and_holes_in_metrics_are_told(tmp_path, capsys):
    write_store(tmp_path / "A", [make_row("a")])
    result = tmp_path / "A" / "a" / "result.json"
    record = json.loads(result.read_text())
    result.write_text(json.dumps(record | {"records_lacking": 2}))
    assert main([str(tmp_path / "A"), "--out", str(tmp_path / "out"), "--figure", "law"]) == 0
    metrics = tmp_path / "A" / "a" / "metrics.jsonl"
    assert capsys.readouterr().err == f"warning: {metrics}: lacks records, 2 of them; its learning curve has holes\n"
    (tmp_path / "A" / "plots").symlink_to(tmp_path / "elsewhere")
    assert main([str(tmp_path / "A")]) == 2
    assert capsys.readouterr().err.startswith(f"error: out: {tmp_path / 'A' / 'plots'} is a link to")
    assert not (tmp_path / "elsewhere").exists()
