"""Text variety: what the settings are called is what their texts do."""

import numpy as np
import pytest

from biogen.dataset import Dataset, make_dataset
from capacity.experiments.text_variety import TEXT_VARIETY
from capacity.spec.plan import make_plans
from capacity.spec.preset import Preset


@pytest.fixture(scope="module")
def datasets():
    """A data set for each variant that is trained on."""
    plans = [
        plan
        for options in TEXT_VARIETY.sweeps("laptop")
        for plan in make_plans(Preset.model_validate({**options, "seeds": [0], "lr": 0.015, "dry_run": True}))
    ]
    return {plan.config.data.variant: make_dataset(plan.config.data) for plan in plans}


def texts(dataset: Dataset, person: int, exposures: int) -> list[str]:
    return [dataset.pieces.render(dataset.outlines(np.array([person]), e)[0])[0] for e in range(exposures)]


@pytest.mark.parametrize(
    ("name", "different"),
    [
        ("one text a person", 1),
        ("one text, sentences in an order of its own", 1),
        ("five texts a person", 5),
        ("a new text at every exposure", 20),
        ("new texts, the full name in every sentence", 20),
    ],
)
def test_a_person_has_as_many_texts_as_the_setting_says(datasets, name: str, different: int):
    variant = TEXT_VARIETY.settings[name]["variant"]
    for person in range(3):
        assert len(set(texts(datasets[variant], person, 20))) == different
