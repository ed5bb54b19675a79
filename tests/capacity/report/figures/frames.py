"""Runs that were never trained, for figures of them."""

import json
import math

import pandas as pd

from capacity.report.figures.runs import Runs

INT8, INT4 = "rtn-int8+embedding", "rtn-int4+embedding"


def make_frame(sizes=(16, 32, 64), people=(500, 2000), schemes=("none", INT8, INT4), seeds=(0,), **shared):
    """Runs that store 2 bits a parameter until they know everything."""
    rows = []
    for width in sizes:
        for N in people:
            for seed in seeds:
                P, most = 24 * width**2 + 256 * width, N * (math.log2(1.6e8 / N) + 40)
                for scheme in schemes:
                    bits = (most * (1 - math.exp(-2 * P / most)) - 10 * seed) * (0.35 if "int4" in scheme else 1)
                    row = {"run_id": f"{width}-{N}-{seed}", "size": f"2x{width}", "params": P, "people": N}
                    row |= {"dataset": "biod", "exposures": 100.0, "junk": "0", "recipe": "fast", "seed": seed}
                    row |= {"quantization": scheme, "bits": bits, "bits_per_param": bits / P, "max_bits": most}
                    row |= {"bits_per_param_low": 0.98 * bits / P, "bits_per_param_high": 1.02 * bits / P}
                    rows.append(row | {"max_bits_per_param": most / P, "qa_accuracy": bits / most} | shared)
    return pd.DataFrame(rows)


def both(first, second):
    """The runs of two frames, under names of their own."""
    return pd.concat([first, second.assign(run_id=second["run_id"] + "-second")], ignore_index=True)


def write_metrics(out, frame):
    for run_id in frame["run_id"].unique():
        (out / run_id).mkdir(parents=True)
        lines = [json.dumps({"kind": "train", "exposures": 0.5, "loss": 3.0})]
        for exposures in (0, 1, 10, 100):
            recall = {"bits_per_param": exposures / 100 - 0.1, "qa_accuracy": exposures / 100}
            lines.append(json.dumps({"kind": "recall", "exposures": exposures, **recall}))
        (out / run_id / "metrics.jsonl").write_text("\n".join([*lines, '{"kind": "recall", "expos']))


def only(drawing, frame, *folders):
    """The one figure of some runs."""
    (figure,) = drawing(Runs.of(frame, folders)).values()
    return figure


def texts(figure):
    return [text.get_text() for axes in figure.axes for text in axes.texts]


def entries(figure):
    """What the legends say, without titles."""
    return [text.get_text() for legend in figure.legends for text in legend.get_texts()]


def curves_of(axes):
    """The lines that join marks."""
    return [line for line in axes.lines if line.get_linestyle() != "None" and line.get_marker() not in ("None", "")]


def bars_of(axes):
    """The lower and upper ends of all bars."""
    return [segment[:, 1] for collection in axes.collections for segment in collection.get_segments()]
