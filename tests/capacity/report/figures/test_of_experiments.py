"""Figures of experiments: what each shows, and that other runs have none."""

import matplotlib
import numpy as np
import pandas as pd
import pytest

from capacity.report.figures import passes, settings, shares
from capacity.report.figures.runs import Runs
from capacity.report.figures.style import STYLE
from tests.capacity.records import make_row


def drawn(module, rows):
    with matplotlib.rc_context(STYLE):
        figures = module.draw(Runs.of(pd.DataFrame(rows)))
        for figure in figures.values():
            figure.draw_without_rendering()
    return figures


def compared(sizes=("2x48",), exposures=(100, 1000)):
    return [
        make_row(
            f"{name}-{size}-{number}-{seed}", setting=name, size=size, seed=seed, exposures=number, bits_per_param=R
        )
        for name, R in (("clean", 2.0), ("junk", 0.5))
        for size in sizes
        for number in exposures
        for seed in range(3)
    ]


def test_each_setting_is_a_row_in_a_panel_for_each_number_of_exposures():
    (figure,) = drawn(settings, compared()).values()
    assert [axes.get_title() for axes in figure.axes] == ["100 exposures", "1,000 exposures"]
    assert [label.get_text() for label in figure.axes[0].get_yticklabels()] == ["clean", "junk"]
    (x, y) = figure.axes[0].lines[0].get_data()
    assert (list(x), list(y)) == ([2.0, 0.5], [0, -1])


def test_two_sizes_are_two_colors_in_each_row():
    (figure,) = drawn(settings, compared(sizes=("1x48", "2x48"), exposures=(100,))).values()
    assert figure.axes[0].get_xlabel() == "Bits per parameter R = bits / P"
    assert [text.get_text() for text in figure.legends[0].get_texts()][:2] == ["size 1x48", "size 2x48"]


def test_three_sizes_make_lines_against_parameters():
    (figure,) = drawn(settings, compared(sizes=("1x48", "2x48", "3x48"), exposures=(100,))).values()
    assert figure.axes[0].get_xlabel() == "Model parameters P"
    assert [text.get_text() for text in figure.legends[0].get_texts()][:2] == ["clean", "junk"]


def test_sizes_with_people_of_their_own_are_panels():
    rows = [row | {"people": people} for people in (100, 200) for row in compared(exposures=(100,))]
    rows = [row | {"run_id": f"{row['run_id']}-{row['people']}"} for row in rows]
    (figure,) = drawn(settings, rows).values()
    assert [axes.get_title() for axes in figure.axes] == ["people 100", "people 200"]


@pytest.mark.parametrize("module", [settings, passes, shares])
def test_runs_of_no_experiment_have_no_figure(module):
    assert drawn(module, [make_row("a")]) == {}


def test_passes_show_the_share_known_and_where_it_is_reached():
    tried, sizes = (1, 10, 100, 1000), {"1x16": 0.5, "1x32": 1.0, "1x64": 4.0}
    rows = [
        make_row(
            f"{size}-{number}", size=size, params=round(x * 1000), max_bits=1000.0, exposures=number, people=250,
            bits=1000 * min(1, 1.5 * x) * (1 - np.exp(-number * x / 30)),
        )
        for size, x in sizes.items()
        for number in tried
    ]  # fmt: skip
    (figure,) = drawn(passes, rows).values()
    share, fewest = figure.axes
    assert share.get_ylabel() == "Share of all bits that is known"
    assert fewest.get_ylabel() == "Fewest exposures"
    reached = fewest.lines[0].get_ydata()
    assert np.isnan(reached[0])  # half a parameter a bit holds three quarters
    assert 10 < reached[2] < reached[1] < 100


def test_shares_of_junk_are_steps_to_the_right_that_halve_the_useful_text():
    rows = [
        make_row(
            f"{size}-{share}-{seed}", setting=share, size=size, junk=share, seed=seed, bits_per_param=R * (1 + seed)
        )
        for size, factor in (("1x16", 1.0), ("1x32", 2.0))
        for share, R in (("15/16", 0.1 * factor), ("0", factor), ("3/4", 0.5 * factor))
        for seed in range(3)
    ]
    (figure,) = drawn(shares, rows).values()
    _, kept = figure.axes
    assert [label.get_text() for label in kept.get_xticklabels()] == ["0", "3/4", "15/16"]
    for line in kept.lines:
        np.testing.assert_allclose(line.get_xdata(), [0, 2, 4])
        np.testing.assert_allclose(line.get_ydata(), [1, 0.5, 0.1])
