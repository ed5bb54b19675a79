"""Small trained models with their people, and the codes of these."""

import pytest

from tests.eval.proof.proved import Proved


@pytest.fixture(scope="session")
def runs(biod_run, bios_run):
    return {"biod": biod_run, "bios": bios_run}


@pytest.fixture(scope="session", params=["biod", "bios"])
def proved(request, runs):
    return Proved(runs[request.param])


@pytest.fixture(scope="session")
def written(proved):
    return proved.write()
