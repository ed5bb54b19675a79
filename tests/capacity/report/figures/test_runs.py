"""The files of figures: which there are, the same bytes each time, and every store can be drawn."""

import math
import subprocess
import sys

import matplotlib
import pandas as pd
import pytest
from matplotlib.image import imread

from capacity import table
from capacity.report.figures import FIGURES, OF_ALL, OF_SWEEPS
from capacity.report.figures.runs import Runs, draw_all, file_name
from capacity.report.figures.style import STYLE
from tests.capacity.records import make_row, write_store
from tests.capacity.report.figures.frames import INT8, both, make_frame, write_metrics

OF_EACH = tuple(name for name in OF_SWEEPS if name not in OF_ALL)


def names(paths, extension="png"):
    return [path.stem for path in paths if path.suffix == f".{extension}"]


def test_one_set_of_figures_as_png_and_svg(tmp_path):
    frame = make_frame()
    write_metrics(tmp_path, frame)
    written = draw_all(frame, tmp_path)
    assert names(written) == names(written, "svg") == ["law", "quantization", *OF_EACH]
    assert sorted(written) == sorted((tmp_path / "plots").iterdir())
    image = imread(tmp_path / "plots" / "capacity.png")
    assert image.shape[1] > 900
    assert image[..., :3].std() > 0.05


def test_equal_stores_give_equal_bytes_and_no_settings_change(tmp_path):
    frame, settings = make_frame(sizes=(16,), schemes=("none", INT8)), dict(matplotlib.rcParams)
    contents = []
    for out in (tmp_path / "a", tmp_path / "b"):
        write_metrics(out, frame)
        with matplotlib.rc_context({"font.size": 20, "lines.linewidth": 5} if contents else {}):
            contents.append([path.read_bytes() for path in draw_all(frame, out)])
    assert contents[0] == contents[1]
    assert dict(matplotlib.rcParams) == settings


def test_figures_need_no_pyplot_and_their_names_no_matplotlib():
    code = "import sys; from capacity.report.figures import FIGURES; print('matplotlib' in sys.modules);"
    code += "[FIGURES[name] for name in FIGURES.names]; print('matplotlib.pyplot' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert done.stdout.split() == ["False", "False"]


def test_each_kind_has_files_that_name_it_and_old_ones_go(tmp_path):
    clean = make_frame(sizes=(16,), schemes=("none",))
    draw_all(clean, tmp_path)
    (tmp_path / "plots" / "capacity_mine.png").write_bytes(b"kept")
    (tmp_path / "plots" / "capacity_biod_e100_j0_fast.png").write_bytes(b"of an earlier version")
    junk = clean.assign(dataset="bios", exposures=1000.0, junk="7/8", recipe="paper")
    written = draw_all(both(clean, junk), tmp_path)
    kinds = ("bioD-100-exposures-no-junk-recipe-fast", "bioS-1000-exposures-7-8-junk-recipe-paper")
    assert names(written) == [f"{name}-{kind}" for name in OF_EACH[:2] for kind in kinds]
    left = {path.name for path in (tmp_path / "plots").iterdir()}
    assert left == {path.name for path in written} | {"capacity_mine.png"}
    assert file_name("my:Figure", "") == "Figure"


STORES = {
    "one run": make_frame(sizes=(32,), people=(500,), schemes=("none",)),
    "one N": make_frame(people=(500,), seeds=(0, 1, 2)),
    "many N": make_frame(sizes=(16, 32), people=[200 * 2**n for n in range(12)], schemes=("none", "gptq-int4-g32")),
    "no bits": make_frame(
        sizes=(16,), schemes=("none",), bits=0.0, bits_per_param=0.0, bits_per_param_low=-0.1, bits_per_param_high=0.0
    ),
    "below zero": make_frame(sizes=(16,), schemes=("none",), bits=-1e5, bits_per_param=-7.0),
    "no number": pd.concat([make_frame(), make_frame(schemes=("rtn-int2",), bits=math.nan, bits_per_param=math.nan)]),
    "no intervals": make_frame(sizes=(16,), people=(500,), bits_per_param_low=math.nan, bits_per_param_high=math.nan),
    "far apart": make_frame(sizes=(16, 1024), people=(10, 10_000_000), schemes=("none",)),
    "many quantizations": make_frame(
        sizes=(16,), people=(500,), schemes=("none", *(f"rtn-int{bits}" for bits in range(2, 9)), "gptq-int4")
    ),
    "two kinds": both(make_frame(seeds=(0, 1)), make_frame(optimizer="muon")),
    "two kinds at one point": both(*(make_frame(sizes=(16,), people=(9,), lr=lr) for lr in (0.1, 0.2))),
    "many kinds": pd.concat(
        [make_frame(lr=1 / n, exposures=n).assign(run_id=lambda f, n=n: f["run_id"] + str(n)) for n in range(1, 15)]
    ),
}


