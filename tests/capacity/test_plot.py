"""Figures for papers: as wide as a column, in the formats asked for, with the runs that they show."""

import re

import pandas as pd
import pytest

from basis.flags import UserError
from capacity import plot
from capacity.reproduce import RESULTS

LAW = str(RESULTS / "law-laptop")


def width_of(path):
    """Inches of the page of a PDF file."""
    box = re.search(rb"/MediaBox\s*\[\s*0 0 ([0-9.]+) ", path.read_bytes())
    return float(box[1]) / 72


@pytest.mark.parametrize("width", [3.3, 6.8])
def test_a_figure_is_as_wide_as_a_column(width, tmp_path, capsys):
    assert plot.main(["law", LAW, "--width", str(width), "--format", "pdf", "csv", "--out", str(tmp_path)]) == 0
    pdf, csv = tmp_path / "plots" / "law.pdf", tmp_path / "plots" / "law.csv"
    assert capsys.readouterr().out.splitlines() == [str(pdf), str(csv)]
    assert width_of(pdf) == pytest.approx(width, abs=0.01)
    shown = pd.read_csv(csv)
    assert {"run_id", "bits_per_param", "exposures"} <= set(shown)


def test_other_figures_beside_are_left_alone(tmp_path):
    plots = tmp_path / "plots"
    plots.mkdir()
    for name in ("compare.pdf", "law.png", "mine.pdf"):
        (plots / name).write_text("before")
    assert plot.main(["law", LAW, "--out", str(tmp_path)]) == 0
    assert all((plots / name).read_text() == "before" for name in ("compare.pdf", "law.png", "mine.pdf"))


def test_an_experiment_has_its_own_figures(tmp_path):
    arguments = ["optimizers", str(RESULTS / "comparisons"), "--format", "svg", "--out", str(tmp_path)]
    assert plot.main(arguments) == 0
    assert [path.name for path in (tmp_path / "plots").iterdir()] == ["settings.svg"]


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (["nothing", LAW], r"figure: 'nothing' is not allowed; must be law"),
        (["settings", LAW], r"name: settings shows nothing of these runs"),
        (["law", LAW, "--width", "1"], r"width: '1' is not allowed; must be 2 to 30 inches"),
        (["law", LAW, "--width", "nan"], r"width: 'nan' is not allowed; must be 2 to 30 inches"),
        (["law", LAW, "--format", "bmp"], r"format.*bmp"),
        (["kaplan", LAW], r"folder: .* has no finished run that kaplan shows"),
        (["law", "nowhere"], r"nowhere"),
    ],
)
def test_mistakes_cost_a_line_and_write_nothing(arguments, line, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError, match=line):
        plot.main(arguments)
    assert not any(path.is_file() for path in tmp_path.rglob("*"))
