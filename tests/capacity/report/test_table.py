"""The table of a store: which runs, in which order, with which digits; and what is printed about them."""

import io
import json
import os
import random
import re
import subprocess
import sys
import time
from fnmatch import fnmatch
from pathlib import Path

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from capacity.report.table import COLUMNS, best_over_people, by_precision, collect, short_number, show, write_csv
from capacity.table import main

ROOT = Path(__file__).parents[3]


def make_row(run_id, quantization="none", **changed):
    row = dict.fromkeys(COLUMNS)
    row |= {"run_id": run_id, "size": "2x48", "params": 59_952, "dataset": "biod", "people": 1000}
    row |= {"exposures": 1000.0, "junk": "0", "recipe": "paper", "quantization": quantization, "seed": 0}
    row |= {"loss_name": 6.91, "loss_value": 0.1 + 0.2, "bits": 1e5, "bits_per_param": 1.65, "max_bits": 104_316.5}
    row |= {"bits_per_param_low": 1.6, "bits_per_param_high": 1.7, "max_bits_per_param": 1.74, "qa_accuracy": 0.97}
    return row | changed


def store(out, rows, of=None):
    """of: the configuration of each run, and whether another did its training; without, all differ."""
    by_run = {}
    for row in rows:
        by_run.setdefault(row["run_id"], []).append(row)
    for run_id, of_run in by_run.items():
        (out / run_id).mkdir()
        config, taken_over = (of or {}).get(run_id, ({}, False))
        provenance = {"training_of": "some run"} if taken_over else {}
        record = {"run_id": run_id, "config": config, "rows": of_run, "provenance": provenance}
        (out / run_id / "result.json").write_text(json.dumps(record))


def printed(frame, width=100):
    text = io.StringIO()
    show(frame, Console(file=text, width=width))
    return text.getvalue()


@given(st.permutations([0.5, 1.25, 2.0, 1.5]), st.integers(0, 3))
def test_the_capacity_of_a_size_is_its_best_mean_over_people(R, seeds):
    """Planted: the largest R, moved up and down by seeds whose mean is nought."""
    people = [100, 200, 300, 400]
    away = [seed - seeds / 2 for seed in range(seeds + 1)]
    rows = [
        make_row(f"{N}-{change}", scheme, people=N, bits_per_param=R_here * share + change / 100)
        for N, R_here in zip(people, R, strict=True)
        for change in away
        for scheme, share in (("none", 1.0), ("int4", 0.5))
    ]
    best = best_over_people(pd.DataFrame(rows))
    assert best["quantization"].tolist() == ["int4", "none"]
    at = R.index(2.0)
    assert best["people"].tolist() == [people[at]] * 2
    assert best["R"].tolist() == pytest.approx([1.0, 2.0])
    assert (best["high"] - best["low"]).tolist() == pytest.approx([seeds / 100] * 2)
    assert best["bracketed"].tolist() == [0 < at < 3] * 2


def test_copies_of_some_seeds_are_not_compared_with_the_mean_of_all(tmp_path):
    rows = [make_row(f"{seed}", seed=seed, bits_per_param=1 + seed) for seed in range(3)]
    rows += [make_row(f"{seed}", "int8", seed=seed, bits_per_param=1 + seed) for seed in range(3)]
    rows += [make_row("0", "int4", bits_per_param=0.1)]
    best = best_over_people(pd.DataFrame(rows))
    assert dict(zip(best["quantization"], best["R"], strict=True)) == {"int8": 2, "none": 2}
    told = "Quantized copies of 1 runs were measured for some of the seeds with that size and N only"
    assert told in printed(pd.DataFrame(rows))
    assert told not in printed(pd.DataFrame(rows[:-1]))


def test_unfinished_runs_and_files_are_left_out(tmp_path):
    store(tmp_path, [make_row("done")])
    (tmp_path / "unfinished").mkdir()
    (tmp_path / "unfinished" / "metrics.jsonl").write_text("{}")
    (tmp_path / "results.csv").write_text("old")
    assert list(collect(tmp_path)["run_id"]) == ["done"]


