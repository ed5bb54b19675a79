"""The command line: a mistake is a line, and costs nothing."""

import os
import re
import subprocess
import sys
from contextlib import suppress

import pytest
import torch
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from basis.flags import UserError, run_main
from capacity import run
from capacity.report import plans as report
from capacity.runner import launch
from capacity.spec.plan import Sweep
from capacity.spec.preset import Preset
from tests.capacity.run.conftest import ROOT


def refused(arguments, capfd):
    """The lines of a command that ends with exit code 2 before it has done anything."""
    with pytest.raises(SystemExit) as ended:
        run_main(lambda: run.main([str(argument) for argument in arguments]))
    printed = capfd.readouterr()
    assert ended.value.code == 2
    assert printed.out == ""
    return printed.err.splitlines()


@pytest.mark.parametrize(
    ("flags", "expected"),
    [
        ("--sizes 2x33", ["sizes: '2x33' is not allowed; .*12-12.*2x48"]),
        ("--sizes 0x16 big", ["sizes: '0x16' is not allowed", "sizes: 'big' is not allowed"]),
        ("-- --people 50", ["--: is not allowed; flags have names, and nothing else is given"]),
        ("--config " + "x" * 5000, ["config: 'xxx.*must be a shorter path"]),
        ("--people 0", ["people: '0' is not allowed; must be greater than or equal to 1"]),
        ("--people many", ["people: 'many' is not allowed; must be a whole number"]),
        ("--people 513", ["people: 513 people need as many names; allowed is at most N0 = 512"]),
        ("--exposures 0.5", ["exposures: '0.5' is not allowed; must be a whole number"]),
        ("--junk 1", ["junk: .*1.* is not allowed; must be greater than or equal to 0 and less than 1"]),
        ("--junk half", ["junk: 'half' is not allowed; must be a fraction such as"]),
        (
            "--junk 7/8",
            ["junk: 7/8 for 400 exposures of 60 people takes 168000 .*; allowed is at most 1808: once"],
        ),
        ("--bracket", ["bracket: True is not allowed without r_max, which says what N to begin with"]),
        ("--seeds -1", ["seeds: '-1' is not allowed; must be greater than or equal to 0"]),
        (
            "--dataset biox",
            ["dataset: 'biox' is not allowed; must be bios, bior, biod, random, corpus or your own as"],
        ),
        ("--variant sometimes", ["variant: 'sometimes' is not allowed; must be fresh, single or multiM"]),
        ("--questions half", ["questions: half is not an option of bioD; must be none"]),
        ("--variant single", ["variant: single is not an option of bioD; must be left out"]),
        ("--r-max 1", ["r_max: .* is not allowed; must be 2 values"]),
        ("--biod.D 9", ["biod.D: 9 different chunks do not exist; allowed is at most T\\^L = 8"]),
        ("--biod.C 0 --biod.T 1", ["biod.C: '0' is not allowed", "biod.T: '1' is not allowed"]),
        (
            "--pools.years 201",
            ["pools.years: '201' is not allowed; must be greater than or equal to 1 and less than or equal to 200"],
        ),
        ("--recipe magic", ["recipe: 'magic' is not allowed; must be 'paper' or 'fast'"]),
        (
            "--lr 0 --eps 0",
            ["lr: '0' is not allowed; must be greater than 0 and less than or equal to 1", "eps: '0' is not allowed"],
        ),
        ("--beta2 1", ["beta2: '1' is not allowed; must be greater than or equal to 0 and less than 1"]),
        ("--context 5", ["context: '5' is not allowed; must be greater than or equal to 8"]),
        ("--context 9", ["context: 9 is too short"]),
        ("--quantize int9", ["quantize: 'int9' is not allowed.*none, bf16, fp8, int8"]),
        ("--quantize bf16-g4", ["quantize: 'bf16-g4' is not allowed"]),
        ("--quantize int4-g5", ["quantize: rtn-int4-g5.embedding is not allowed at size 1x16; groups must divide"]),
        ("--eval-people 1", ["eval_people: '1' is not allowed; must be greater than or equal to 2"]),
        ("--workers 0", ["workers: '0' is not allowed; must be greater than or equal to 1"]),
        ("--device abacus", ["device: 'abacus' is not allowed; must be 'auto', 'cpu', 'cuda' or 'mps'"]),
        ("--peopel 3", ["--peopel: is not a flag; did you mean --people"]),
        ("--people", ["--people: has no value"]),
        (
            "--config /none/such.yaml",
            ["config: '/none/such.yaml' is neither a file nor a preset; presets are laptop, "],
        ),
        ("--out /dev/null", ["out: /dev/null cannot be made"]),
        ("--dataset bios --templates 9999 --pools.first-names 9", ["templates"]),
        ("--engine kubernetes", ["engine: 'kubernetes' is not allowed; must be 'local' or 'ray'"]),
        ("--engine ray --ray-address 127.0.0.1:1", ["ray_address: '127.0.0.1:1' cannot be reached"]),
        ("--engine ray --ray-address host:port", ["ray_address: 'host:port' cannot be reached"]),
        ("--processes 0", ["processes: '0' is not allowed; must be greater than or equal to 1"]),
        ("--processes 2 --kernels native", ["kernels: native needs .*one process"]),
        ("--gpus 0", ["gpus: '0' is not allowed; must be greater than 0"]),
        ("--gpus 1.5", ["gpus: '1.5' is not allowed; must be greater than 0 and less than or equal to 1"]),
        ("--save-seconds -1", ["save_seconds: '-1' is not allowed; must be greater than or equal to 0"]),
        ("--save-seconds nan", ["save_seconds: 'nan' is not allowed"]),
        ("--retry-failed=maybe", ["argument --retry-failed/--no-retry-failed: ignored explicit argument 'maybe'"]),
        ("--exposures 0", ["exposures: '0' is not allowed; must be greater than or equal to 1"]),
        ("--exposures 1e3", ["exposures: '1e3' is not allowed; must be a whole number"]),
        ("--people 99999999999999999999", ["people: '99999999999999999999' is not allowed"]),
        ("--batch 0", ["batch: '0' is not allowed; must be greater than or equal to 1"]),
        ("--weight-decay -1", ["weight_decay: '-1' is not allowed; must be greater than or equal to 0"]),
        ("--momentum 1", ["momentum: '1' is not allowed; must be greater than or equal to 0 and less than 1"]),
        (
            "--final-lr 2",
            ["final_lr: '2' is not allowed; must be greater than or equal to 0 and less than or equal to 1"],
        ),
        ("--clip 0", ["clip: '0' is not allowed; must be greater than 0"]),
        ("--lr inf", ["lr: 'inf' is not allowed"]),
        (
            "--architecture builtins:int",
            ["architecture: 'builtins:int' is not allowed; must be a subclass of CausalLM"],
        ),
        ("--architecture-options a=\udc80", ["architecture_options: .* is not allowed; must hold .* texts in UTF-8"]),
        ("--architecture-options \udc80=1", ["architecture_options: .* is not allowed; must hold .* texts in UTF-8"]),
        ("--architecture-options {'':1}", ["architecture_options: .* is not allowed; must have a name"]),
        ("--dataset-options a=\udc80", ["dataset_options: .* is not allowed; must hold .* texts in UTF-8"]),
        ("--dataset bios --locale \udc80", ["locale: .* is not allowed; must hold .* texts in UTF-8"]),
        ("--dataset builtins:int", ["dataset: 'builtins:int' is not allowed; must be a subclass"]),
        ("--optimizer builtins:int", ["optimizer: 'builtins:int' is not allowed; must have uses"]),
        (
            "--architecture-options " + " ".join(f"k{number}=1" for number in range(20_000)),
            ["architecture_options: .* is not allowed; must have at most 1,000 names, not 20,000"],
        ),
        (
            "--architecture mamba",
            ["architecture: 'mamba' is not allowed; must be gpt2, llama, moe or your own as"],
        ),
        (
            "--architecture llama --mlp gated",
            ["mlp: 'gated' is not allowed with architecture llama; its options"],
        ),
        ("--mlp wide", ["mlp: 'wide' is not allowed; must be 'gelu', 'gated', 'quarter' or 'none'"]),
        (
            "--optimizer sgd",
            ["optimizer: 'sgd' is not allowed; must be adamw, muon, lion, soap or your own as module:Name"],
        ),
        (
            "--optimizer adamw --momentum 0.9",
            ["momentum: 0.9 has no effect and is not allowed; it needs optimizer muon$"],
        ),
        ("--optimizer lion --eps 1e-7", ["eps: 1e-07 has no effect .* it needs optimizer adamw, muon or soap$"]),
        ("--junk-people 5", ["junk_people: 5 has no effect and is not allowed; it needs junk above 0$"]),
        ("--decay-share 0.3", ["decay_share: 0.3 has no effect and is not allowed; it needs schedule wsd$"]),
        ("--schedule constant --final-lr 0.1 0.2", ["final_lr: 0.1, 0.2 has no effect .* schedule cosine or wsd$"]),
        ("--zipf 1.35", ["zipf: 1.35 has no effect and is not allowed; it needs population zipf$"]),
        ("--heldout-points 3", ["heldout_points: 3 has no effect .* it needs heldout_tokens above 0$"]),
        ("--bank /x", ["bank: /x is not an option of bioD; must be left out$"]),
        ("--corpus stdlib", ["corpus: stdlib is not an option of bioD; must be left out$"]),
        ("--variant fresh", ["variant: fresh has no effect and is not allowed; it needs dataset bios$"]),
        ("--vocab 9 --tokenizer word", ["tokenizer: word has no effect .* bios, bior or corpus$", "vocab: 9 has no"]),
        ("--dataset bios --tokenizer word --vocab 9", ["vocab: 9 has no effect .* it needs tokenizer bpe$"]),
        ("--dataset bios --tokenizer word --biod.K 2", ["biod.K: 2 has no effect .* it needs dataset biod$"]),
        ("--pools.majors 5", ["pools.majors: 5 has no effect and is not allowed; it needs dataset bios$"]),
        (
            "--dataset bios --tokenizer word --variant single --measured-order as-trained",
            ["measured_order: as-trained has no .* variant fresh and company_city any or before$"],
        ),
        ("--gpus 0.5 --ray-address x", ["ray_address: x has no .* engine ray$", "gpus: 0.5 has no .* engine ray$"]),
        ("--dataset-options tokens=32", ["dataset_options.tokens: is not a key"]),
        ("--layout columns", ["layout: 'columns' is not allowed; must be 'rows' or 'packed'"]),
        ("--precision fp16", ["precision: 'fp16' is not allowed; must be 'auto', 'fp32' or 'bf16'"]),
        ("--r-max 3 1", ["r_max: .* is not allowed; must be two numbers, the smaller first"]),
        ("--r-max 500 600", ["r_max: .* leaves no run, as R max is at most [0-9.]+; widen it"]),
        ("--device cuda", ["device: 'cuda' is not on this machine; must be one of auto, cpu"]),
        ("--junk -1/8", ["junk: .*is not allowed; must be greater than or equal to 0"]),
        ("--junk 1/0", ["junk: '1/0' is not allowed"]),
        ("--dataset bios --vocab 3", ["vocab: "]),
        ("--dataset bios --variant multi0", ["variant: 'multi0' is not allowed"]),
        ("--dataset bios --templates 5", ["templates: .*5.* is not allowed"]),
        ("--dataset bios --locale xx_XX", ["locale: 'xx_XX' is not allowed; must be one of Faker's locales of names"]),
        ("extra words", ["extra|words"]),
        ("--dataset bios --pools.first-names 9 --tokenizer /none", ["tokenizer: '/none' cannot be loaded"]),
        ("--dry-run --dataset bios --tokenizer /etc/passwd", ["tokenizer: '/etc/passwd' cannot be loaded"]),
    ],
)
def test_a_mistake_is_a_line(flags, expected, preset, tmp_path, capfd):
    given = flags.split()
    files = [] if "--config" in given else ["--config", preset]
    out = [] if "--out" in given else ["--out", tmp_path / "never"]
    lines = refused([*files, *out, *given], capfd)
    assert len(lines) == len(expected)
    for line, pattern in zip(lines, expected, strict=True):
        assert re.match(f"error: {pattern}", line), line
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("flags", "runs"),
    [
        ("--optimizer adamw muon --momentum 0.8 0.9", 3),  # a run is not planned twice
        ("--junk 0 1/2 --junk-people 50", 2),
        ("--schedule cosine wsd constant --decay-share 0.3 --final-lr 0.1", 3),
        ("--population fixed zipf --zipf 1.2", 2),
        ("--dataset bios biod --tokenizer word --variant single fresh --pools.majors 20", 3),
        ("--dataset biod random --dataset-options tokens=32 length=40", 2),
        ("--questions none --bank none --corpus none --junk-people none --momentum none --optimizer adamw", 1),
    ],
)
def test_an_option_needs_one_run_that_it_applies_to(flags, runs, preset, tmp_path, monkeypatch):
    planned = []
    monkeypatch.setattr(report, "show_plans", lambda plans, *_: planned.extend(plans))
    few = ["--seeds", "0", "--out", str(tmp_path / "never"), "--dry-run"]
    assert run.main(["--config", str(preset), *few, *flags.split()]) == 0
    assert len(planned) == runs


