"""Published results: two small files that say what the runs said."""

import json

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from capacity.report.figures.learning_curves import draw
from capacity.report.figures.runs import Runs
from capacity.store.parquet import LOSSES, read_curves, read_records, record_of, thin, write_curves, write_records
from capacity.store.records import load
from capacity.store.sources import load_curves, records_in
from tests.capacity.records import make_config, make_record, make_row, write_store

NUMBERS = st.none() | st.integers(-(2**62), 2**62) | st.floats(allow_nan=False)
ROWS = st.lists(st.dictionaries(st.sampled_from(["bits", "seconds", "tokens", "new.name"]), NUMBERS), min_size=1)


def without_null(record):
    rows = [{name: value for name, value in row.items() if value is not None} for row in record["rows"]]
    return record | {"rows": rows}


@given(st.dictionaries(st.text("abc-0", min_size=1), ROWS, min_size=1, max_size=4))
def test_records_come_back_as_they_were(tmp_path_factory, runs):
    path = tmp_path_factory.mktemp("out") / "records.parquet"
    records = [
        make_record(
            [{"run_id": name, "quantization": str(place)} | row for place, row in enumerate(rows)], {"a": [1, {}]}
        )
        for name, rows in runs.items()
    ]
    write_records(records[::-1], path)
    expected = sorted(map(without_null, records), key=lambda record: record["run_id"])
    for found, record in zip(map(record_of, read_records(path).values()), expected, strict=True):
        assert {**found, "rows": 0} == {**record, "rows": 0}
        for row, written in zip(found["rows"], record["rows"], strict=True):
            assert row.keys() == written.keys()
            assert all(value == float(written[name]) for name, value in row.items() if isinstance(value, float))
            assert all(value == written[name] for name, value in row.items() if not isinstance(value, float))


def test_a_table_of_published_runs_is_that_of_their_stores(tmp_path):
    rows = [make_row("a", flops=10**21, zebra=1), make_row("a", "int8"), make_row("b", seed=1, apple=0.5)]
    write_store(tmp_path / "store", rows, b={"taken_over": True, "config": make_config(rows[2], {"lr": 0.1})})
    write_records([record for _, record in records_in(tmp_path / "store")], tmp_path / "records.parquet")
    pd.testing.assert_frame_equal(load(tmp_path), load(tmp_path / "store"))


def test_what_verifies_a_run_is_published_if_its_result_has_it(tmp_path):
    hashes = {"fingerprint": {"tokens": "ab"}, "files": {"model/model.safetensors": "cd"}, "records_lacking": 0}
    records = [make_record([make_row("a"), make_row("a", "int8")]) | hashes, make_record([make_row("b")])]
    write_records(records, tmp_path / "records.parquet")
    assert [record for _, record in records_in(tmp_path)] == [without_null(record) for record in records]


@pytest.mark.parametrize("config", [5, None, "[", "5"])
def test_a_configuration_that_is_none_costs_a_line(tmp_path, config):
    frame = pd.DataFrame([{"run_id": "a", "provenance": "{}", "config": config}, {"run_id": "b", "config": config}])
    frame.to_parquet(tmp_path / "records.parquet")
    lines = []
    assert list(records_in(tmp_path, lines.append)) == []
    assert len(lines) == 2


def test_learning_curves_have_names_fit_to_print_and_no_other_runs_id(tmp_path):
    write_store(tmp_path, [make_row("a")])
    line = {"kind": "recall", "exposures": 1, "bits_per_param": 0.5, "run_id": 7}
    strange = {"\x1b[31mred": 1, "[/red]": 2, "x" * 9999: 3, "\ud800": 4, "deep": [[]], "text": "a", "large": 10**50}
    (tmp_path / "a" / "metrics.jsonl").write_text(json.dumps(line | strange) + "\n")
    curves = load_curves(tmp_path)
    assert list(curves["run_id"]) == ["a"]
    expected = ["run_id", "exposures", "bits_per_param", "qa_accuracy", "\\x1b[31mred", "[/red]"]
    assert list(curves)[:6] == expected
    assert all(name.isprintable() and len(name) < 300 for name in curves)
    assert not {"deep", "text", "large"} & set(curves)
    assert draw(Runs.of(load(tmp_path), [tmp_path]))


def test_equal_records_give_equal_bytes(tmp_path):
    for name in ("one", "two"):
        write_records([make_record([make_row("a")])], tmp_path / name)
    assert (tmp_path / "one").read_bytes() == (tmp_path / "two").read_bytes()


@pytest.mark.parametrize("content", [b"", b"text", b"PAR1"])
def test_another_file_costs_a_line(tmp_path, content):
    for name in ("records.parquet", "curves.parquet"):
        (tmp_path / name).write_bytes(content)
    lines = []
    assert load(tmp_path, on_bad=lines.append).empty
    assert [line.partition(": no records of runs")[0] for line in lines] == [str(tmp_path / "records.parquet")]
    assert load_curves(tmp_path).empty


@given(st.integers(1, 1000))
def test_thinned_losses_are_means_of_parts_of_nearly_one_length(number):
    loss = np.random.default_rng(number).normal(size=number)
    losses = pd.DataFrame({"run_id": "a", "exposures": np.arange(number) + 1.0, "loss": loss})
    thinned = thin(losses)
    assert len(thinned) == min(number, LOSSES)
    ends = thinned["exposures"].astype(int).tolist()
    assert ends[-1] == number
    parts = np.split(loss, ends[:-1])
    assert thinned["loss"].tolist() == pytest.approx([part.mean() for part in parts])
    assert max(map(len, parts)) - min(map(len, parts)) <= 1


def test_curves_come_back_in_single_precision(tmp_path):
    lines = [{"kind": "train", "exposures": n / 2, "loss": 3.0 / n, "lr": 1.0} for n in range(1, 301)]
    lines += [
        {"kind": "recall", "exposures": n, "bits_per_param": n / 3, "qa_accuracy": 0.5, "seconds": 1} for n in (1, 2)
    ]
    lines += [{"kind": "recall", "exposures": 2, "bits_per_param": 0.9, "qa_accuracy": 0.25}]  # measured again
    write_store(tmp_path / "store", [make_row("a"), make_row("b", seed=1)])
    (tmp_path / "store" / "a" / "metrics.jsonl").write_text(
        "\n".join([*map(json.dumps, lines), '{"kind": "recall", "expo'])
    )
    recall, train = load_curves(tmp_path / "store"), load_curves(tmp_path / "store", kind="train")
    assert recall[["run_id", "exposures", "bits_per_param"]].to_numpy().tolist() == [["a", 1, 1 / 3], ["a", 2, 0.9]]
    assert len(train) == 300
    write_curves(recall, train, tmp_path / "curves.parquet")
    again, losses = load_curves(tmp_path), load_curves(tmp_path, kind="train")
    assert list(again) == ["run_id", "exposures", "bits_per_param", "qa_accuracy"]
    np.testing.assert_allclose(again[list(again)[1:]], recall[list(again)[1:]], rtol=1e-7)
    assert len(losses) == LOSSES
    assert losses["loss"].mean() == pytest.approx(train["loss"].mean())
    assert load_curves(tmp_path, runs=["b"]).empty
    assert {line["kind"] for line in read_curves(tmp_path / "curves.parquet")} == {"train", "recall"}
