"""What a page says about runs."""

import json
import math

import pandas as pd
import pytest

from capacity.publish import publish
from capacity.report.page.answer import question_and_answer
from capacity.report.page.columns import cell, columns_of
from capacity.report.page.data import page_data
from capacity.report.page.people import Asked
from capacity.store.records import load
from tests.capacity.records import make_row

NOBODY = Asked(people=0)
COPY = "R rtn-int8+embedding"


@pytest.fixture
def data(store):
    return page_data([store], NOBODY)


def test_the_answer_is_computed(data):
    assert data["question"] == "How many bits of knowledge does a model store per parameter?"
    assert data["answer"] == "Models of 14,000 to 28,000 parameters store 1.30 to 1.50 bits per parameter."


@pytest.mark.parametrize(
    ("rows", "answer"),
    [
        (
            [{"bits_per_param": 1.0}],
            "A model of 59,952 parameters stores 1.00 bits per parameter. All are sizes of which one N was tried.",
        ),
        (
            [{"bits_per_param": float(N), "people": N, "exposures": e} for N, e in ((1, 10), (2, 10), (2, 1000))],
            "A model of 59,952 parameters stores 2.00 bits per parameter (10 exposures). A model of 59,952 parameters "
            "stores 2.00 bits per parameter (1,000 exposures). 1 of 2 are lower bounds, with the best N at an end of "
            "those tried. 1 of 2 are sizes of which one N was tried.",
        ),
    ],
)
def test_lower_bounds_are_said(rows, answer):
    frame = pd.DataFrame([make_row(str(place), **row) for place, row in enumerate(rows)])
    assert question_and_answer(frame)[1] == answer


def test_of_many_kinds_the_best_and_the_worst_are_named_by_what_differs():
    rates = {0.001: 0.5, 0.002: 1.5, 0.004: 1.0, 0.008: 0.7}
    rows = [
        make_row(f"{lr} {N}", lr=lr, people=N, bits_per_param=R - (N != 2) / 9)
        for lr, R in rates.items()
        for N in (1, 2, 3)
    ]
    assert question_and_answer(pd.DataFrame(rows))[1] == (
        "A model of 59,952 parameters stores 0.50 to 1.50 bits per parameter: most with lr 0.002 (2x48), least with "
        "lr 0.001 (2x48)."
    )


def test_texts_without_people_have_a_loss():
    rows = [make_row("a", bits_per_param=None, bits=None, heldout_loss=2.5)]
    question, answer = question_and_answer(pd.DataFrame(rows))
    assert "never saw" in question
    assert answer == "Held-out text costs 2.500 nats a token (a model of 59,952 parameters)."
    rows[0]["heldout_loss"] = None
    assert "Nothing is known" in question_and_answer(pd.DataFrame(rows))[1]


def test_the_table_has_every_axis_and_the_numbers(data, store):
    names = [column["name"] for column in data["columns"]]
    assert names[:5] == ["size", "params", "people", "seed", "bits_per_param"]
    assert names[-1] == "exposures"  # as all runs share them
    assert {"bits_per_param", "max_bits_per_param", COPY} <= set(names)
    assert [column["name"] for column in data["columns"] if column["axis"]] == ["size", "people", "seed", "exposures"]
    (run,) = (run for run in data["runs"] if run["id"] == "run-2x32-200")
    cells = dict(zip(names, run["cells"], strict=True))
    assert (cells["size"], cells["people"], cells["bits_per_param"], cells[COPY]) == ("2x32", 200, 1.5, 1.35)
    assert len(data["runs"]) == 7
    assert [column.name for column in columns_of(load(store))] == names


def test_a_part_tells_curves_attributes_copies_and_origin(data):
    (run,) = (run for run in data["runs"] if run["id"] == "other-seed")
    assert run["curves"]["recall"]["exposures"] == [1, 10, 1000]
    assert run["curves"]["recall"]["bits_per_param"] == [0.0014, 0.014, 1.4]
    assert 50 < len(run["curves"]["train"]["loss"]) <= 100
    assert run["attributes"] == [{"name": "employer", "loss": 0.2, "accuracy": 0.9}]
    copies = {copy["scheme"]: copy["bits_per_param"] for copy in run["copies"]}
    assert copies == {"none": 1.4, COPY.removeprefix("R "): 1.26}
    options = data["shared"]["options"] | run["options"]
    assert (options["dataset"], options["seed"], options["size"]) == ("biod", 1, "1x16")
    assert data["shared"]["origin"] | run["origin"] == {"commit": "abc"}
    assert run["facts"]["bits_per_param"] == 1.4


def test_the_figure_has_means_over_seeds_and_the_best_of_each_size(data):
    points = {(point["size"], point["N"]): point for point in data["law"]["points"]}
    two = points["1x16", 200]
    assert (two["y"], two["low"], two["high"], two["state"]) == (1.3, 1.2, 1.4, "best")
    assert sorted(data["runs"][place]["id"] for place in two["runs"]) == ["other-seed", "run-1x16-200"]
    assert [point["state"] for point in data["law"]["points"]].count("best") == 2
    assert data["law"]["levels"] == [{"exposures": 1000, "y": 2.0}, {"exposures": 100, "y": 1.0}]


@pytest.mark.parametrize(("Ns", "state"), [((7,), "only"), ((7, 8), "edge")])
def test_a_best_N_at_an_end_is_an_edge(Ns, state, tmp_path):
    from tests.capacity.report.page.conftest import write_run

    for N in Ns:
        write_run(tmp_path / "out", f"run-{N}", people=N)
    points = page_data([tmp_path / "out"], NOBODY)["law"]["points"]
    assert points[0]["state"] == state


def test_published_results_give_the_same_page(data, store, tmp_path):
    published = tmp_path / "sweep-published"
    publish(published, [store])
    found = page_data([published], NOBODY)
    assert (found["answer"], found["columns"], found["law"]) == (data["answer"], data["columns"], data["law"])
    for one, other in zip(found["runs"], data["runs"], strict=True):
        assert {**one, "curves": 0} == {**other, "curves": 0}
        for name, values in other["curves"]["recall"].items():
            assert one["curves"]["recall"][name] == pytest.approx(values)


def test_without_weights_it_says_so(store):
    assert "not in the folders of this page" in page_data([store])["people"]["why"]
    with pytest.raises(ValueError, match=r"^ask: 'nothing' is no finished run with its model"):
        page_data([store], Asked(people=5, runs=("nothing",)))


def test_a_folder_without_runs_has_none(tmp_path):
    assert page_data([tmp_path])["runs"] == []
    with pytest.raises(ValueError, match="is not there"):
        page_data([tmp_path / "none"])


@pytest.mark.parametrize(
    ("value", "written"),
    [
        (math.nan, None),
        (math.inf, None),
        (None, None),
        (pd.NA, None),
        (1 / 3, 0.333333),
        (4.0, 4),
        (True, True),
        ("a", "a"),
    ],
)
def test_cells_are_values_of_json(value, written):
    assert cell(value) == written
    assert json.dumps(cell(value), allow_nan=False)
