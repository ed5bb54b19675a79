"""A sweep that grows until the best N lies between others, whatever R is as a function of N."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from capacity.bracket import Bracket
from capacity.config import Preset
from capacity.plan import make_plans
from capacity.store import run_folder

PEOPLE = (20, 25, 30, 40, 50, 64)
OPTIONS = {
    **{"dataset": "biod", "sizes": "1x16", "people": PEOPLE, "exposures": 2},
    "biod": {"K": 2, "C": 2, "D": 8, "L": 1, "T": 8},
}
ALLOWED = make_plans(Preset.model_validate(OPTIONS))


def finish(out, plan, R):
    """Write what a run's result says of R, among other things."""
    folder = run_folder(out, plan.config)
    folder.path.mkdir(parents=True, exist_ok=True)
    rows = [{"quantization": "int8", "bits_per_param": 9.0}, {"quantization": "none", "bits_per_param": R}]
    folder.result.write_text(json.dumps({"rows": rows}))


def people_of(plans):
    return [plan.config.data.people for plan in plans]


@given(
    R=st.lists(st.floats(0, 3), min_size=len(PEOPLE), max_size=len(PEOPLE)),
    ends=st.tuples(st.integers(0, len(PEOPLE) - 1), st.integers(0, len(PEOPLE) - 1)).map(sorted),
)
def test_it_ends_with_a_best_that_lies_between_others_or_at_an_end_of_the_list(tmp_path_factory, R, ends):
    out, by_people = tmp_path_factory.mktemp("out"), dict(zip(PEOPLE, R, strict=True))
    first = ALLOWED[ends[0] : ends[1] + 1]
    bracket = Bracket(first, ALLOWED, out)
    todo = list(first)
    while todo:
        for plan in todo:
            assert people_of(bracket.more()) == []  # as long as one is missing
            finish(out, plan, by_people[plan.config.data.people])
        todo = bracket.more()
    tried = sorted(people_of(bracket.plans))
    places = [PEOPLE.index(N) for N in tried]
    assert places == list(range(places[0], places[-1] + 1))  # no gap, none twice
    best = max(tried, key=by_people.__getitem__)
    assert best > tried[0] or tried[0] == PEOPLE[0]
    assert best < tried[-1] or tried[-1] == PEOPLE[-1]
    again = Bracket(first, ALLOWED, out)  # the same command again finds the same
    assert sorted(people_of([*first, *again.more()])) == tried
    assert again.more() == []


def test_a_single_N_gets_both_its_neighbours(tmp_path):
    finish(tmp_path, ALLOWED[2], 1.0)
    assert people_of(Bracket(ALLOWED[2:3], ALLOWED, tmp_path).more()) == [25, 40]


def test_seeds_count_by_their_mean(tmp_path):
    allowed = make_plans(Preset.model_validate(OPTIONS | {"seeds": (0, 1)}))
    first = [plan for plan in allowed if plan.config.data.people in (30, 40)]
    for plan in first:  # one seed is best at 40, but 30 is better in the mean
        N, seed = plan.config.data.people, plan.config.data.seed
        finish(tmp_path, plan, {(30, 0): 1.0, (30, 1): 1.0, (40, 0): 1.4, (40, 1): 0.5}[N, seed])
    new = Bracket(first, allowed, tmp_path).more()
    assert [(plan.config.data.people, plan.config.data.seed) for plan in new] == [(25, 0), (25, 1)]


def test_sizes_and_exposures_grow_on_their_own(tmp_path):
    allowed = make_plans(Preset.model_validate(OPTIONS | {"sizes": ("1x16", "2x16"), "exposures": (2, 3)}))
    first = [plan for plan in allowed if plan.config.data.people in (30, 40)]
    grows = ("2x16", 3)
    for plan in first:
        N, kind = plan.config.data.people, (plan.config.size, plan.config.exposures)
        if kind[0] == "2x16":  # of the other size nothing is known yet
            finish(tmp_path, plan, float(N if kind == grows else -N))
    new = Bracket(first, allowed, tmp_path).more()
    found = {(plan.config.size, plan.config.exposures, plan.config.data.people) for plan in new}
    assert found == {("2x16", 3, 50), ("2x16", 2, 25)}


@pytest.mark.parametrize("text", ["", "{}", '{"rows": []}', '{"rows": [{"quantization": "none"}]}', "[1]"])
def test_a_result_without_R_adds_nothing(tmp_path, text):
    finish(tmp_path, ALLOWED[2], 1.0)
    run_folder(tmp_path, ALLOWED[2].config).result.write_text(text)
    assert Bracket(ALLOWED[2:3], ALLOWED, tmp_path).more() == []
