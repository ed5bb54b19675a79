"""The figures of a store: which files there are, the same bytes each time, and every store can be drawn."""

import json
import math
import subprocess
import sys

import matplotlib
import numpy as np
import pandas as pd
import pytest
from matplotlib.image import imread

from capacity.report import plots
from capacity.report.plots import draw_all

FIGURES = ("capacity", "bits_per_param", "bits_against_people", "learning_curves")


def make_frame(sizes=(16, 32, 64), people=(500, 2000), schemes=("none", "int8", "int4"), seeds=(0,), **shared):
    """Runs that store 2 bits a parameter until they know everything."""
    rows = []
    for width in sizes:
        for N in people:
            for seed in seeds:
                P, most = 24 * width**2 + 256 * width, N * (math.log2(1.6e8 / N) + 40)
                for scheme in schemes:
                    bits = (most * (1 - math.exp(-2 * P / most)) - 10 * seed) * (0.35 if scheme == "int4" else 1)
                    row = {"run_id": f"{width}-{N}-{seed}", "size": f"2x{width}", "params": P, "people": N}
                    row |= {"dataset": "biod", "exposures": 100.0, "junk": "0", "recipe": "fast", "seed": seed}
                    row |= {"quantization": scheme, "bits": bits, "bits_per_param": bits / P, "max_bits": most}
                    row |= {"bits_per_param_low": 0.98 * bits / P, "bits_per_param_high": 1.02 * bits / P}
                    rows.append(row | {"max_bits_per_param": most / P, "qa_accuracy": bits / most} | shared)
    return pd.DataFrame(rows)


def write_metrics(out, frame):
    for run_id in frame["run_id"].unique():
        (out / run_id).mkdir(parents=True)
        lines = [json.dumps({"kind": "train", "exposures": 0.5, "loss": 3.0})]
        for exposures in (0, 1, 10, 100):
            recall = {"bits_per_param": exposures / 100 - 0.1, "qa_accuracy": exposures / 100}
            lines.append(json.dumps({"kind": "recall", "exposures": exposures, **recall}))
        (out / run_id / "metrics.jsonl").write_text("\n".join([*lines, '{"kind": "recall", "expos']))


def names(paths, extension="png"):
    return [path.stem for path in paths if path.suffix == f".{extension}"]


def texts(figure):
    return [text.get_text() for axes in figure.axes for text in axes.texts]


def test_one_set_of_figures_as_png_and_svg(tmp_path):
    frame = make_frame()
    write_metrics(tmp_path, frame)
    written = draw_all(frame, tmp_path)
    assert names(written) == names(written, "svg") == ["law", *FIGURES]
    assert sorted(written) == sorted((tmp_path / "plots").iterdir())
    image = imread(tmp_path / "plots" / "capacity.png")
    assert image.shape[1] > 1500
    assert image[..., :3].std() > 0.05


def test_equal_stores_give_equal_bytes_and_no_settings_change(tmp_path):
    frame, settings = make_frame(sizes=(16,), schemes=("none", "int8")), dict(matplotlib.rcParams)
    contents = []
    for out in (tmp_path / "a", tmp_path / "b"):
        write_metrics(out, frame)
        with matplotlib.rc_context({"font.size": 20, "lines.linewidth": 5} if contents else {}):
            contents.append([path.read_bytes() for path in draw_all(frame, out)])
    assert contents[0] == contents[1]
    assert dict(matplotlib.rcParams) == settings


def test_figures_need_no_pyplot():
    code = "import sys, capacity.report.plots; sys.exit('matplotlib.pyplot' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_each_combination_has_files_that_say_which_and_old_ones_go(tmp_path):
    clean = make_frame(sizes=(16,), schemes=("none",))
    draw_all(clean, tmp_path)
    (tmp_path / "plots" / "capacity_mine.png").write_bytes(b"kept")
    junk = clean.assign(dataset="bios", exposures=1000.0, junk="7/8", recipe="paper")
    written = draw_all(pd.concat([clean, junk]), tmp_path)
    first = [f"{name}-bioD-100-exposures-no-junk-recipe-fast" for name in FIGURES[:3]]
    assert names(written) == first + [f"{name}-bioS-1-000-exposures-7-8-junk-recipe-paper" for name in FIGURES[:3]]
    left = {path.name for path in (tmp_path / "plots").iterdir()}
    assert left == {path.name for path in written} | {"capacity_mine.png"}