def test_a_presets_option_need_not_apply(preset, tmp_path, monkeypatch):
    monkeypatch.setattr(report, "show_plans", lambda *_: None)
    mine = tmp_path / "mine.yaml"
    unused = {"momentum": 0.9, "zipf": 1.2, "vocab": 9, "junk_people": 5, "gpus": 0.5, "decay_share": 0.3}
    mine.write_text(yaml.safe_dump(yaml.safe_load(preset.read_text()) | unused))
    flags = ["--config", str(mine), "--optimizer", "adamw", "--out", str(tmp_path / "never"), "--dry-run"]
    assert run.main(flags) == 0


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        ("{biod.K: 3}", ["biod.K: is not a key; give it inside biod"]),
        ("{people: true}", ["people: True is not allowed; must be a number"]),
        ("{people: []}", ["people: \\[\\] is not allowed; must be at least 1 value"]),
        ("{sizes: {a: b}}", ["sizes: {'a': 'b'} is not allowed; layers-heads"]),
        ("{biod: hello}", ["biod: 'hello' is not allowed; must be a mapping of keys to values"]),
        ("{r_max: [1, 2, 3]}", ["r_max: .* is not allowed; must be at most 2 values"]),
        ("{peple: 3}", ["peple: is not a key; did you mean people\\?"]),
        ("{people: [3, x, -1], batch: 0}", ["people: 'x' is not", "people: -1 is not", "batch: 0 is not"]),
        ("{biod: {K: 0, Z: 3}, pools: 9}", ["pools: 9 is not", "biod.K: 0 is not", "biod.Z: is not a key; see"]),
        ("{people: []}", ["people: .* is not allowed"]),
        ("{biod: {name_lenght: 2}}", ["biod.name_lenght: is not a key; did you mean biod.name_length\\?"]),
        (
            "{pols: {majors: 9}, majors: 9}",
            ["pols: .* did you mean pools\\?", "majors: .* did you mean pools.majors\\?"],
        ),
        ("{r_max: [2, 1]}", ["r_max: .* is not allowed; must be two numbers, the smaller first"]),
        ("- people", ["config: .* holds list; allowed is a mapping"]),
        ("{people: 3", ["config: .* is not YAML"]),
        ("", ["config: .* is empty"]),
        ("{people: 3, people: 4}", ["config: .* is not YAML \\(people is given twice\\)"]),
        ("{people: &a [3], seeds: *a}", ["config: .* is not YAML \\(aliases are not allowed\\)"]),
        ("x: !!python/object/apply:os.system [exit]", ["config: .* is not YAML \\(could not determine a constructor"]),
        ("\0", ["config: .* is not YAML"]),
        ("[" * 5000, ["config: .* is not YAML"]),
        ("people: " + "9" * 5000, ["config: .* is not YAML"]),
        ("people: 2001-99-99", ["config: .* is not YAML"]),
        ("people: " + "x" * (1 << 20), ["config: .* is not YAML \\(it is larger than 1,048,576 bytes\\)"]),
        ('{"two\\nlines": 3}', ["two.*lines: is not a key"]),
        ("{sizes: [[2, 3]], lr: {a: 1}}", ["sizes: ", "lr: "]),
    ],
)
def test_a_mistake_in_a_preset_is_a_line(content, expected, tmp_path, capfd):
    file = tmp_path / "preset.yaml"
    file.write_text(content)
    lines = refused(["--config", file, "--out", tmp_path / "never"], capfd)
    assert len(lines) == len(expected)
    assert all(any(re.match(f"error: {pattern}", line) for line in lines) for pattern in expected), lines
    assert list(tmp_path.iterdir()) == [file]


