"""A sweep that grows until the best N lies between others, whatever R is as a function of N."""

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from capacity.runner.bracket import Bracket
from capacity.spec.plan import make_plans
from capacity.spec.preset import Preset
from capacity.store.folders import run_folder

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
    exposures = plan.config.exposures
    rows = [row | {"exposures": exposures} for row in rows]
    folder.result.write_text(json.dumps({"run_id": plan.run_id, "config": {"exposures": exposures}, "rows": rows}))


def people_of(plans):
    return [plan.config.data.people for plan in plans]


@pytest.mark.parametrize("R", [float("nan"), float("inf"), 10**400, "1", True, None, [1]], ids=repr)
def test_an_R_that_is_no_number_is_none(tmp_path, R):
    bracket = Bracket(ALLOWED, r_max_of(30), tmp_path)
    (plan,) = bracket.plans
    finish(tmp_path, plan, R)
    assert bracket.grow() == []
    assert "is not known" in bracket.unfinished()[0]


def r_max_of(*people):
    """What of R max lets a sweep begin with these N of ALLOWED."""
    found = [plan.max_bits / plan.parameters for plan in ALLOWED if plan.config.data.people in people]
    return min(found), max(found)


@settings(max_examples=30)  # each writes the files of a sweep
@given(
    R=st.lists(st.floats(0, 3), min_size=len(PEOPLE), max_size=len(PEOPLE)),
    ends=st.tuples(st.sampled_from(PEOPLE), st.sampled_from(PEOPLE)).map(sorted),
)
def test_it_ends_with_a_best_that_lies_between_others_or_at_an_end_of_the_list(tmp_path_factory, R, ends):
    out, by_people = tmp_path_factory.mktemp("out"), dict(zip(PEOPLE, R, strict=True))
    bracket = Bracket(ALLOWED, r_max_of(*ends), out)
    todo = list(bracket.plans)
    assert people_of(todo) == [N for N in PEOPLE if ends[0] <= N <= ends[1]]
    while todo:
        for plan in todo:
            assert bracket.grow() == []  # as long as one is missing
            finish(out, plan, by_people[plan.config.data.people])
        todo = bracket.grow()
    tried = sorted(people_of(bracket.plans))
    places = [PEOPLE.index(N) for N in tried]
    assert places == list(range(places[0], places[-1] + 1))  # no gap, none twice
    best = max(tried, key=by_people.__getitem__)
    assert best > tried[0] or tried[0] == PEOPLE[0]
    assert best < tried[-1] or tried[-1] == PEOPLE[-1]
    assert len(bracket.unfinished()) == (best in (PEOPLE[0], PEOPLE[-1]))
    again = Bracket(ALLOWED, r_max_of(*ends), out)  # the same command again finds the same
    again.grow()
    assert sorted(people_of(again.plans)) == tried
    assert again.grow() == []


@pytest.mark.parametrize(("r_max", "begun"), [((0.0, 1e-6), [20]), ((90.0, 99.0), [64]), (None, list(PEOPLE))])
def test_a_size_without_an_N_in_r_max_begins_with_the_nearest(tmp_path, r_max, begun):
    assert people_of(Bracket(ALLOWED, r_max, tmp_path).plans) == begun


def test_a_single_N_gets_both_its_neighbours(tmp_path):
    finish(tmp_path, ALLOWED[2], 1.0)
    assert people_of(Bracket(ALLOWED, r_max_of(30), tmp_path).grow()) == [25, 40]


def test_seeds_count_by_their_mean(tmp_path):
    allowed = make_plans(Preset.model_validate(OPTIONS | {"seeds": (0, 1)}))
    bracket = Bracket(allowed, r_max_of(30, 40), tmp_path)
    for plan in bracket.plans:  # one seed is best at 40, but 30 is better in the mean
        N, seed = plan.config.data.people, plan.config.data.seed
        finish(tmp_path, plan, {(30, 0): 1.0, (30, 1): 1.0, (40, 0): 1.4, (40, 1): 0.5}[N, seed])
    new = bracket.grow()
    assert [(plan.config.data.people, plan.config.data.seed) for plan in new] == [(25, 0), (25, 1)]


def test_each_exposures_grow_on_their_own(tmp_path):
    allowed = make_plans(Preset.model_validate(OPTIONS | {"exposures": (2, 3, 4)}))
    bracket = Bracket(allowed, r_max_of(30, 40), tmp_path)
    for plan in bracket.plans:
        N, exposures = plan.config.data.people, plan.config.exposures
        if exposures < 4:  # of those nothing is known yet
            finish(tmp_path, plan, float(N if exposures == 2 else -N))
    assert {(plan.config.exposures, plan.config.data.people) for plan in bracket.grow()} == {(2, 50), (3, 25)}


@pytest.mark.parametrize("text", ["", "{}", '{"rows": []}', '{"rows": [{"quantization": "none"}]}', "[1]"])
def test_a_result_without_R_adds_nothing(tmp_path, text):
    finish(tmp_path, ALLOWED[2], 1.0)
    run_folder(tmp_path, ALLOWED[2].config).result.write_text(text)
    bracket = Bracket(ALLOWED, r_max_of(30), tmp_path)
    assert bracket.grow() == []
    assert bracket.unfinished() == ["1x16 after 2 exposures: the best N is not known, as a run has no result"]