def configured(lr=0.1, embedding=True, schemes=(), taken_over=True):
    measure = {"quantize": schemes, "quantize_embedding": embedding, "eval_people": 50_000}
    return {"training": {"lr": lr}, "measure": measure}, taken_over


def test_a_training_that_was_measured_again_has_one_line(tmp_path):
    """On another machine by a run whose name comes first: the numbers of the run that trained stand."""
    rows = [make_row("b"), make_row("b", "int8", bits_per_param=1.6), make_row("a", bits_per_param=1.6499)]
    rows += [make_row("a", "int4", bits_per_param=1.1), make_row("c"), make_row("c", "int2")]
    runs = {"a": configured(schemes=["int4"]), "b": configured(taken_over=False), "c": configured(schemes=["int2"])}
    store(tmp_path, [row | {"people_measured": 1000} for row in rows], of=runs)
    frame = collect(tmp_path)
    assert list(frame["run_id"]) == ["b"] * 4
    assert list(frame["quantization"]) == ["none", *(f"rtn-{name}+embedding" for name in ("int8", "int4", "int2"))]
    assert list(frame["bits_per_param"]) == [1.65, 1.6, 1.1, 1.65]
    assert re.search(r"1\.65 .* 1\.60 +1\.10 +1\.65", printed(frame))


def test_schemes_have_their_full_names_in_old_records_too(tmp_path):
    """They said apart from the scheme whether the embedding was quantized."""
    rows = [make_row("a"), make_row("a", "int8"), make_row("b"), make_row("b", "int8"), make_row("c", "gptq-int4")]
    runs = {"a": configured(taken_over=False), "b": configured(embedding=False), "c": configured()}
    store(tmp_path, [row | {"people_measured": 1000} for row in rows], of=runs)
    frame = collect(tmp_path)
    assert list(frame["run_id"]) == ["a"] * 4
    assert list(frame["quantization"]) == ["none", "rtn-int8", "rtn-int8+embedding", "gptq-int4"]


@pytest.mark.parametrize("other", [configured(lr=0.2), 900], ids=["lr", "N"])
def test_what_differs_in_more_than_schemes_is_kept_apart(tmp_path, other):
    rows = [make_row("a", people_measured=1000), make_row("a", "int8", people_measured=1000)]
    people, other = (other, configured()) if isinstance(other, int) else (1000, other)
    rows += [make_row("b", people_measured=people), make_row("b", "int8", people_measured=people)]
    store(tmp_path, rows, of={"a": configured(), "b": other})
    frame = collect(tmp_path)
    assert list(frame["run_id"]) == ["a", "a", "b", "b"]


def test_columns_come_in_order_and_further_keys_after_them(tmp_path):
    store(tmp_path, [make_row("a", zebra=1), make_row("b", params=10**6, apple=2, zebra=3)])
    frame = collect(tmp_path)
    assert tuple(frame.columns) == (*COLUMNS, "zebra", "apple")
    assert list(frame["zebra"]) == [1, 3]
    assert frame["apple"].isna().tolist() == [True, False]


def test_rows_are_sorted_by_what_was_trained_whatever_the_folders_are_called(tmp_path):
    in_order = [
        {"dataset": "biod", "exposures": 100.0},
        {"exposures": 1000.0, "params": 9},
        {"exposures": 1000.0, "params": 10, "people": 500},
        {"exposures": 1000.0, "params": 10, "people": 2000, "seed": 2},
        {"exposures": 1000.0, "params": 10, "people": 2000, "seed": 10},
        {"exposures": 1000.0, "junk": "1/2", "params": 9},
        {"exposures": 1000.0, "junk": "7/8", "params": 9, "recipe": "fast"},
        {"exposures": 1000.0, "junk": "7/8", "params": 9, "recipe": "paper"},
        {"dataset": "bios", "exposures": 1.0},
    ]
    names = [f"{number:03}" for number in range(len(in_order))]
    random.Random(0).shuffle(names)
    schemes = ["int4", "none", "int8"]
    changes = dict(zip(names, in_order, strict=True))
    store(tmp_path, [make_row(name, scheme, **row) for name, row in changes.items() for scheme in schemes])
    frame = collect(tmp_path)
    assert list(frame["run_id"]) == [name for name in names for _ in schemes]
    assert list(frame["quantization"]) == ["none", "rtn-int8+embedding", "rtn-int4+embedding"] * len(names)


