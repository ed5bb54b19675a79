"""Figures of each kind of run: bits, R against P and N, learning curves."""

import math

import numpy as np
import pytest

from capacity.report.figures import bits_against_people, capacity, learning_curves
from capacity.report.figures.runs import Runs
from capacity.report.figures.style import LEAST
from tests.capacity.report.figures.frames import (
    bars_of,
    both,
    curves_of,
    entries,
    make_frame,
    only,
    texts,
    write_metrics,
)


def test_the_law_is_on_the_figure_of_capacity():
    assert sorted(texts(only(capacity.draw, make_frame()))) == ["1 bit/param", "2 bits/param"]


def test_labels_turn_with_their_lines():
    figure = only(capacity.draw, make_frame(schemes=("none",)))
    (axes,) = figure.axes
    line = next(line for line in axes.lines if line.get_color() == "0.35")
    (x0, y0), (x1, y1) = axes.transData.transform(line.get_xydata())
    angles = [text.get_rotation() for text in axes.texts]
    assert angles == pytest.approx([math.degrees(math.atan2(y1 - y0, x1 - x0))] * 2)


def test_the_best_n_of_each_size_stands_out_and_the_title_says_what_it_stores():
    figure = only(capacity.draw, make_frame(sizes=(16, 32), people=(500, 2000), schemes=("none",)))
    opacity = sorted(line.get_color()[3] for line in figure.axes[0].lines if line.get_marker() == "o")
    assert opacity == [0.35, 0.35, 1.0, 1.0]
    assert figure.get_suptitle().startswith("At the best N, 1.52 to 1.83 bits per parameter")
    assert entries(figure)[:2] == ["best N of a size", "other N"]


def test_points_without_bits_are_counted_and_left_out():
    frame = make_frame(sizes=(16, 32), people=(500,), schemes=("none",))
    frame.loc[frame["size"] == "2x16", ["bits", "bits_per_param"]] = 0.0
    figure = only(capacity.draw, frame)
    assert "1 point near zero not shown" in texts(figure)
    drawn = [line.get_xdata() for line in figure.axes[0].lines if line.get_marker() == "o"]
    assert np.concatenate(drawn).tolist() == frame["params"][frame["size"] == "2x32"].tolist()


def test_large_models_that_know_everything_are_left_in():
    frame = make_frame(sizes=(1024,), people=(10,), schemes=("none",))
    assert frame["bits_per_param"].max() < LEAST
    assert not any("not shown" in text for text in texts(only(capacity.draw, frame)))


def test_seeds_become_their_mean_with_a_bar():
    frame = make_frame(sizes=(16,), people=(500,), schemes=("none",), seeds=(0, 1, 2))
    axes = only(capacity.draw, frame).axes[0]
    (mark,) = [line for line in axes.lines if line.get_marker() == "o"]
    assert mark.get_ydata() == pytest.approx([frame["bits"].mean()])
    np.testing.assert_allclose(bars_of(axes), [[frame["bits"].min(), frame["bits"].max()]])


def test_of_one_seed_the_bar_is_its_interval_and_the_legend_says_which():
    frame = both(make_frame(sizes=(16,), people=(500,), seeds=(0, 1)), make_frame(sizes=(16,), people=(2000,)))
    figure = only(bits_against_people.draw, frame)
    plain = frame[frame["quantization"] == "none"]
    seeds, one = (plain[plain["people"] == N] for N in (500, 2000))
    expected = [[seeds["bits_per_param"].min(), seeds["bits_per_param"].max()]]
    expected += [[one["bits_per_param_low"].item(), one["bits_per_param_high"].item()]]
    np.testing.assert_allclose(bars_of(figure.axes[0]), expected)
    assert entries(figure)[-2:] == ["bars: lowest and highest seed", "bars of one seed: 95 %, people"]


def test_where_nothing_is_known_yet_r_max_is_in_view():
    frame = make_frame(schemes=("none",))
    frame[["bits", "bits_per_param"]] = 0.0
    low, high = only(bits_against_people.draw, frame).axes[0].get_ylim()
    assert low < frame["max_bits_per_param"].min() < frame["max_bits_per_param"].max() < high


def test_worlds_that_hold_other_bits_are_kinds_of_their_own():
    frame = both(make_frame(people=(500,)), make_frame(people=(500,), max_bits=1e6))
    frame["pools.first_names"] = np.where(frame["max_bits"] == 1e6, 400, 40)
    assert list(capacity.draw(Runs.of(frame))) == ["pools.first names 40", "pools.first names 400"]


def test_learning_curves_skip_cut_lines_and_runs_without_metrics(tmp_path):
    frame = make_frame(sizes=(16, 32), people=(500,))
    assert learning_curves.draw(Runs.of(frame, [tmp_path])) == {}
    write_metrics(tmp_path, frame[frame["size"] == "2x16"])
    figure = only(learning_curves.draw, frame, tmp_path)
    (curve,) = figure.axes[1].lines
    assert curve.get_xydata().tolist() == [[1, 0.01], [10, 0.1], [100, 1]]


def test_seeds_are_a_mean_and_a_band(tmp_path):
    frame = make_frame(sizes=(16,), people=(500,), seeds=(0, 1, 2))
    write_metrics(tmp_path, frame)
    panel = only(learning_curves.draw, frame, tmp_path).axes[1]
    assert (len(panel.lines), len(panel.collections)) == (1, 1)


def test_learning_curves_stay_few_enough_to_read(tmp_path):
    frame = make_frame(sizes=range(16, 208, 16), people=(100, 200, 400, 800), schemes=("none",))
    write_metrics(tmp_path, frame)
    figure = only(learning_curves.draw, frame, tmp_path)
    assert len(figure.axes[1].lines) == 24
    titles = [legend.get_title().get_text().strip() for legend in figure.legends]
    assert titles == ["Size (P), 8 of 12", "People, 3 of 4"]


def test_learning_curves_of_sizes_that_share_some_n_or_none(tmp_path):
    frame = make_frame(sizes=(16, 32), people=(100, 200, 400, 800), schemes=("none",))
    write_metrics(tmp_path, frame)
    small = frame["size"] == "2x16"
    shared = frame[(small & (frame["people"] < 400)) | (~small & (frame["people"] > 100))]
    figure = only(learning_curves.draw, shared, tmp_path)
    assert [text.get_text() for text in figure.legends[1].get_texts()] == ["N = 200"]
    figure = only(learning_curves.draw, frame[small == (frame["people"] < 400)], tmp_path)
    (legend,) = figure.legends
    assert legend.get_title().get_text().strip() == "Size (P) and its best N"
    assert [text.get_text().partition(", ")[2] for text in legend.get_texts()] == ["N = 200", "N = 800"]
    assert len(curves_of(figure.axes[0])) == 0  # lines without marks
