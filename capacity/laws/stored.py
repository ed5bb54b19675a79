"""The capacity law over parameters and exposures: the bits that a model of P parameters stores of all there are.

The form is `PassesLaw` (`capacity.laws.passes`): a ceiling of so many bits a parameter, which is Allen-Zhu and Li's law
(arXiv 2404.05405, result 1), reached the later the smaller the model. Dividing by P gives R over N and exposures.
"""

from dataclasses import dataclass

import numpy as np
import pandas as pd

from capacity.laws.fit import Columns, Fit, Values, require_levels
from capacity.laws.fitting import columns, make_fit
from capacity.laws.passes import BOUNDS, fit_passes, share
from capacity.laws.regression import Parameter, Problem


@dataclass(frozen=True)
class Stored:
    """share = min(1, capacity·x)·(1 − exp(−(exposures/scale·x^slope)^steepness)), x = params/max_bits."""

    formula = "share = min(1, capacity·x)·(1 − exp(−(exposures/scale·x^slope)^steepness)), x = params/max_bits"
    needs = ("params", "exposures", "max_bits", "bits")

    def fit(self, table: pd.DataFrame, *, draws: int = 1000, seed: int = 0) -> Fit:
        """Least squares of shares of all bits. Raises ValueError for too few levels."""
        points = columns(table, self.needs, any_sign=("bits",))
        points["share"] = points.pop("bits") / points["max_bits"]
        require_levels(points, {"params": 2, "exposures": 2}, 4)
        start = fit_passes(points["params"] / points["max_bits"], points["exposures"], points["share"])
        values = {name: value for name, value in start._asdict().items() if name != "error"}
        parameters = tuple(Parameter(name, *BOUNDS[name]) for name in values)
        problem = Problem(stored, parameters, points, "share", [values], logs=False)
        enough = {"params": 3, "exposures": 3}
        return make_fit("capacity", self.formula, problem, draws=draws, seed=seed, enough=enough)


def stored(values: Values, where: Columns) -> np.ndarray:
    """The share that is known."""
    scale, slope, steepness, most = (values[name] for name in BOUNDS)
    return share(scale, slope, steepness, most, where["params"] / where["max_bits"], where["exposures"])


capacity = Stored()