def test_quantizations_go_from_exact_to_coarse():
    in_order = ["none", "rtn-bf16", "gptq-int8", "rtn-fp8", "rtn-int8", "rtn-int4", "rtn-int4+embedding"]
    in_order += ["rtn-int4-g32", "rtn-int4-g64", "m7:A-int2"]
    mixed = in_order[::2] + in_order[1::2]
    assert sorted(mixed, key=by_precision) == in_order


def test_whole_numbers_stay_whole_beside_missing_ones(tmp_path):
    store(tmp_path, [make_row("a", tokens=2**53 + 1, flops=10**21), make_row("b", seed=1)])
    write_csv(collect(tmp_path), tmp_path / "results.csv")
    frame = pd.read_csv(tmp_path / "results.csv", dtype=str)
    assert frame["tokens"][0] == "9007199254740993"
    assert float(frame["flops"][0]) == 1e21
    assert frame["tokens"].isna().tolist() == [False, True]
    assert frame["junk"].tolist() == ["0", "0"]


@given(value=st.floats(allow_nan=False, allow_infinity=False))
def test_floats_keep_all_digits(tmp_path_factory, value):
    path = tmp_path_factory.mktemp("csv") / "results.csv"
    write_csv(pd.DataFrame({"bits": [value, 0.5]}), path)
    assert pd.read_csv(path, dtype=str)["bits"].map(float)[0] == value


def test_a_table_is_replaced_whole_and_stays_the_same(tmp_path):
    store(tmp_path, [make_row("b"), make_row("a")])
    path = tmp_path / "results.csv"
    path.write_text("old")
    write_csv(collect(tmp_path), path)
    first = path.read_bytes()
    write_csv(collect(tmp_path), path)
    assert path.read_bytes() == first
    assert sorted(os.listdir(tmp_path)) == ["a", "b", "results.csv"]


def test_no_folder_and_a_broken_record_are_named(tmp_path):
    with pytest.raises(ValueError, match=r"^out = '.*nowhere': no such folder$"):
        collect(tmp_path / "nowhere")
    for number, text in enumerate(('{"rows": [', "{}", "[]", '{"rows": [1]}')):
        folder = tmp_path / f"store{number}" / "run"
        folder.mkdir(parents=True)
        (folder / "result.json").write_text(text)
        with pytest.raises(ValueError, match=r"run/result\.json: not the result of a run"):
            collect(folder.parent)


def test_thousands_of_runs_take_seconds(tmp_path):
    text = json.dumps({"run_id": "x", "config": {}, "rows": [make_row("x"), make_row("x", "int8")]})
    for number in range(3000):
        folder = tmp_path / str(number)
        folder.mkdir()
        (folder / "result.json").write_text(text)
    start = time.perf_counter()
    assert len(collect(tmp_path)) == 6000
    assert time.perf_counter() - start < 10


def test_every_run_has_one_line_with_its_quantized_capacities(tmp_path):
    rows = [make_row(name, people=N) for name, N in (("a", 500), ("b", 1000))]
    rows += [make_row("a", "int8", people=500, bits_per_param=1.64), make_row("b", "int4", bits_per_param=0.55)]
    store(tmp_path, rows)
    lines = printed(collect(tmp_path)).splitlines()
    assert [" ".join(line.split()) for line in lines if "2x48" in line] == [
        "2x48 60.0K 500 1,000 6.91 0.30 1.65 1.60–1.70 1.74 97% 1.64 -",
        "2x48 60.0K 1,000 1,000 6.91 0.30 1.65 1.60–1.70 1.74 97% - 0.55",
    ]
    assert "Data bioD, no junk, recipe paper." in lines[-3]
    assert lines[-2].startswith("R = bits per parameter")
    assert lines[-1].startswith("rtn: rounded to nearest")


