"""One reader over any number of stores: which runs, in which order, with which digits."""

import json
import os
import random
import re
from fractions import Fraction

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

import capacity
from capacity.laws.groups import differing
from capacity.store.options import OPTIONS, deciding
from capacity.store.records import COLUMNS, by_precision, load, scheme_name, write_csv
from tests.capacity.records import make_config, make_record, make_row, write_store


def test_it_is_public():
    assert capacity.load is load
    with pytest.raises(AttributeError, match="no attribute 'collect'"):
        _ = capacity.collect


def test_unfinished_runs_and_files_are_left_out(tmp_path):
    write_store(tmp_path, [make_row("done")])
    (tmp_path / "unfinished").mkdir()
    (tmp_path / "unfinished" / "metrics.jsonl").write_text("{}")
    (tmp_path / "results.csv").write_text("old")
    assert list(load(tmp_path)["run_id"]) == ["done"]


def test_several_folders_make_one_table_in_which_each_run_counts_once(tmp_path):
    first, second = make_row("a", bits_per_param=1.0), make_row("b", people=7)
    write_store(tmp_path / "A", [first])
    write_store(tmp_path / "B", [first | {"bits_per_param": 2.0}, second])
    for folders, R in ((("A", "B"), 1.0), (("B", "A"), 2.0)):
        frame = load(*(str(tmp_path / name) for name in folders))
        assert dict(zip(frame["run_id"], frame["bits_per_param"], strict=True)) == {"a": R, "b": 1.65}
    assert load().empty


def test_a_training_that_was_measured_again_has_one_line(tmp_path):
    """On another machine by a run whose name comes first: the numbers of the run that trained stand."""
    rows = [make_row("b"), make_row("b", "int8", bits_per_param=1.6), make_row("a", bits_per_param=1.6499)]
    rows += [make_row("a", "int4", bits_per_param=1.1), make_row("c"), make_row("c", "int2")]
    of = {"a": {"taken_over": True}, "b": {}, "c": {"taken_over": True}}
    write_store(tmp_path, [row | {"people_measured": 1000} for row in rows], **of)
    frame = load(tmp_path)
    assert list(frame["run_id"]) == ["b"] * 4
    assert list(frame["quantization"]) == ["none", "rtn-int8+embedding", "rtn-int4+embedding", "rtn-int2+embedding"]
    assert list(frame["bits_per_param"]) == [1.65, 1.6, 1.1, 1.65]


def test_copies_with_and_without_the_embedding_are_two_schemes_of_one_training(tmp_path):
    rows = [make_row("a"), make_row("a", "int8"), make_row("b"), make_row("b", "int8", bits_per_param=1.6)]
    write_store(tmp_path, rows, b={"config": make_config(rows[0], quantize_embedding=False)})
    frame = load(tmp_path)
    assert frame[["run_id", "quantization", "bits_per_param"]].to_numpy().tolist() == [
        ["a", "none", 1.65],
        ["a", "rtn-int8", 1.6],
        ["a", "rtn-int8+embedding", 1.65],
    ]


@pytest.mark.parametrize("other", [{"training": {"lr": 0.2}}, 900], ids=["lr", "N"])
def test_what_differs_in_more_than_schemes_is_kept_apart(tmp_path, other):
    people, options = (other, {}) if isinstance(other, int) else (1000, other)
    rows = [make_row(name, scheme, people_measured=1000) for name in "ab" for scheme in ("none", "int8")]
    rows = [row | {"people_measured": people} if row["run_id"] == "b" else row for row in rows]
    write_store(tmp_path, rows, b={"config": make_config(rows[0], **options)})
    frame = load(tmp_path)
    assert sorted(frame["run_id"]) == ["a", "a", "b", "b"]
    assert differing(frame, deciding(frame)) == (["people_measured"] if isinstance(other, int) else ["lr"])


