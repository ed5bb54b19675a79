"""Stores of runs that were never trained, with learning curves, for pages."""

import json

import pytest

from tests.capacity.records import make_config, make_record, make_row

HOSTILE = "<img src=x onerror=\"document.title='run'\">"
"""A text that changes the page's title if it is run."""
CLOSING = "</script><script>document.title='run'</script><!-- "


def write_run(out, run_id, **changed):
    """A finished run with a copy and a learning curve."""
    row = make_row(run_id, **{"loss_value_employer": 0.2, "qa_accuracy_employer": 0.9} | changed)
    copy = row | {"quantization": "int8", "bits_per_param": 0.9 * row["bits_per_param"]}
    folder = out / run_id
    folder.mkdir(parents=True)
    (folder / "result.json").write_text(json.dumps(make_record([row, copy], make_config(row))))
    R = row["bits_per_param"]
    lines = [
        {"kind": "recall", "exposures": e, "bits_per_param": R * e / 1000, "qa_accuracy": 0.5} for e in (1, 10, 1000)
    ]
    lines += [{"kind": "train", "exposures": e, "loss": 5 / e} for e in range(1, 300)]
    (folder / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))


@pytest.fixture
def store(tmp_path):
    """Two sizes with three N each, two seeds of one of them."""
    out = tmp_path / "sweep"
    sizes = {"1x16": (14_000, 1.2), "2x32": (28_000, 1.5)}
    for size, (params, R) in sizes.items():
        for place, people in enumerate((100, 200, 400)):
            of_run = {"size": size, "params": params, "people": people, "bits_per_param": R - abs(place - 1) / 5}
            write_run(out, f"run-{size}-{people}", **of_run)
    write_run(out, "other-seed", size="1x16", params=14_000, people=200, bits_per_param=1.4, seed=1)
    return out


@pytest.fixture
def hostile(tmp_path):
    """A store whose texts are HTML and scripts."""
    out = tmp_path / CLOSING.replace("/", "")
    write_run(out, HOSTILE, recipe=CLOSING, size=HOSTILE, junk=CLOSING, optimizer=HOSTILE)
    write_run(out, "other", recipe=HOSTILE, size="2x48", params=7, loss_name=1.0)
    return out