yaml_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=9) | st.dates(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=9), inner, max_size=3),
    max_leaves=6,
)
KEYS = [name for name in Preset.model_fields if name not in ("tokenizer", "engine", "out", "dry_run")]


@settings(max_examples=150)
@given(
    content=st.one_of(
        st.binary(max_size=60),
        st.text(alphabet="{}[]:,-&*!|>#%@'\"\n ab01", max_size=60).map(str.encode),
        st.dictionaries(st.sampled_from(KEYS), yaml_values, max_size=4).map(lambda keys: yaml.safe_dump(keys).encode()),
    )
)
def test_no_preset_does_more_than_be_refused_or_planned(tmp_path_factory, content):
    file = tmp_path_factory.getbasetemp() / "fuzz.yaml"
    file.write_bytes(content)
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(launch, "make_sweep", lambda preset, given: Sweep([]))
        patched.setattr(report, "show_plans", lambda *_: None)
        with suppress(UserError):  # anything else would be raised
            assert run.main(["--config", str(file), "--dry-run", "--out", str(file.parent / "never")]) == 0


@pytest.mark.parametrize(
    ("file", "content", "expected"),
    [
        ("store.json", '{"format": 99}', r"out: .* was written by another version of this project \(format 99"),
        ("store.json", "{", r"out: .*store.json is damaged; give another folder"),
        ("run/config.yaml", "{}", r"out: .* was written by an earlier version of this project"),
        ("results.csv", "precious", r"out: .* holds something else than a sweep .*; give a new folder"),
        ("thesis/chapter.tex", "precious", r"out: .* holds something else than a sweep .*; give a new folder"),
    ],
)
def test_a_store_that_cannot_be_read_is_left_alone(preset, tmp_path, capfd, file, content, expected):
    path = tmp_path / "out" / file
    path.parent.mkdir(parents=True)
    path.write_text(content)
    before = sorted(tmp_path.rglob("*"))
    (line,) = refused(["--config", preset, "--out", tmp_path / "out"], capfd)
    assert re.match(f"error: {expected}", line), line
    assert sorted(tmp_path.rglob("*")) == before