@given(changes=st.lists(st.tuples(st.sampled_from([0.1, 0.2]), st.integers(0, 2)), min_size=1, max_size=9))
def test_no_two_runs_of_a_table_are_alike_in_all_options(tmp_path_factory, changes):
    out = tmp_path_factory.mktemp("out")
    for number, (lr, seed) in enumerate(changes):
        row = make_row(str(number), seed=seed)
        write_store(out, [row], **{str(number): {"config": make_config(row, {"lr": lr})}})
    frame = load(out)
    assert len(frame) == len(set(changes))
    assert not frame.duplicated(["lr", "seed"]).any()


def test_tokenizers_of_one_name_are_told_apart(tmp_path):
    """Two seeds between which the content of a folder changed are not two seeds of one kind."""
    for seed, tokens in enumerate(["aaaaaaaaaa", "aaaaaaaaaa", "bbbbbbbbbb", None]):
        row = make_row(str(seed), seed=seed, dataset="bios")
        config = make_config(row)
        config["data"]["tokenizer"] = "mine" if seed < 3 else "bpe"
        record = make_record([row], config) | ({"fingerprint": {"tokens": tokens}} if tokens else {})
        (tmp_path / str(seed)).mkdir()
        (tmp_path / str(seed) / "result.json").write_text(json.dumps(record))
        names = load(tmp_path).set_index("run_id")["tokenizer"].to_dict()
        if seed == 1:
            assert names == {"0": "mine", "1": "mine"}
    assert names == {"0": "mine (aaaaaaaa)", "1": "mine (aaaaaaaa)", "2": "mine (bbbbbbbb)", "3": "bpe"}
    assert "tokenizer" in differing(load(tmp_path), deciding(load(tmp_path)))


def test_a_row_has_every_option_that_decides_it_by_its_flat_name(tmp_path):
    row = make_row("a", dataset="bios", vocab=69)
    config = make_config(row, {"optimizer": "muon", "lr": 0.01, "batch": 32})
    config["data"] |= {"vocab": 1024, "pools": {"first_names": 40}, "junk_people": None, "junk": str(Fraction(7, 8))}
    write_store(tmp_path, [row | {"junk": "7/8"}], a={"config": config})
    (found,) = load(tmp_path).to_dict("records")
    expected = {"optimizer": "muon", "lr": 0.01, "batch": 32, "pools.first_names": 40, "junk": "7/8", "vocab": 1024}
    assert expected.items() <= found.items()
    assert pd.isna(found["junk_people"])
    assert found["tokens_in_use"] == 69  # of which `vocab` is the most that is allowed
    assert not found.keys() & {"format", "quantize", "eval_people"}
    assert expected.keys() <= set(OPTIONS)


def test_columns_come_in_order_then_options_then_further_keys(tmp_path):
    rows = [make_row("a", zebra=1), make_row("b", params=10**6, apple=2, zebra=3)]
    configs = {
        name: {"config": make_config(make_row(name, seed=n), {"lr": 0.1, "depth": {"of": n}})}
        for n, name in enumerate("ab")
    }
    write_store(tmp_path, rows, **configs)
    frame = load(tmp_path)
    options = [name for name in deciding(frame) if name not in COLUMNS]
    assert tuple(frame.columns) == (*COLUMNS, *options, "zebra", "apple")
    assert {"lr", "depth.of"} <= set(options)
    assert list(frame["zebra"]) == [1, 3]
    assert differing(frame, deciding(frame)) == ["depth.of"]  # of something of a user's own
    assert frame["apple"].isna().tolist() == [True, False]


