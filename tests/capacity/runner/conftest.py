"""What the tests of a run and of its process share."""

import signal

import pytest

from tests.capacity.conftest import metrics_of


def alike(whole, parts, rows_of):
    """Whether two runs ended the same: results, metrics and weights, to the last bit."""
    for ours, theirs in zip(rows_of(whole), rows_of(parts), strict=True):
        assert ours | {"seconds": 0} == theirs | {"seconds": 0}
    assert metrics_of(parts.path) == metrics_of(whole.path)
    contents = [(folder.model / "model.safetensors").read_bytes() for folder in (whole, parts)]
    assert contents[0] == contents[1]


@pytest.fixture
def handlers():
    """Puts back the signal handlers that a worker's main sets."""
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)