def test_columns_appear_where_runs_differ_and_fit_a_terminal(tmp_path):
    differ = {"dataset": "bios", "junk": "7/8", "recipe": "fast", "seed": 1, "people": 20_000_000}
    schemes = ("none", "int8", "int4")
    rows = [make_row("a", scheme) for scheme in schemes] + [make_row("b", scheme, **differ) for scheme in schemes]
    store(tmp_path, rows)
    text = printed(collect(tmp_path))
    assert all(word in text for word in ("bioS", "7/8", "fast", "20M", "seed"))
    assert max(map(len, text.splitlines())) <= 100
    assert "…" not in text
    assert "recipe paper" not in text


def test_runs_that_look_alike_are_told_apart_by_their_folders(tmp_path):
    store(tmp_path, [make_row("folder-a"), make_row("folder-b"), make_row("c", people=7), make_row("d", people=7)])
    text = printed(collect(tmp_path))
    assert "folder-b" in text
    assert "4 runs differ from another one only in options" in text


def test_runs_of_several_seeds_do_not_look_alike(tmp_path):
    store(tmp_path, [make_row("a"), make_row("b", seed=1), make_row("c", people=7)])
    assert "differ" not in printed(collect(tmp_path))


def test_missing_numbers_and_no_runs_are_printed_too(tmp_path):
    missing = {"bits_per_param_low": None, "qa_accuracy": None, "loss_value": None, "seed": None}
    store(tmp_path, [make_row("a", **missing, question_accuracy_held_out=0.5)])
    assert " - " in printed(collect(tmp_path))
    assert "asked" in printed(collect(tmp_path))
    assert "No finished run" in printed(collect(tmp_path).iloc[:0])


def test_a_narrow_terminal_gets_every_digit(tmp_path):
    store(tmp_path, [make_row("a", scheme) for scheme in ("none", "int8", "int8-g16", "int4", "int4-g16", "int2")])
    frame = collect(tmp_path)
    narrow, wide = printed(frame, width=40), printed(frame, width=300)
    assert "…" not in narrow
    words = [text.splitlines()[6].split() for text in (narrow, wide)]
    assert len(words[0]) > 10
    assert words[0] == words[1]


def test_short_numbers():
    assert [short_number(n, 3) for n in (7, 950, 59_952, 123_456, 999_900, 1.5e6, 2e10, 3e14)] == [
        "7", "950", "60.0K", "123K", "1.00M", "1.50M", "20.0B", "300T",
    ]  # fmt: skip
    assert [short_number(n) for n in (0.05, 10_000, 300_000, 1e6, 2.5e6)] == ["0.05", "10K", "300K", "1M", "2.5M"]


def test_the_program_rebuilds_table_and_plots(tmp_path, capsys):
    store(tmp_path, [make_row("a"), make_row("a", "int8")])
    assert main([str(tmp_path)]) == 0
    assert (tmp_path / "results.csv").read_text().count("\n") == 3
    assert (tmp_path / "plots" / "capacity.png").stat().st_size > 0
    assert "1.65" in capsys.readouterr().out


@pytest.mark.parametrize("name", ["nowhere", "empty"])
def test_the_program_says_in_one_line_that_there_are_no_runs(tmp_path, name):
    (tmp_path / "empty").mkdir()
    command = [sys.executable, "-m", "capacity.table", str(tmp_path / name)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert done.stdout == ""
    assert done.stderr.startswith(f"error: out = '{tmp_path / name}'")
    assert done.stderr.count("\n") == 1


def test_the_guide_explains_every_column():
    guide = (ROOT / "docs" / "guide.md").read_text()
    section = guide.partition("### The columns of results.csv")[2].partition("\n## ")[0]
    explained = re.findall(r"`(\w+\*?)`", section)
    published = [pd.read_csv(file, nrows=0).columns for file in (ROOT / "results").glob("*/results.csv")]
    for column in {name for names in (COLUMNS, *published) for name in names}:
        assert any(fnmatch(column, name) for name in explained), column
