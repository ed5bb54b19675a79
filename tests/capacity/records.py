"""Records of runs that were never trained, and folders of them."""

import json

from capacity.store.records import COLUMNS


def make_row(run_id, quantization="none", **changed):
    row = dict.fromkeys(COLUMNS)
    row |= {"run_id": run_id, "size": "2x48", "params": 59_952, "dataset": "biod", "people": 1000}
    row |= {"exposures": 1000.0, "junk": "0", "recipe": "paper", "quantization": quantization, "seed": 0}
    row |= {"loss_name": 6.91, "loss_value": 0.1 + 0.2, "bits": 1e5, "bits_per_param": 1.65, "max_bits": 104_316.5}
    row |= {"bits_per_param_low": 1.6, "bits_per_param_high": 1.7, "max_bits_per_param": 2.74, "qa_accuracy": 0.97}
    return row | changed


def make_config(row, training=(), **measure):
    """The configuration of a run that measured a row; options of its training and of its measurement besides."""
    data = {name: row[name] for name in ("dataset", "people", "seed", "junk")}
    measure = {"quantize": [], "quantize_embedding": True, "eval_people": 50_000} | measure
    config = {"size": row["size"], "exposures": row["exposures"], "data": data, "measure": measure, "format": 2}
    return config | {"training": {"recipe": row["recipe"], **dict(training)}}


def make_record(rows, config=None, taken_over=False):
    """The result.json of a run."""
    provenance = {"training_of": "some run"} if taken_over else {"commit": "abc"}
    config = make_config(rows[0]) if config is None else config
    return {"run_id": rows[0]["run_id"], "config": config, "provenance": provenance, "rows": rows}


def write_store(out, rows, **of):
    """The folder of a sweep. of: `config` and `taken_over` of a run, by its id."""
    by_run = {}
    for row in rows:
        by_run.setdefault(row["run_id"], []).append(row)
    for run_id, of_run in by_run.items():
        (out / run_id).mkdir(parents=True)
        (out / run_id / "result.json").write_text(json.dumps(make_record(of_run, **of.get(run_id, {}))))
