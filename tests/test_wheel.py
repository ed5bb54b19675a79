"""Installed as a wheel, all commands work with the presets, beside a user's modules of our packages' names."""

import json
import os
import shutil
import subprocess
import sys
import sysconfig
import zipfile
from pathlib import Path

import pytest
import yaml

from basis.start import PACKAGES
from capacity.spec.presets import preset_names
from train.native.library import supported

ROOT = Path(__file__).parents[1]
pytestmark = pytest.mark.xdist_group("wheel")  # one process builds it and does all
BUILT_FROM = (*PACKAGES, "configs", "pyproject.toml", "setup.py", "MANIFEST.in", "README.md", "LICENSE")
COMPILER = next(
    (name for name in (os.environ.get("CXX"), "c++", "g++", "clang++") if name and shutil.which(name)), None
)
SWEEP = {
    **{"dataset": "biod", "sizes": "1x16", "people": 40, "exposures": 2, "batch": 16, "device": "cpu"},
    **{"biod": {"K": 2, "C": 2, "D": 8, "L": 1, "T": 8}, "quantize": "none", "out": "out"},
}


def call(*command, at):
    """What a command printed. Its exit code must be 0."""
    clean = {name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "PYTHONSAFEPATH")}
    done = subprocess.run(
        [str(word) for word in command], cwd=at, env=clean | {"COLUMNS": "200"}, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    source, made = tmp_path_factory.mktemp("source"), tmp_path_factory.mktemp("wheel")
    for name in BUILT_FROM:
        if (ROOT / name).is_dir():
            shutil.copytree(ROOT / name, source / name, ignore=shutil.ignore_patterns("*.so", "__pycache__"))
        else:
            shutil.copy(ROOT / name, source)
    compiled = source / "build" / f"lib.{sysconfig.get_platform()}-{sys.implementation.cache_tag}" / "train" / "native"
    compiled.mkdir(parents=True)  # what is as new as its sources isn't compiled again: it takes a minute
    for library in (ROOT / "train" / "native").glob("*.so"):
        shutil.copy2(library, compiled)
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check"]
    call(*pip, "wheel", "-q", "--no-build-isolation", "--no-deps", "--wheel-dir", made, source, at=made)
    (built,) = made.glob("*.whl")
    return built


@pytest.fixture(scope="module")
def environment(wheel, tmp_path_factory):
    """The folder of the commands of a fresh environment, which has the libraries of this one and our wheel."""
    place = tmp_path_factory.mktemp("environment")
    call(sys.executable, "-m", "venv", "--without-pip", place, at=place)
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "--python", place / "bin" / "python"]
    call(*pip, "install", "-q", "--no-index", "--no-deps", wheel, at=place)
    site = Path(call(place / "bin" / "python", "-c", "import site; print(site.getsitepackages()[0])", at=place).strip())
    (site / "libraries.pth").write_text(f"{sysconfig.get_path('purelib')}\n{sysconfig.get_path('platlib')}\n")
    return place / "bin"


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A user's folder, with modules of their own that no command of ours may run."""
    made = tmp_path_factory.mktemp("user")
    for name in ("train", "eval", "biogen", "basis"):
        (made / f"{name}.py").write_text(f"raise SystemExit('the {name} of the user')")
    (made / "sweep.yaml").write_text(yaml.safe_dump(SWEEP))
    return made


@pytest.fixture(scope="module")
def swept(environment, folder):
    """What a sweep printed; its folder holds even a `capacity.py`."""
    (folder / "capacity.py").write_text("raise SystemExit('the capacity of the user')")
    printed = call(environment / "capacity", "run", "--config", "sweep.yaml", at=folder)
    (folder / "capacity.py").unlink()
    return printed


def test_the_wheel_has_the_presets_the_lists_and_the_marks_of_types(wheel):
    names = set(zipfile.ZipFile(wheel).namelist())
    assert {f"capacity/configs/{name}.yaml" for name in preset_names()} <= names
    assert {f"{package}/py.typed" for package in PACKAGES} <= names
    for package in PACKAGES:
        ours = {path.relative_to(ROOT).as_posix() for path in (ROOT / package).rglob("*.py")}
        assert ours <= names
    assert {path.relative_to(ROOT).as_posix() for path in (ROOT / "biogen" / "data").rglob("*.t*")} <= names
    assert not any(name.startswith(("tests", "configs", "scripts", "benchmarks")) for name in names)


def test_a_sweep_runs_and_its_table_is_rebuilt(environment, folder, swept):
    assert "1x16" in swept
    csv = (folder / "out" / "results.csv").read_bytes()
    (folder / "out" / "results.csv").unlink()
    assert "1x16" in call(environment / "python", "-m", "capacity.table", "out", at=folder)
    assert (folder / "out" / "results.csv").read_bytes() == csv


@pytest.mark.skipif(COMPILER is None, reason="no C++ compiler here: the wheel has no kernels, and PyTorch trains")
@pytest.mark.skipif(not supported(), reason="this processor has none of the instruction sets that kernels are for")
def test_kernels_of_the_wheel_train(folder, swept):
    (result,) = (folder / "out").glob("*/result.json")
    assert json.loads(result.read_text())["provenance"]["kernels"].startswith("native ")


def test_code_of_a_wheel_has_no_commit(folder, swept):
    (result,) = (folder / "out").glob("*/result.json")
    assert json.loads(result.read_text())["provenance"]["commit"] is None


@pytest.mark.parametrize(
    ("command", "said"),
    [
        (["capacity"], "usage: capacity COMMAND"),
        (["python", "-m", "capacity", "run", "--dry-run"], "2x48x2"),
        (["python", "-m", "capacity.run", "--config", "law-laptop/biod", "--sizes", "4x16", "--dry-run"], "4x16"),
    ],
)
def test_plans_of_presets(environment, folder, command, said):
    program, *rest = command
    assert said in call(environment / program, *rest, at=folder)


def test_a_data_set_is_written_and_a_model_measured(environment, folder, swept):
    assert "20 people: people" in call(environment / "biogen", "--people", "20", "--out", "people", at=folder)
    (model,) = (folder / "out").glob("*/model")
    command = ["capacity", "eval", model, "--data", model.parent]
    (record,) = json.loads(call(environment / command[0], *command[1:], at=folder))
    stored = json.loads((model.parent / "result.json").read_text())["rows"][0]
    assert record["bits_per_param"] == pytest.approx(stored["bits_per_param"], rel=1e-5)
