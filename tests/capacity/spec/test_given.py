"""A value given on the command line is never filtered by a preset."""

import pytest

from basis.flags import UserError
from capacity.run import _what_is_given_is_run, main

PRESET = {"r_max": [0.9, 2], "sizes": ["1x16"], "people": [10, 20]}


def after(given, **values):
    values = PRESET | values
    _what_is_given_is_run(values, set(given))
    return values.get("r_max"), values.get("bracket", False)


@pytest.mark.parametrize("given", [{"sizes"}, {"people"}, {"sizes", "people", "lr"}])
def test_sizes_or_people_by_hand_switch_the_presets_r_max_off(given):
    assert after(given) == (None, False)
    assert "leaves nothing out" in _what_is_given_is_run(dict(PRESET), set(given))[0]


def test_nothing_is_said_of_r_max_where_another_option_is_refused(capsys):
    with pytest.raises(UserError, match=r"^people: 'many'"):
        main(["--people", "many"])
    assert capsys.readouterr() == ("", "")


@pytest.mark.parametrize("given", [set(), {"lr"}, {"r_max"}, {"r_max", "people", "sizes"}])
def test_r_max_stays_where_nothing_of_it_is_given_or_it_is_itself(given):
    assert after(given) == ([0.9, 2], False)


def test_a_bracket_begins_in_r_max_with_every_size_and_would_leave_people_out():
    assert after({"sizes"}, bracket=True) == ([0.9, 2], True)
    assert after({"people"}, bracket=True) == (None, False)
    assert after({"people", "bracket"}, bracket=False) == (None, False)
    with pytest.raises(UserError, match=r"^r_max: is required with --bracket"):
        after({"people", "bracket"}, bracket=True)