@pytest.mark.parametrize(
    "frame",
    [
        make_frame(sizes=(32,), people=(500,), schemes=("none",)),
        make_frame(people=(500,), seeds=(0, 1, 2)),
        make_frame(sizes=(16, 32), people=[200 * 2**n for n in range(12)], schemes=("none", "int4-g32")),
        make_frame(
            sizes=(16,),
            schemes=("none",),
            bits=0.0,
            bits_per_param=0.0,
            bits_per_param_low=-0.1,
            bits_per_param_high=0.0,
        ),
        make_frame(sizes=(16,), schemes=("none",), bits=-1e5, bits_per_param=-7.0),
        pd.concat([make_frame(), make_frame(schemes=("int2",), bits=math.nan, bits_per_param=math.nan)]),
        make_frame(sizes=(16,), people=(500,), bits_per_param_low=math.nan, bits_per_param_high=math.nan),
        make_frame(sizes=(16, 1024), people=(10, 10_000_000), schemes=("none",)),
        make_frame(sizes=(16,), people=(500,), schemes=("none", "bf16", "fp8", "int8", "int4", "int4-g32", "int2")),
    ],
    ids=[
        "one run",
        "one N",
        "many N",
        "no bits",
        "below zero",
        "no number",
        "no intervals",
        "far apart",
        "many quantizations",
    ],
)
def test_every_store_can_be_drawn_without_metrics(tmp_path, frame):
    several = frame.groupby("params")["people"].nunique().max() > 1
    with matplotlib.rc_context(plots.STYLE):
        figures = {name: draw(frame, [tmp_path]) for name, draw in plots.FIGURES.items()} | {"law": plots.law(frame)}
        for figure in filter(None, figures.values()):
            figure.draw_without_rendering()
    assert [name for name in FIGURES if figures[name]] == list(FIGURES[: 3 if several else 2])


def test_the_law_has_a_curve_for_each_kind_of_run_and_needs_several_sizes():
    frame = make_frame(seeds=(0, 1))
    figure = plots.law(pd.concat([frame, frame.assign(exposures=1000.0)]))
    (axes,) = figure.axes
    curves = [line for line in axes.lines if line.get_linestyle() != "None" and line.get_marker() == "o"]
    plain = frame[frame["quantization"] == "none"]
    means = plain.groupby(["params", "people"])["bits_per_param"].mean().groupby("params").max()
    for curve in curves:
        np.testing.assert_allclose(curve.get_xydata(), means.reset_index())
    assert sorted(line.get_linestyle() for line in curves) == ["-", "--"]
    assert len({line.get_color() for line in curves}) == 1
    assert plots.law(make_frame(sizes=(16,))) is None


def test_no_runs_no_files(tmp_path):
    assert draw_all(make_frame().iloc[:0], tmp_path) == []


def test_capacity_has_a_panel_for_each_quantization_with_the_law_on_each(tmp_path):
    figure = plots.capacity(make_frame(), [tmp_path])
    titles = [axes.get_title() for axes in figure.axes]
    assert titles == ["As trained", "Quantized to int8", "Quantized to int4"]
    assert texts(figure).count("2 bits/param") == texts(figure).count("1 bit/param") == 3


def test_int8_and_int4_go_before_other_quantizations(tmp_path):
    frame = make_frame(schemes=("none", "int2", "bf16", "fp8", "int4", "int8"))
    titles = [axes.get_title() for axes in plots.capacity(frame, [tmp_path]).axes]
    assert titles == ["As trained", "Quantized to bf16", "Quantized to int8", "Quantized to int4"]
    for figure in (plots.law(frame), plots.capacity(frame, [tmp_path]), plots.bits_per_param(frame, [tmp_path])):
        assert figure.get_suptitle().endswith(" (not shown: fp8, int2)")


def test_labels_turn_with_their_lines(tmp_path):
    figure = plots.capacity(make_frame(schemes=("none",)), [tmp_path])
    (axes,) = figure.axes
    line = next(line for line in axes.lines if line.get_color() == "0.35")
    (x0, y0), (x1, y1) = axes.transData.transform(line.get_xydata())
    angles = [text.get_rotation() for text in axes.texts]
    assert angles == pytest.approx([math.degrees(math.atan2(y1 - y0, x1 - x0))] * 2)


