"""Small runs whose data, weights and losses are pinned.

`python -m tests.pins` prints them as JSON, `--write` keeps them.

Whatever is moved or rewritten, the same seeds give the same weights. They are made with AVX2 alone and MKL's
reproducible mode, so that the bits are the same on every processor with AVX2. Where a `probe` of basic operations
shows arithmetic on which nothing was pinned (another compiler, another libm), losses are compared within a tolerance.
"""

import argparse
import hashlib
import json
import os
import sys
import tempfile
from pathlib import Path
from typing import Any

FILE = Path(__file__).with_suffix(".json")
ENVIRONMENT = {
    **{"ATEN_CPU_CAPABILITY": "avx2", "ONEDNN_MAX_CPU_ISA": "AVX2", "MKL_CBWR": "COMPATIBLE", "OMP_NUM_THREADS": "1"},
}
"""How the process that makes the runs must have been started."""

BIOD = {
    **{"dataset": "biod", "sizes": ["2x32"], "people": 60, "exposures": 6, "batch": 16, "device": "cpu"},
    **{"biod": {"K": 2, "C": 2, "D": 8, "L": 1, "T": 8}, "quantize": ["int8"], "precision": "fp32"},
}
BIOS = {
    **{"dataset": "bios", "sizes": ["1x32"], "people": 90, "exposures": 4, "batch": 16, "device": "cpu"},
    **{"templates": 12, "tokenizer": "word", "quantize": ["int4"], "precision": "fp32"},
    "pools": {
        **{"first_names": 20, "middle_names": 20, "last_names": 20, "years": 9, "majors": 9, "employers": 9},
        **{"birth_cities": 9, "universities": 9},
    },
}
RUNS: dict[str, dict[str, Any]] = {
    "biod adamw kernels": BIOD | {"optimizer": "adamw", "kernels": "native"},
    "biod muon kernels, junk": BIOD | {"optimizer": "muon", "kernels": "native", "junk": "1/4", "layout": "rows"},
    "biod adamw pytorch": BIOD | {"recipe": "paper", "kernels": "pytorch", "context": 32, "layout": "packed"},
    "biod muon pytorch, width 24": BIOD | {"optimizer": "muon", "kernels": "pytorch", "sizes": ["2x24x1"], "seeds": 3},
    "biod muon bf16": BIOD | {"optimizer": "muon", "kernels": "pytorch", "precision": "bf16"},
    "bios muon kernels, questions": BIOS | {"questions": "half", "kernels": "native"},
    "bios adamw kernels, packed junk": BIOS
    | {"optimizer": "adamw", "kernels": "native", "layout": "packed", "context": 64, "junk": "1/2", "junk_people": 9},
    "bios muon pytorch, domain token": BIOS | {"kernels": "pytorch", "junk": "1/4", "domain_token": True},
    "bios paper, fixed texts, bpe": BIOS
    | {"recipe": "paper", "variant": "multi3+permute+fullname", "tokenizer": "bpe", "vocab": 300, "kernels": "native"},
}


def main() -> None:
    """Print or write what the runs come to."""
    parser = argparse.ArgumentParser(prog="python -m tests.pins", description=__doc__)
    parser.add_argument("--write", action="store_true", help="keep them in pins.json")
    options = parser.parse_args()
    if any(os.environ.get(name) != value for name, value in ENVIRONMENT.items()):
        os.execve(sys.executable, [sys.executable, "-m", "tests.pins", *sys.argv[1:]], os.environ | ENVIRONMENT)
    with tempfile.TemporaryDirectory() as folder:
        runs = {name: pin(run, Path(folder)) for name, run in RUNS.items()}
    pins = {"probes": {precision: [probe(precision)] for precision in ("fp32", "bf16")}, "runs": runs}
    text = json.dumps(pins, indent=1) + "\n"
    if options.write:
        FILE.write_text(text)
    else:
        print(text, end="")


def probe(precision: str) -> str:
    """A hash of products, e^x, logarithms and roots in a precision: the arithmetic that its runs rest on."""
    import torch

    generator = torch.Generator().manual_seed(0)
    x = torch.randn(64, 64, generator=generator).to({"fp32": torch.float32, "bf16": torch.bfloat16}[precision])
    parts = [x @ x, x.exp(), x.abs().log(), x.abs().sqrt(), x.softmax(1), torch.nn.functional.gelu(x)]
    parts.append(torch.nn.functional.scaled_dot_product_attention(x[None, None], x[None, None], x[None, None]))
    return _hash(part.float().numpy().tobytes() for part in parts)


def pin(changes: dict[str, Any], folder: Path) -> dict[str, Any]:
    """Do a run; hashes of its batches and weights, and what was measured."""
    import torch
    from safetensors.torch import load_file

    from capacity.runner.run_in_folder import Run
    from capacity.spec.plan import make_plans
    from capacity.spec.preset import Preset
    from capacity.store.folders import run_folder

    torch.set_num_threads(1)
    (plan,) = make_plans(Preset.model_validate(changes))
    where = run_folder(folder, plan.config)
    where.write_config(plan.config)
    batches = Run(where, torch.device("cpu")).batches
    data = _hash(array.tobytes() for batch in batches for array in (batch.inputs, batch.targets, batch.roles))
    assert Run(where, torch.device("cpu")).go(lambda: False)
    tensors = load_file(where.model / "model.safetensors")
    rows = json.loads(where.result.read_text())["rows"]
    kept = ("quantization", "params", "tokens", "steps", "stored_bits", "qa_accuracy", "question_accuracy_held_out")
    kept += ("loss_name", "loss_value", "loss_value1", "bits", "max_bits", "bits_per_param_low", "bits_per_param_high")
    return {
        "batches": data,
        "weights": _hash(tensors[name].numpy().tobytes() for name in sorted(tensors)),
        "rows": [{name: row[name] for name in kept if name in row} for row in rows],
    }


def _hash(parts: Any) -> str:
    digest = hashlib.sha256()
    for part in parts:
        digest.update(part)
    return digest.hexdigest()[:24]


if __name__ == "__main__":
    main()