@pytest.mark.skipif(os.geteuid() == 0, reason="nothing is forbidden to this user")
def test_a_folder_that_is_forbidden(preset, tmp_path, capfd):
    (tmp_path / "out").mkdir(mode=0o500)
    (line,) = refused(["--config", preset, "--out", tmp_path / "out"], capfd)
    assert line.startswith(f"error: out: {tmp_path / 'out'} cannot be")


def test_a_folder_of_something_else_is_no_place_for_runs(preset, tmp_path, capfd):
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "data.parquet").touch()
    (tmp_path / "file").touch()
    for out, expected in (
        ("data", "is a data set or a single run; give another folder"),
        ("file", "cannot be made (Not a directory); give a folder that can be written"),
    ):
        for flags in ([], ["--dry-run"]):
            assert refused(["--config", preset, "--out", tmp_path / out, *flags], capfd) == [
                f"error: out: {tmp_path / out} {expected}"
            ]
    assert [path.name for path in (tmp_path / "data").iterdir()] == ["data.parquet"]


def test_a_fresh_process_prints_mistakes_and_no_traceback(preset, tmp_path):
    command = [sys.executable, "-m", "capacity.run", "--config", preset, "--sizes", "1x17", "--lr", "9"]
    done = subprocess.run(
        [*command, "--out", tmp_path / "never"], capture_output=True, text=True, check=False, cwd=ROOT
    )
    assert (done.returncode, done.stdout) == (2, "")
    assert [line.split(" is not allowed")[0] for line in done.stderr.splitlines()] == [
        "error: lr: '9'",
        "error: sizes: '1x17'",
    ]
    assert list(tmp_path.iterdir()) == []


