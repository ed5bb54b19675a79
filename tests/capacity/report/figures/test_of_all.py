"""Figures of all kinds of runs at once: the law, what differs, quantization."""

import numpy as np
import pytest

from capacity.report.figures import compare, law, quantization
from capacity.report.figures.runs import Runs
from tests.capacity.report.figures.frames import INT4, INT8, bars_of, both, curves_of, entries, make_frame, only


def means_of(frame):
    plain = frame[frame["quantization"] == "none"]
    return plain.groupby(["params", "people"])["bits_per_param"].mean().groupby("params").max().reset_index()


def test_the_law_has_a_panel_for_each_number_of_exposures_the_most_first():
    frame = make_frame(seeds=(0, 1))
    figure = only(law.draw, both(frame, frame.assign(exposures=1000.0, bits_per_param=0.5)))
    assert [axes.get_title() for axes in figure.axes] == ["1,000 exposures", "100 exposures"]
    (flat,), (curve,) = (curves_of(axes) for axes in figure.axes)
    np.testing.assert_allclose(curve.get_xydata(), means_of(frame))
    assert set(flat.get_ydata()) == {0.5}
    assert figure.get_suptitle() == "Capacity, the best bits per parameter over N: bioD, recipe fast"


def test_the_law_needs_several_sizes_of_a_kind():
    assert law.draw(Runs.of(make_frame(sizes=(16,)))) == {}
    assert law.draw(Runs.of(both(make_frame(sizes=(16,)), make_frame(sizes=(32,), dataset="bios")))) == {}


def test_in_the_law_data_have_colors_and_recipes_marks():
    frame = both(make_frame(), make_frame(recipe="paper"))
    figure = only(law.draw, both(frame, frame.assign(dataset="bios")))
    (axes,) = figure.axes
    looks = [(line.get_color(), line.get_marker()) for line in curves_of(axes)]
    assert len({color for color, _ in looks}) == len({marker for _, marker in looks}) == 2
    assert len(set(looks)) == 4
    assert entries(figure)[:4] == ["bioD", "bioS", "recipe fast", "recipe paper"]


def test_two_optimizers_are_two_curves_of_the_law_and_never_one():
    low, high = make_frame(optimizer="adamw", bits_per_param=0.13), make_frame(optimizer="muon", bits_per_param=0.42)
    figure = only(law.draw, both(low, high))
    assert [set(line.get_ydata()) for line in curves_of(figure.axes[0])] == [{0.13}, {0.42}]
    assert entries(figure)[:2] == ["adamw", "muon"]


@pytest.mark.parametrize(("people", "hollow"), [((500, 2000), True), ((500, 2000, 8000), False)])
def test_a_hollow_mark_is_a_lower_bound(people, hollow):
    frame = make_frame(people=people)
    frame["bits_per_param"] = np.where(frame["people"] == 2000, 2.0, 1.0)
    figure = only(law.draw, frame)
    white = [line for line in figure.axes[0].lines if line.get_markerfacecolor() == "white"]
    assert sum(len(line.get_xdata()) for line in white) == 3 * hollow
    assert any(text.startswith("lower bound") for text in entries(figure)) == hollow


def test_bars_of_the_law_go_from_the_lowest_to_the_highest_seed():
    frame = make_frame(people=(500,), seeds=(0, 1, 2))
    figure = only(law.draw, frame)
    plain = frame[frame["quantization"] == "none"].groupby("params")["bits_per_param"]
    expected = [[low, high] for low, high in zip(plain.min(), plain.max(), strict=True)]
    np.testing.assert_allclose(bars_of(figure.axes[0]), expected)
    assert "bars: lowest and highest seed" in entries(figure)
    assert "bars: lowest and highest seed" not in entries(only(law.draw, make_frame()))


def test_at_most_four_numbers_of_exposures_are_shown():
    frame = make_frame(people=(500,), schemes=("none",))
    for exposures in range(200, 800, 100):
        frame = both(frame, make_frame(people=(500,), schemes=("none",), exposures=float(exposures)))
    figure = only(law.draw, frame)
    titles = [axes.get_title() for axes in figure.axes]
    assert titles == ["700 exposures", "500 exposures", "300 exposures", "100 exposures"]
    assert figure.get_suptitle().endswith("(4 of 7 numbers of exposures)")


def test_what_differs_has_a_line_in_a_panel_for_each_data():
    frame = both(make_frame(optimizer="adamw", seeds=(0, 1)), make_frame(optimizer="muon", bits_per_param=0.5))
    figure = only(compare.draw, both(frame, frame.assign(dataset="bios")))
    assert [axes.get_title() for axes in figure.axes if axes.get_visible()] == ["bioD", "bioS"]
    for axes in figure.axes:
        adamw, muon = curves_of(axes)
        np.testing.assert_allclose(adamw.get_xydata(), means_of(frame[frame["optimizer"] == "adamw"]))
        assert set(muon.get_ydata()) == {0.5}
    assert entries(figure) == ["adamw", "muon", "bars: lowest and highest seed"]


def test_nothing_is_compared_where_only_data_differ():
    assert compare.draw(Runs.of(make_frame())) == {}
    assert compare.draw(Runs.of(both(make_frame(), make_frame(exposures=1000.0)))) == {}
    apart = both(make_frame(recipe="fast"), make_frame(recipe="paper", dataset="bios"))
    assert compare.draw(Runs.of(apart)) == {}


def test_one_size_is_compared_against_people_and_one_point_in_rows():
    one_size = both(*(make_frame(sizes=(16,), lr=lr) for lr in (0.1, 0.2)))
    figure = only(compare.draw, one_size)
    assert figure.axes[0].get_xlabel() == "People N"
    assert [list(line.get_xdata()) for line in curves_of(figure.axes[0])] == [[500, 2000]] * 2
    rows = only(compare.draw, one_size[one_size["people"] == 500])
    assert [text.get_text() for text in rows.axes[0].get_yticklabels()] == ["lr 0.1", "lr 0.2"]
    assert rows.axes[0].get_xlabel().startswith("Bits per parameter")


def test_quantized_copies_stand_against_the_model_that_they_were_made_from():
    frame = make_frame(sizes=(16, 32), people=(500,), seeds=(0, 1))
    figure = only(quantization.draw, frame)
    assert [axes.get_title() for axes in figure.axes] == ["rtn-int8\n+embedding", "rtn-int4\n+embedding"]
    R = frame.groupby(["params", "quantization"])["bits_per_param"].mean().unstack()
    for axes, scheme in zip(figure.axes, (INT8, INT4), strict=True):
        points = [line.get_xydata()[0] for line in axes.lines if line.get_marker() == "o"]
        np.testing.assert_allclose(points, R[["none", scheme]])
    assert quantization.draw(Runs.of(frame[frame["quantization"] == "none"])) == {}
