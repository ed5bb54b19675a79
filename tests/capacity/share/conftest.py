"""Finished runs that are shared."""

import pytest

from capacity.store.folders import run_folder

KNOWING = {"dataset": "bios", "people": 6, "exposures": 50, "batch": 3, "sizes": ["1x32"], "templates": 6}
RUNS = {
    "knowing": KNOWING,
    "asked": KNOWING | {"questions": "half", "exposures": 60},
    "biod": {"exposures": 1, "quantize": ["int8"]},
    "random": {"dataset": "random", "exposures": 1, "biod": {}},
    "moe": {"architecture": "moe", "exposures": 1},
}


@pytest.fixture(scope="session")
def runs(tmp_path_factory, plan_of, do):
    """The folders of finished runs, by what they are."""
    out = tmp_path_factory.mktemp("runs")
    found = {}
    for name, changes in RUNS.items():
        config = plan_of(**changes).config
        run_folder(out, config).write_config(config)
        assert do(run_folder(out, config))
        found[name] = run_folder(out, config).path
    return found
