"""The example of a quantizer: its error is the least, and sweeps take it by its name."""

from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from basis.flags import UserError
from capacity.spec.plan import make_plans
from capacity.spec.preset import Preset
from eval.quantize import quantize
from eval.quantizers.schemes import parse_scheme

EXAMPLES = Path(__file__).parents[2] / "docs" / "examples"
BIOD = {"dataset": "biod", "sizes": "1x16", "people": 30, "device": "cpu"}


@pytest.fixture(autouse=True)
def _importable(monkeypatch):
    monkeypatch.syspath_prepend(EXAMPLES)


@given(st.integers(0, 2**32), st.sampled_from(["int3", "int4", "int4-g8", "int8"]))
def test_its_error_is_at_most_that_of_round_to_nearest(seed, scheme):
    linear = nn.Linear(32, 8, bias=False)
    linear.weight.data = torch.randn(8, 32, generator=torch.Generator().manual_seed(seed)).pow(3)
    linear.weight.data[0] = 0
    ours, size = quantize(linear, parse_scheme(f"least_error:least_error-{scheme}"))
    nearest, same_size = quantize(linear, parse_scheme(f"rtn-{scheme}"))
    assert size == same_size
    errors = [(copy.weight - linear.weight).square().sum() for copy in (ours, nearest)]
    assert errors[0] <= errors[1] * (1 + 1e-4)
    assert (ours.weight[0] == 0).all()


def test_a_sweep_takes_it_by_its_name():
    (plan,) = make_plans(Preset.model_validate(BIOD | {"quantize": ["least_error:least_error-int4+embedding"]}))
    assert plan.config.measure.quantize == ("least_error:least_error-int4+embedding",)


def test_a_quantizer_that_is_not_there_is_refused_before_anything_runs():
    with pytest.raises(UserError, match=r"^quantize: 'least_error:most_error' cannot be imported"):
        make_plans(Preset.model_validate(BIOD | {"quantize": ["least_error:most_error-int4"]}))