def test_rows_are_sorted_by_what_was_trained_whatever_the_folders_are_called(tmp_path):
    in_order = [
        {"dataset": "biod", "exposures": 100.0},
        {"exposures": 1000.0, "params": 9},
        {"exposures": 1000.0, "params": 10, "people": 500},
        {"exposures": 1000.0, "params": 10, "people": 2000, "lr": 0.001, "seed": 2},
        {"exposures": 1000.0, "params": 10, "people": 2000, "lr": 0.01, "seed": 2},
        {"exposures": 1000.0, "params": 10, "people": 2000, "lr": 0.01, "seed": 10},
        {"exposures": 1000.0, "junk": "1/2", "params": 9},
        {"exposures": 1000.0, "junk": "7/8", "params": 9, "recipe": "fast"},
        {"exposures": 1000.0, "junk": "7/8", "params": 9, "recipe": "paper"},
        {"dataset": "bios", "exposures": 1.0},
    ]
    names = [f"{number:03}" for number in range(len(in_order))]
    random.Random(0).shuffle(names)
    schemes = ["int4", "none", "int8"]
    for name, changes in zip(names, in_order, strict=True):
        rows = [make_row(name, scheme, **changes) for scheme in schemes]
        training = {"lr": changes["lr"]} if "lr" in changes else {"batch": changes.get("params", 0)}
        write_store(tmp_path, rows, **{name: {"config": make_config(rows[0], training)}})
    frame = load(tmp_path)
    assert list(frame["run_id"]) == [name for name in names for _ in schemes]
    assert list(frame["quantization"]) == ["none", "rtn-int8+embedding", "rtn-int4+embedding"] * len(names)


def test_quantizations_go_from_exact_to_coarse():
    in_order = ["none", "rtn-bf16", "gptq-int8", "rtn-fp8", "rtn-int8", "rtn-int4", "rtn-int4+embedding"]
    in_order += ["rtn-int4-g32", "rtn-int4-g64", "m7:A-int2"]
    mixed = in_order[::2] + in_order[1::2]
    assert sorted(mixed, key=by_precision) == in_order


@pytest.mark.parametrize(
    ("written", "embedding", "name"),
    [
        ("none", True, "none"),
        ("int4", True, "rtn-int4+embedding"),
        ("int8-g16", False, "rtn-int8-g16"),
        ("bf16", True, "rtn-bf16+embedding"),
        ("gptq-int4", True, "gptq-int4"),
        ("rtn-int4", True, "rtn-int4"),
    ],
)
def test_bare_schemes_get_their_full_names(written, embedding, name):
    assert scheme_name(written, embedding) == name


def test_whole_numbers_stay_whole_beside_missing_ones(tmp_path):
    write_store(tmp_path, [make_row("a", tokens=2**53 + 1, flops=10**21), make_row("b", seed=1)])
    write_csv(load(tmp_path), tmp_path / "results.csv")
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
    write_store(tmp_path, [make_row("b", seed=1), make_row("a")])
    path = tmp_path / "results.csv"
    path.write_text("old")
    write_csv(load(tmp_path), path)
    first = path.read_bytes()
    write_csv(load(tmp_path), path)
    assert path.read_bytes() == first
    assert sorted(os.listdir(tmp_path)) == ["a", "b", "results.csv"]


def test_no_folder_and_a_broken_record_are_named(tmp_path):
    with pytest.raises(ValueError, match=r"^folder: .*nowhere is not there; must be the folder of a sweep"):
        load(tmp_path / "nowhere")
    for number, text in enumerate(('{"rows": [', "{}", "[]", '{"rows": [1]}', '{"config": {}, "rows": []}')):
        folder = tmp_path / f"store{number}" / "run"
        folder.mkdir(parents=True)
        (folder / "result.json").write_text(text)
        write_store(folder.parent, [make_row("good")])
        lines = []
        assert list(load(folder.parent, on_bad=lines.append)["run_id"]) == ["good"]
        assert len(lines) == 1
        assert re.match(r".*run/result\.json: not the result of a run \(.+\); delete it", lines[0])


def test_many_runs_are_read(tmp_path):
    row = make_row("x")
    text = json.dumps(make_record([row, make_row("x", "int8")], make_config(row, {"lr": 987654})))
    for number in range(300):
        folder = tmp_path / str(number)
        folder.mkdir()
        (folder / "result.json").write_text(text.replace("987654", str(number)))
    assert len(load(tmp_path)) == 600