def test_tokens_and_exposures_are_not_both_given(preset, tmp_path):
    options = yaml.safe_load(preset.read_text()) | {"out": tmp_path / "never", "tokens": "1e5"}
    with pytest.raises(UserError, match=r"^tokens: 100000 is not allowed with exposures 400; give one of them$"):
        run.run(options)
    assert list(tmp_path.iterdir()) == []


def test_a_flag_for_tokens_takes_the_place_of_the_presets_exposures(preset, tmp_path, capfd):
    flags = ["--config", str(preset), "--tokens", "1e5", "2.5e5", "--out", str(tmp_path / "never"), "--dry-run"]
    assert run.main(flags) == 0
    said = capfd.readouterr()
    assert "--tokens given, in place of the preset's exposures 400." in said.err
    assert "100K" in said.out
    assert "250K" in said.out


@pytest.mark.parametrize("tokens", ["0", "-5", "1.5", "many", "1e30", "true"])
def test_tokens_are_a_whole_number(preset, tmp_path, tokens):
    flags = ["--config", str(preset), "--tokens", tokens, "--out", str(tmp_path / "never")]
    with pytest.raises(UserError, match=rf"tokens: '?{re.escape(tokens)}"):
        run.main(flags)


def test_a_dry_run_from_python_does_nothing_either(preset, tmp_path, capfd):
    options = yaml.safe_load(preset.read_text()) | {"out": tmp_path / "never", "dry_run": True}
    assert run.run(options).empty
    assert "2 runs" in capfd.readouterr().out
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("options", [None, 5, b"laptop", [("sizes", "1x16")], {1: 2}])
def test_what_is_no_preset_is_refused_in_a_line(options):
    with pytest.raises(UserError, match=r"^preset: [^\n]*$"):
        launch.make_preset(options)


@pytest.mark.parametrize("more", ["", "--processes 8", "--engine ray --gpus 0.5", "--workers 3"])
def test_a_dry_run_may_be_for_a_gpu_that_is_not_here(more, preset, tmp_path, capfd, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    flags = ["--config", str(preset), "--device", "cuda", *more.split(), "--out", str(tmp_path / "never")]
    assert run.main([*flags, "--dry-run"]) == 0
    assert "2 runs" in capfd.readouterr().out
    assert refused(flags, capfd) == ["error: device: 'cuda' is not on this machine; must be one of auto, cpu"]
    assert list(tmp_path.iterdir()) == []


def test_a_dry_run_writes_nothing(preset, tmp_path, capfd):
    assert run.main(["--config", str(preset), "--out", str(tmp_path / "never"), "--dry-run", "--workers", "3"]) == 0
    assert "2 runs, 3 side by side" in capfd.readouterr().out
    assert list(tmp_path.iterdir()) == []
