"""A place in the data is one that these batches can have, or it is refused in one line."""

from collections.abc import Callable
from contextlib import suppress

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from biogen.datasets.bios import BioS
from tests.biogen.batches import make_batches

LAYOUTS = ["rows", "packed"]
COUNTS = ["chunk", "served", "junk_texts", "useful_windows", "junk_windows"]


@pytest.fixture(params=LAYOUTS)
def state(request: pytest.FixtureRequest, bios: Callable[..., BioS]):
    """Fresh batches, and the state of others after a few of them."""

    def make():
        return make_batches(bios(50, junk="1/2"), request.param, exposures=2, batch=5)

    running = make()
    batches = iter(running)
    for _ in range(18):
        next(batches)
    found = running.state()
    assert request.param == "rows" or "waiting.inputs" in found
    return make, found


def refused(make, state, told):
    with pytest.raises(ValueError, match=told) as caught:
        make().restore(state)
    assert str(caught.value).isprintable()


def test_what_it_gives_it_takes(state):
    make, found = state
    batches = make()
    assert 0 < batches.restore(found) < 2
    again = batches.state()
    assert again.keys() == found.keys()
    assert all(np.array_equal(array, again[name]) for name, array in found.items())


TYPES = ["int8", "int16", "int64", "uint64", "float32", "float64", "bool", "complex64"]


@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_arrays_of_other_names_types_and_shapes_are_refused(state, data):
    make, found = state
    altered = dict(found)
    name = data.draw(st.sampled_from(sorted(found)))
    array = altered.pop(name)
    shapes = [(), (0,), (*array.shape, 1), (len(array) + 1, *array.shape[1:])]
    kind = data.draw(st.sampled_from(["missing", "renamed", "type", "shape"]))
    if kind == "renamed":
        altered[data.draw(st.sampled_from([f"{name}s", f"x.{name}", "", "\x1b[31m" * 50]))] = array
    elif kind == "type":
        altered[name] = array.astype(data.draw(st.sampled_from([t for t in TYPES if array.dtype != t])))
    elif kind == "shape":
        altered[name] = np.zeros(data.draw(st.sampled_from([s for s in shapes if s != array.shape])), array.dtype)
    refused(make, altered, "is not allowed")


@pytest.mark.parametrize("by", [-(10**6), -1, 1, 5, 10**6, 10**15, 2**62])
@pytest.mark.parametrize("count", COUNTS)
def test_another_place_is_refused_or_has_other_exposures(state, count, by):
    make, found = state
    position = found["position"].copy()
    position[COUNTS.index(count)] += by
    before = make().restore(found)
    with suppress(ValueError):
        reached = make().restore(found | {"position": position})
        assert reached != before or count == "junk_texts"


@pytest.mark.parametrize("value", [-2, 10**6, -(2**31)])
def test_tokens_that_do_not_exist_are_refused(state, value):
    make, found = state
    for name, array in found.items():
        if array.dtype == np.int32:
            altered = array.copy()
            altered.flat[-1] = value
            refused(make, found | {name: altered}, f"^{name}: .* is not allowed; must be int32")
