"""R by active parameters counts what the model itself calls active."""

import pandas as pd
import pytest

from capacity.experiments.experts import EXPERTS
from tests.capacity.records import make_row
from train.architectures.causal_lm import outline
from train.sizes import parse_size


@pytest.mark.parametrize("experts", [1, 4, 32])
def test_active_parameters_are_the_models(experts):
    model = outline("moe", parse_size("2x16"), 69, {"experts": experts})
    params = sum(model.parameter_counts().values())
    options = {"architecture": "moe", "architecture_options.experts": experts, "recipe": "fast", "people": 100}
    size = {"size": "2x16", "layers": 2, "width": 16, "params": params, "exposures": 100, "bits": 1000.0}
    frame = pd.DataFrame([make_row("a", **options, **size, **{"biod.name_length": 3, "layout": "rows"})])
    (row,) = EXPERTS.select(frame).to_dict("records")
    assert row["params_active"] == model.active_parameters
    assert row["bits_per_active_param"] == pytest.approx(1000 / model.active_parameters)