@pytest.mark.parametrize("frame", STORES.values(), ids=STORES)
def test_every_store_can_be_drawn_without_metrics(frame):
    runs = Runs.of(frame)
    several = frame.groupby("size")["people"].nunique().max() > 1
    with matplotlib.rc_context(STYLE):
        figures = {name: FIGURES[name](runs) for name in FIGURES.names}
        for of_kind in figures.values():
            for figure in of_kind.values():
                figure.draw_without_rendering()
    assert [name for name in OF_EACH if figures[name]] == list(OF_EACH[: 2 if several else 1])


def test_no_runs_no_files(tmp_path):
    assert draw_all(make_frame().iloc[:0], tmp_path) == []


def test_a_figure_of_ones_own(tmp_path, monkeypatch):
    (tmp_path / "my_figures.py").write_text(
        "from matplotlib.figure import Figure\n"
        "def people(runs):\n"
        "    figure = Figure()\n"
        "    figure.subplots().plot(runs.plain['people'], runs.plain['bits'])\n"
        "    return {'': figure}\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    written = draw_all(make_frame(), tmp_path, names=["my_figures:people"])
    assert names(written) == ["people"]
    with pytest.raises(ValueError, match="figure: 'nothing' is not allowed; must be law, compare"):
        draw_all(make_frame(), tmp_path, names=["nothing"])


@pytest.mark.parametrize("name", ["builtins:len", "builtins:dict", "builtins:vars", "builtins:Ellipsis"])
def test_what_is_no_drawing_is_refused_in_a_line_and_nothing_is_written(tmp_path, capfd, name):
    write_store(tmp_path, [make_row("a")])
    assert table.main([str(tmp_path), "--out", str(tmp_path / "new"), "--figure", name]) == 2
    (line,) = capfd.readouterr().err.splitlines()
    assert line.startswith(f"error: figure: {name!r} is not allowed")
    assert not (tmp_path / "new").exists()


def test_copies_of_some_seeds_are_not_set_against_the_mean_of_all(tmp_path):
    frame = make_frame(sizes=(16, 32), people=(500,), seeds=(0, 1, 2))
    partial = frame[(frame["quantization"] != INT8) | (frame["seed"] == 0) | (frame["size"] == "2x32")]
    draw_all(partial, tmp_path)
    without = (tmp_path / "plots" / "quantization.png").read_bytes()
    draw_all(frame[(frame["quantization"] != INT8) | (frame["size"] == "2x32")], tmp_path)
    assert (tmp_path / "plots" / "quantization.png").read_bytes() == without


def test_a_title_names_what_all_runs_share_but_the_usual():
    frame = make_frame(architecture="gpt2")
    assert Runs.of(frame).title == "bioD, 100 exposures, recipe fast"
    mixed = both(frame.assign(junk="7/8", architecture="llama"), frame.assign(exposures=1.0, recipe="paper"))
    runs = Runs.of(mixed)
    assert runs.title == "bioD"
    assert [(kind, one.title) for kind, one in runs.each_kind()] == [
        ("100 exposures, 7/8 junk, llama, recipe fast", "bioD, 100 exposures, 7/8 junk, llama, recipe fast"),
        ("1 exposure, no junk, gpt2, recipe paper", "bioD, 1 exposure, recipe paper"),
    ]
