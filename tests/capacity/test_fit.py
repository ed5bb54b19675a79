"""`capacity fit`: tables of anybody's, options, mistakes in one line each."""

import json

import numpy as np
import pandas as pd
import pytest

from basis.flags import UserError
from capacity.fit import main
from capacity.laws.options import with_columns
from capacity.store.tables import read_table
from tests.capacity.laws.planted import chinchilla_table, power_table


@pytest.fixture
def table(tmp_path):
    path = tmp_path / "runs.csv"
    power_table(noise=0.01).to_csv(path, index=False)
    return path


def fitted(arguments, capsys):
    assert main([*map(str, arguments), "--json"]) == 0
    return json.loads(capsys.readouterr().out)


def test_it_prints_parameters_intervals_and_the_status(table, capsys):
    assert main([str(table), "--law", "power", "--draws", "50", "--at", "flops=1e23", "loss=2.0"]) == 0
    told = capsys.readouterr().out
    for part in ("power: loss = a·flops^b + c", "13 points", "  b ", "intervals  95%", "status     converged"):
        assert part in told
    assert "measured 2 (converged; extrapolating by a factor of 100)" in told


def test_json_has_what_the_text_has(table, capsys):
    (found,) = fitted([table, "--law", "power", "--draws", 50, "--at", "flops=1e23"], capsys)["fits"]
    assert found["parameters"]["b"] == pytest.approx(-0.15, abs=0.03)
    low, high = found["intervals"]["b"]
    assert low < found["parameters"]["b"] < high
    assert len(found["residuals"]) == 13
    (point,) = found["predictions"]
    assert point["times_beyond"] == pytest.approx(100)
    assert point["run"][0] < point["law"][0] < point["loss"]


def test_a_column_that_is_missing_follows_from_the_others(tmp_path, capsys):
    frame = chinchilla_table()
    frame.rename(columns={"loss": "nll", "params": "N"}).drop(columns="flops").to_parquet(tmp_path / "runs.parquet")
    named = ["--loss", "nll", "--params", "N"]
    told = fitted([tmp_path / "runs.parquet", "--law", "chinchilla-2", *named, "--draws", 0], capsys)
    assert told["notes"] == ["flops: 6·params·tokens, as the table has no such column"]
    assert told["fits"][0]["parameters"]["a"] == pytest.approx(0.45, abs=0.03)
    without, notes = with_columns(frame.drop(columns="tokens"), {}, ("params", "tokens", "loss"))
    np.testing.assert_allclose(without["tokens"], frame["tokens"])
    assert notes == ["tokens: flops/(6·params), as the table has no such column"]


def test_groups_are_fitted_apart(tmp_path, capsys):
    one, other = power_table(b=-0.15), power_table(b=-0.2, a=8000.0)
    pd.concat([one.assign(data="code"), other.assign(data="text")]).to_csv(tmp_path / "runs.csv", index=False)
    arguments = [tmp_path / "runs.csv", "--law", "power", "--by", "data", "--draws", 0]
    found = fitted(arguments, capsys)["fits"]
    assert [fit["by"] for fit in found] == [{"data": "code"}, {"data": "text"}]
    assert [round(fit["parameters"]["b"], 3) for fit in found] == [-0.15, -0.2]


def test_options_of_a_law(table, capsys):
    (found,) = fitted([table, "--law", "power", "--draws", 0, "--options", "floor=false"], capsys)["fits"]
    assert found["formula"] == "loss = a·flops^b"
    assert set(found["parameters"]) == {"a", "b"}


MISTAKES = [
    (["--law", "pover"], "law: 'pover' is not allowed; must be power, .*; did you mean power?"),
    (["--law", "kaplan-nd"], "params: is not a column; name it with --params COLUMN. There are flops, loss"),
    (["--law", "critical-batch"], "batch: is not a column; name it with --column batch=COLUMN. There are flops, loss"),
    (["--law", "power", "--loss", "nll"], "loss: nll is not a column; the table has flops, loss"),
    (["--law", "power", "--by", "size"], "by: size is not a column; the table has flops, loss"),
    (
        ["--law", "power", "--options", "x=people"],
        "options: x=people is not allowed; must be 'params', 'tokens' or 'flops'",
    ),
    (["--law", "power", "--options", "roof=1"], "options: roof is not an option of law power; must be x, floor"),
    (["--law", "power", "--options", "floor"], "options: 'floor' is not allowed; must be NAME=VALUE"),
    (["--law", "power", "--at", "flops=0"], "at: flops=0 is not allowed; must be a number greater than 0"),
    (["--law", "power", "--at", "size=3"], "at: size is not allowed; law power has flops, loss"),
    (["--law", "power", "--draws", "-1"], "draws: -1 is not allowed; must be 0 to 100,000"),
]


@pytest.mark.parametrize(("arguments", "message"), MISTAKES, ids=[" ".join(words) for words, _ in MISTAKES])
def test_a_mistake_is_one_line_and_nothing_is_written(table, tmp_path, arguments, message):
    plots = tmp_path / "plots"
    draws = [] if "--draws" in arguments else ["--draws", "0"]
    with pytest.raises(UserError, match=f"^{message.replace('?', '.').replace('(', '.')}$") as told:
        main([str(table), *arguments, *draws, "--figure", str(plots)])
    assert len(told.value.lines) == 1
    assert not plots.exists()


@pytest.mark.parametrize("value", ["0", "-1", "nan", "inf", "two"])
def test_a_number_that_cannot_be_is_named_with_its_row(tmp_path, value):
    text = power_table().astype(object)
    text.loc[4, "loss"] = value
    text.to_csv(tmp_path / "runs.csv", index=False)
    with pytest.raises(UserError, match=r"^loss: \S+ in row 5 is not allowed; must be a number greater than 0$"):
        main([str(tmp_path / "runs.csv"), "--law", "power"])


def test_what_is_no_table_is_refused(tmp_path):
    (tmp_path / "empty.csv").write_bytes(b"")
    (tmp_path / "noise.parquet").write_bytes(b"PAR1 and nothing more")
    mistakes = {"gone.csv": "there; must be a file", "empty.csv": "neither CSV", "noise.parquet": "neither CSV"}
    for name, message in mistakes.items():
        with pytest.raises(ValueError, match=rf"^table: \S*{name} is (not )?{message}"):
            read_table(tmp_path / name)
    with pytest.raises(ValueError, match="has no finished run"):
        read_table(tmp_path)


def test_figures_of_a_law_are_written(table, tmp_path, capsys):
    out = tmp_path / "plots"
    arguments = [str(table), "--law", "power", "--draws", "30", "--figure", str(out), "--at", "flops=1e22", "loss=2.2"]
    assert main(arguments) == 0
    names = {"power-loss", "power-residuals", "power-held_out"}
    assert {path.name for path in out.iterdir()} == {f"{name}.{end}" for name in names for end in ("png", "svg")}
    assert f"Wrote 6 figures to {out}." in capsys.readouterr().out