def test_points_without_bits_are_counted_and_left_out(tmp_path):
    frame = make_frame(sizes=(16, 32), people=(500,), schemes=("none",))
    frame.loc[frame["size"] == "2x16", ["bits", "bits_per_param"]] = 0.0
    figure = plots.capacity(frame, [tmp_path])
    assert "1 point near zero not shown" in texts(figure)
    drawn = [line.get_xdata() for line in figure.axes[0].lines if line.get_marker() == "o"]
    assert np.concatenate(drawn).tolist() == frame["params"][frame["size"] == "2x32"].tolist()


def test_large_models_that_know_everything_are_left_in(tmp_path):
    frame = make_frame(sizes=(1024,), people=(10,), schemes=("none",))
    assert frame["bits_per_param"].max() < plots.LEAST
    assert not any("not shown" in text for text in texts(plots.capacity(frame, [tmp_path])))


def test_seeds_become_their_mean_with_a_bar(tmp_path):
    frame = make_frame(sizes=(16,), people=(500,), schemes=("none",), seeds=(0, 1, 2))
    axes = plots.capacity(frame, [tmp_path]).axes[0]
    (mark,) = [line for line in axes.lines if line.get_marker() == "o"]
    assert mark.get_ydata() == pytest.approx([frame["bits"].mean()])
    (bar,) = axes.collections[0].get_segments()
    assert bar[:, 1] == pytest.approx([frame["bits"].min(), frame["bits"].max()])


def test_copies_of_some_seeds_are_not_set_against_the_mean_of_all(tmp_path):
    frame = make_frame(sizes=(16, 32), people=(500,), seeds=(0, 1, 2))
    partial = frame[(frame["quantization"] != "int8") | (frame["seed"] == 0) | (frame["size"] == "2x32")]
    draw_all(partial, tmp_path)
    without = (tmp_path / "plots" / "capacity.png").read_bytes()
    draw_all(frame[(frame["quantization"] != "int8") | (frame["size"] == "2x32")], tmp_path)
    assert (tmp_path / "plots" / "capacity.png").read_bytes() == without


def test_where_nothing_is_known_yet_r_max_is_in_view(tmp_path):
    frame = make_frame(schemes=("none",))
    frame[["bits", "bits_per_param"]] = 0.0
    figure = plots.bits_against_people(frame, [tmp_path])
    low, high = figure.axes[0].get_ylim()
    assert low < frame["max_bits_per_param"].min() < frame["max_bits_per_param"].max() < high


def test_data_sets_of_one_n_with_other_bits_are_not_averaged(tmp_path):
    frame = pd.concat([make_frame(people=(500,)), make_frame(people=(500,), max_bits=1e6)])
    labels = [text.get_text() for text in plots.capacity(frame, [tmp_path]).legends[0].get_texts()]
    assert labels[:2] == ["N = 500 (29.1K bits)", "N = 500 (1.00M bits)"]


def test_learning_curves_skip_cut_lines_and_runs_without_metrics(tmp_path):
    frame = make_frame(sizes=(16, 32), people=(500,))
    assert plots.learning_curves(frame, [tmp_path]) is None
    write_metrics(tmp_path, frame[frame["size"] == "2x16"])
    figure = plots.learning_curves(frame, [tmp_path])
    (curve,) = figure.axes[1].lines
    assert curve.get_xydata().tolist() == [[1, 0.01], [10, 0.1], [100, 1]]


def test_learning_curves_stay_few_enough_to_read(tmp_path):
    frame = make_frame(sizes=range(16, 208, 16), people=(100, 200, 400, 800), schemes=("none",))
    write_metrics(tmp_path, frame)
    figure = plots.learning_curves(frame, [tmp_path])
    assert len(figure.axes[1].lines) == 24
    assert [legend.get_title().get_text() for legend in figure.legends] == ["Size (P), 8 of 12", "People, 3 of 4"]


def test_learning_curves_of_sizes_that_share_some_n_or_none(tmp_path):
    frame = make_frame(sizes=(16, 32), people=(100, 200, 400, 800), schemes=("none",))
    write_metrics(tmp_path, frame)
    small = frame["size"] == "2x16"
    shared = frame[(small & (frame["people"] < 400)) | (~small & (frame["people"] > 100))]
    figure = plots.learning_curves(shared, [tmp_path])
    assert [text.get_text() for text in figure.legends[1].get_texts()] == ["N = 200"]
    figure = plots.learning_curves(frame[small == (frame["people"] < 400)], [tmp_path])
    (legend,) = figure.legends
    assert legend.get_title().get_text() == "Size (P) and its best N"
    assert [text.get_text().partition(", ")[2] for text in legend.get_texts()] == ["N = 200", "N = 800"]
