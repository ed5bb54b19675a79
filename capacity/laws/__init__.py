"""Fits and other pure functions of tables of runs; the laws that `capacity.fit` knows, by name.

To add a law: a file here with an object like `capacity.laws.fit.Law`, and a line below. A user's own, in any module,
needs no line: it is named as `module:Name`. This file imports no numpy, so that programs that list names start fast.
"""

from typing import TYPE_CHECKING

from basis.registry import Registry

if TYPE_CHECKING:
    from capacity.laws.fit import Law

LAWS: "Registry[Law]" = Registry(
    "law",
    {
        "power": "capacity.laws.power:power",
        "kaplan-nd": "capacity.laws.kaplan:kaplan_nd",
        "kaplan-ns": "capacity.laws.kaplan:kaplan_ns",
        "critical-batch": "capacity.laws.critical_batch:critical_batch",
        "chinchilla-1": "capacity.laws.envelope:chinchilla_1",
        "chinchilla-2": "capacity.laws.isoflop:chinchilla_2",
        "chinchilla-3": "capacity.laws.chinchilla:chinchilla_3",
        "capacity": "capacity.laws.stored:capacity",
        "position": "capacity.laws.position:hyperbolic",
        "position-power": "capacity.laws.position:power",
        "position-time": "capacity.laws.position:hyperbolic_over_time",
        "position-time-power": "capacity.laws.position:power_over_time",
        "schedule": "capacity.laws.schedule:multi_power",
        "schedule-annealing": "capacity.laws.schedule:annealing",
    },
    needs=("formula", "needs", "fit"),
)
