"""`python -m biogen`: writes a data set, or says what is wrong and writes nothing."""

import re
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest
import yaml

from basis.flags import UserError
from biogen.__main__ import main
from biogen.config import DataConfig

FAST = ["--tokenizer", "word", "--templates", "12", "--pools.last-names", "20"]


def write(out: Path, *flags: str) -> pd.DataFrame:
    assert main([*FAST, *flags, "--out", str(out)]) == 0
    return pd.read_parquet(out / "data.parquet")


def mistakes(*flags: str) -> list[str]:
    with pytest.raises(UserError) as error:
        main(list(flags))
    return error.value.lines


def test_flags_reach_the_data(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    data = write(tmp_path, "--people", "12", "--seed", "3", "--texts", "2")
    assert list(data.person) == [*range(12)] * 2
    assert data.last_name.nunique() <= 20
    assert capsys.readouterr().out == f"24 biographies of 12 people: {tmp_path}\n"
    stored = yaml.safe_load((tmp_path / "config.yaml").read_text())
    assert stored["texts"] == 2
    assert DataConfig(**stored["data"]).seed == 3


def test_a_data_sets_own_config_makes_it_again(tmp_path: Path):
    write(tmp_path / "first", "--people", "12", "--texts", "2", "--junk", "1/3", "--variant", "multi3")
    assert main(["--config", str(tmp_path / "first" / "config.yaml"), "--out", str(tmp_path / "second")]) == 0
    for file in ("data.parquet", "junk.parquet", "config.yaml", "tokenizer/tokenizer.json"):
        assert (tmp_path / "first" / file).read_bytes() == (tmp_path / "second" / file).read_bytes()


def test_the_texts_that_are_measured_are_written_again_from_their_config(tmp_path: Path):
    first = write(tmp_path / "first", "--people", "12", "--for", "evaluation")
    assert len(first) == 12
    assert main(["--config", str(tmp_path / "first" / "config.yaml"), "--out", str(tmp_path / "second")]) == 0
    assert pd.read_parquet(tmp_path / "second" / "data.parquet").text.tolist() == first.text.tolist()
    assert write(tmp_path / "third", "--people", "12").text.tolist() != first.text.tolist()


def test_a_runs_config_makes_its_data(tmp_path: Path):
    config = DataConfig(people=7, tokenizer="word", templates=12, pools={"last_names": 20})
    run = {"size": "2x48", "exposures": 100, "data": config.model_dump(mode="json"), "training": {"batch": 3}}
    (tmp_path / "config.yaml").write_text(yaml.safe_dump(run))
    main(["--config", str(tmp_path / "config.yaml"), "--people", "9", "--out", str(tmp_path / "out")])
    same = write(tmp_path / "flags", "--people", "9")
    assert pd.read_parquet(tmp_path / "out" / "data.parquet").text.tolist() == same.text.tolist()


def test_a_file_of_keys_is_a_config_too(tmp_path: Path):
    (tmp_path / "keys.yaml").write_text(f"people: 4\ntexts: 3\nout: {tmp_path / 'out'}\n")
    main([*FAST, "--config", str(tmp_path / "keys.yaml")])
    assert len(pd.read_parquet(tmp_path / "out" / "data.parquet")) == 12


@pytest.mark.parametrize(
    ("flags", "lines"),
    [
        (["--people", "x", "--vriant", "single", "--junk", "2"], 3),
        (["--vocab", "20"], 1),
        (["--pools.majors", "101"], 1),
        (["--tokenizer", "/nowhere/at/all"], 1),
        (["--for", "measuring"], 1),
        (["--for", "evaluation", "--texts", "2"], 1),
        (["--people", "3", "--pools.last-names", "1", "--pools.first-names", "1", "--pools.middle-names", "1"], 1),
        (["--people", "800", "--junk", "7/8", "--pools.last-names", "2", "--pools.first-names", "3"], 1),
        (["--dataset", "biod", "--questions", "half"], 1),
        (["--config", "/nowhere/at/all.yaml"], 1),
    ],
)
def test_mistakes_write_nothing(tmp_path: Path, flags: list[str], lines: int):
    out = tmp_path / "out"
    assert len(mistakes(*flags, "--out", str(out))) == lines
    assert not out.exists()


@pytest.mark.parametrize("data", ["[1]", "5", "text"])
def test_data_must_be_a_mapping(tmp_path: Path, data: str):
    (tmp_path / "config.yaml").write_text(f"data: {data}")
    (line,) = mistakes("--config", str(tmp_path / "config.yaml"), "--out", str(tmp_path / "out"))
    assert "must be a mapping" in line


def test_a_folder_that_cannot_be_is_a_mistake(tmp_path: Path):
    (tmp_path / "file").write_text("")
    for out in (tmp_path / "file", tmp_path / "file" / "within"):
        (line,) = mistakes(*FAST, "--people", "3", "--out", str(out))
        assert line.startswith(f"out: {out} cannot be written (")


def test_the_program_says_all_mistakes_and_ends_with_two(tmp_path: Path):
    flags = ["--people", "0", "--seed", "x", "--out", str(tmp_path / "out")]
    ended = subprocess.run([sys.executable, "-m", "biogen", *flags], capture_output=True, text=True)
    assert ended.returncode == 2
    assert ended.stdout == ""
    lines = ended.stderr.splitlines()
    assert len(lines) == 2
    assert all(line.startswith("error: ") for line in lines)
    assert list(tmp_path.iterdir()) == []


def test_an_unknown_subcommand_is_refused_with_a_hint():
    must = "must be rewrite, or flags such as --people"
    assert mistakes("rewritte", "--bank", "x") == [f"command: 'rewritte' is not allowed; {must}; did you mean rewrite?"]
    assert mistakes("people") == [f"command: 'people' is not allowed; {must}"]


@pytest.mark.parametrize(
    ("flags", "line"),
    [
        (
            ["--dataset", "biod", "--tokenizer", "word"],
            "tokenizer: word has no effect .* dataset bios, bior or corpus$",
        ),
        (["--junk-people", "5"], "junk_people: 5 has no effect and is not allowed; it needs junk above 0$"),
        (["--biod.K", "3"], "biod.K: 3 has no effect and is not allowed; it needs dataset biod$"),
        (["--zipf", "1.2"], "zipf: 1.2 has no effect and is not allowed; it needs population zipf$"),
    ],
)
def test_a_flag_without_effect_is_refused(flags: list[str], line: str, tmp_path: Path):
    (told,) = mistakes("--people", "9", *flags, "--out", str(tmp_path / "out"))
    assert re.match(line, told), told
    assert list(tmp_path.iterdir()) == []


def test_a_key_of_a_file_need_not_apply(tmp_path: Path):
    (tmp_path / "keys.yaml").write_text("people: 4\ndataset: biod\nzipf: 1.2\ntokenizer: word\n")
    flags = ["--config", str(tmp_path / "keys.yaml"), "--bank", "none", "--out", str(tmp_path / "out")]
    assert main(flags) == 0
