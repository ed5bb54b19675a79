"""Runs are averaged over seeds and nothing else, and kinds are named by what differs."""

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from capacity.laws.groups import AXES, PRIMARY, differing, kinds, label

OPTIONS = ("dataset", "size", "people", "exposures", "seed", "junk", "recipe", "optimizer", "lr", "batch", "mlp")
VALUES = {
    **{"dataset": ["bios", "biod"], "size": ["2x16", "2x32"], "people": [100, 200], "exposures": [100, 1000]},
    **{"seed": [0, 1], "junk": ["0", "7/8"], "recipe": ["fast", "paper"], "optimizer": ["adamw", "muon"]},
    **{"lr": [0.01, 0.003], "batch": [16, None], "mlp": [None, "gated"]},
}
FRAMES = st.lists(
    st.fixed_dictionaries({name: st.sampled_from(values) for name, values in VALUES.items()}), min_size=1, max_size=12
).map(pd.DataFrame)


def alike(frame, keys):
    """Sets of rows that are alike in all keys."""
    return [rows for _, rows in frame.groupby(keys, dropna=False)] if keys else [frame]


@given(FRAMES)
def test_what_is_alike_in_the_keys_differs_in_the_seed_alone(frame):
    for rows in alike(frame, differing(frame, OPTIONS)):
        assert len(rows.drop(columns="seed").drop_duplicates()) == 1


@given(FRAMES)
def test_an_option_that_follows_from_those_before_it_is_no_key(frame):
    keys = differing(frame, OPTIONS)
    assert "seed" not in keys
    assert all(frame[name].nunique(dropna=False) > 1 for name in keys)
    for place, name in enumerate(keys):
        if name not in PRIMARY:
            assert any(rows[name].nunique(dropna=False) > 1 for rows in alike(frame, keys[:place]))


@given(FRAMES, st.randoms())
def test_neither_the_order_of_rows_nor_a_row_twice_matters(frame, chance):
    rows = list(range(len(frame))) * 2
    chance.shuffle(rows)
    assert differing(frame.iloc[rows], OPTIONS) == differing(frame, OPTIONS)


@given(FRAMES, st.dictionaries(st.sampled_from(VALUES["size"]), st.integers(1, 9)))
def test_what_the_recipe_decides_from_the_size_adds_nothing(frame, warmup):
    decided = frame.assign(warmup_steps=[warmup.get(size, 0) for size in frame["size"]])
    assert differing(decided, (*OPTIONS[:-1], "warmup_steps", "mlp")) == differing(frame, OPTIONS)


@given(FRAMES)
def test_labels_are_as_many_as_kinds(frame):
    kind = kinds(frame, OPTIONS)
    assert not set(kind) & set(AXES)
    values = frame[kind].drop_duplicates().to_dict("records") if kind else []
    labels = [label(one) for one in values]
    assert len(set(labels)) == len(values)
    assert all(labels)


@pytest.mark.parametrize(
    ("values", "name"),
    [
        ({"optimizer": "muon"}, "muon"),
        ({"lr": 0.01}, "lr 0.01"),
        ({"junk": "7/8", "junk_people": 1000}, "7/8 junk, junk people 1000"),
        ({"junk": "0", "junk_people": None}, "no junk"),
        ({"dataset": "bios", "exposures": 1000.0, "recipe": "fast"}, "bioS, 1,000 exposures, recipe fast"),
        ({"mlp": None}, "mlp none"),
    ],
)
def test_a_kind_is_named_by_what_differs(values, name):
    assert label(values) == name
