"""Recipes: every number of a training from the size of the model and of the data.

In: the options of a preset, a model's size, a data set. Out: a `Training` with nothing left open. Options that a preset
sets are kept.
"""

import math
from typing import Any

from biogen.config import DataConfig
from capacity.spec.config import Training, TrainingOptions
from train.native.form import KernelForm
from train.native.library import instruction_set
from train.optimizers import OPTIMIZERS
from train.settings import Settings
from train.sizes import Size

_PAPER_WINDOW = 512
# Allen-Zhu and Li, arXiv 2404.05405, appendix A, 1000 exposures: people, lr, weight decay, windows a batch.
_PAPER_1000 = [
    (10_000, 1e-3, 0.02, 24),
    (20_000, 1e-3, 0.02, 48),
    (50_000, 1e-3, 0.02, 96),
    (100_000, 1e-3, 0.02, 192),
    (500_000, 5e-4, 0.01, 192),
    (1_000_000, 5e-4, 0.01, 192),
    (2_000_000, 3e-4, 0.005, 1536),
    (5_000_000, 3e-4, 0.002, 1536),
    (10_000_000, 3e-4, 0.001, 1536),
]
# The same at 100 exposures.
_PAPER_100 = [
    (50_000, 1e-3, 0.01, 12),
    (100_000, 1e-3, 0.01, 24),
    (200_000, 1e-3, 0.01, 48),
    (500_000, 5e-4, 0.01, 96),
    (1_000_000, 5e-4, 0.01, 192),
]
_WIDE = 512
"""From this width on the paper's recipe starts from GPT-2's initialization; narrower models starve with it."""


def resolve(
    options: TrainingOptions, *, size: Size, weights: int, data: DataConfig, exposures: int | float, text_tokens: float
) -> Training:
    """Decide what the options leave open. weights: non-embedding ones; text_tokens: mean tokens of a biography."""
    layout = options.layout or ("packed" if options.recipe == "paper" else "rows")
    decided = _paper(size, data, exposures) if options.recipe == "paper" else _fast(weights, data)
    if options.recipe == "fast":
        decided |= _FAST_WITH.get(options.optimizer or "", {})
    tokens = exposures * tokens_an_exposure(data, text_tokens)
    window = options.context if layout == "packed" else text_tokens
    batch_tokens = decided.pop("batch_tokens")
    if (least_steps := decided.pop("least_steps", None)) is not None:
        batch_tokens = min(batch_tokens, max(batch_tokens / 2, tokens / least_steps))
    batch_tokens = max(batch_tokens, tokens / decided.pop("most_steps"))
    batch = options.batch or max(1, round(batch_tokens / window))
    steps = tokens / (batch * window)
    decided["warmup_steps"] = round(min(decided.pop("warmup_steps"), decided.pop("warmup_share") * steps))
    given = {key: value for key, value in options.model_dump().items() if value is not None}
    if OPTIMIZERS[given.get("optimizer", decided["optimizer"])].one_lr:
        decided["embedding_lr"] = given.get("lr", decided["lr"])
    if options.schedule == "constant":
        given["final_lr"] = 1.0  # whatever is given, it does not fall
    return Training(**{"layout": layout, **decided, **given, "batch": batch})


def tokens_an_exposure(data: DataConfig, text_tokens: float) -> float:
    """About how many tokens there are in an exposure, without questions."""
    return data.people * text_tokens / (1 - float(data.junk))


def settings_of(
    training: Training,
    exposures: int | float,
    *,
    form: KernelForm | None,
    on_gpu: bool,
    processes: int = 1,
    tokens: int | None = None,
) -> Settings:
    """The settings of the training loop from a recipe.

    `auto` means bf16 and compiled on a GPU; elsewhere native kernels if they fit the model, in bf16 if the CPU can.
    exposures, tokens: those of the whole training; tokens end it if they are given. form: the model as the kernels see
    it; None if they cannot train it. Raises ValueError for native kernels that
    cannot be used.
    """
    same = Settings.__dataclass_fields__.keys() & Training.model_fields.keys() - {"compile"}
    compiled = training.compile == "on" or (training.compile == "auto" and on_gpu)
    stepping = OPTIMIZERS[training.optimizer].native
    misfit = "architecture: they do not know it" if form is None else form.misfit()
    fitting = training.kernels != "pytorch" and stepping and not (misfit or on_gpu or compiled or processes > 1)
    exact = fitting and instruction_set() is not None  # measuring needs these in any case
    fast = exact and instruction_set(True) is not None
    bf16 = training.precision == "bf16" or (training.precision == "auto" and (on_gpu or fast))
    native = fast if bf16 else exact
    if training.kernels == "native" and not native:
        missing = {
            "a CPU (device cpu)": on_gpu,
            "compile off": compiled,
            f"another model ({misfit})": misfit,
            "an optimizer that the kernels know": not stepping,
            "one process": processes > 1,
            "a CPU with AVX2 and the libraries that an installation with a C++ compiler builds": not instruction_set(),
            "a CPU with AVX512_BF16 or AMX, or precision fp32": bf16 and not instruction_set(True),
        }
        needs = " and ".join(need for need, lacks in missing.items() if lacks)
        raise ValueError(f"kernels: native needs {needs}; otherwise it must be auto or pytorch")
    found = {name: getattr(training, name) for name in same}
    values: dict[str, Any] = {name: 0.0 if value is None else value for name, value in found.items()}
    return Settings(
        exposures=exposures,
        bf16=bf16,
        compile=compiled,
        native=native,
        tokens=tokens,
        **values,
    )


def _paper(size: Size, data: DataConfig, exposures: int | float) -> dict[str, Any]:
    """The paper's protocol, read off its table at the nearest N.

    Where it has no row we extend it and say how: below N = 10,000, see `_below_the_paper`; at 100 exposures the batch
    shrinks in proportion from N = 50,000 down to there, since small N "get small batches" so that the number of steps
    stays (its remark on 50K steps); between 100 and 1000 exposures the nearer table in logarithm is taken. It leaves
    betas and eps open; we take (0.9, 0.98) and 1e-8, because the 1e-6 of Part 3.1 (arXiv 2309.14316) costs narrow
    models much at the end (docs/notebook.md).
    """
    people = data.people
    table = _PAPER_1000 if exposures > math.sqrt(100 * 1000) else _PAPER_100
    row_people, lr, weight_decay, batch = min(table, key=lambda row: abs(math.log(row[0] / people)))
    shrink = min(1.0, people / row_people) if row_people == table[0][0] else 1.0
    sizes: dict[str, float] = {"batch_tokens": batch * _PAPER_WINDOW * shrink, "most_steps": math.inf}
    if people < _PAPER_1000[0][0]:
        lr, weight_decay, sizes = _below_the_paper(size)
    return {
        **sizes,
        "optimizer": "adamw",
        "initialization": "gpt2" if size.width >= _WIDE else "width",
        "lr": lr,
        "embedding_lr": lr,
        "weight_decay": weight_decay,
        "beta1": 0.9,
        "beta2": 0.98,
        "eps": 1e-8,
        "momentum": 0.95,
        "warmup_steps": 1000,
        "warmup_share": 0.1,
        "final_lr": 0.1,
        "clip": 1.0,
    }


_PAPER_WIDTH, _PAPER_HEAD = 768, 64
_SMALL_BATCH = 960.0


def _below_the_paper(size: Size) -> tuple[float, float, dict[str, float]]:
    """Learning rate, weight decay and batches for fewer people than the paper has: its protocol, continued.

    Its weight decay rises as N falls, and ours too; its 60K steps stay. Its learning rates were searched for, N by N,
    and ours width by width (docs/notebook.md): below the paper's narrowest models, of one head of 64, they follow
    GPT-2's width by the power 2/3; from there on they fall faster, by 0.21/width, to the paper's 1e-3. With the paper's
    1e-3 and 0.02, width 48 stores a quarter less.
    """
    lr = 1e-3 * (_PAPER_WIDTH / size.width) ** (2 / 3) if size.width < _PAPER_HEAD else max(1e-3, 0.21 / size.width)
    return round(lr, 5), 0.05, {"batch_tokens": _SMALL_BATCH, "most_steps": 60_000.0}


_FAST_STEPS = 20_000
"""With Muon more and smaller steps stored less (docs/notebook.md): more data means larger batches."""
_FAST_LEAST_STEPS = 1200
"""Less data means smaller batches, half as large at least: at 16 K parameters 600 steps stored a fifth less."""
_FAST_WEIGHTS = 80_000
"""Non-embedding parameters from which on batches grow with the model: at 250 K small ones kept it from learning."""
_FAST_GROWTH = 8.0
"""Largest factor of that growth; up to three has been tried."""
_FAST_DECAY = {"biod": 0.1}
"""Weight decay by data set, 0 unless named: it lets models store more bioD, and at 100 exposures less bioS
(docs/notebook.md)."""

_FAST_WITH: dict[str, dict[str, float]] = {
    "lion": {"lr": 0.0014, "beta1": 0.8, "beta2": 0.9},
    "soap": {"lr": 0.014},
}
"""What `fast` changes for an optimizer, by trials (docs/notebook.md). With its paper's betas Lion learned nothing."""


def _fast(weights: int, data: DataConfig) -> dict[str, Any]:
    """Muon inside the blocks, small batches, one setting for all sizes; docs/notebook.md says what was tried."""
    growth = min(_FAST_GROWTH, max(1.0, weights / _FAST_WEIGHTS))
    return {
        "batch_tokens": 1536 * growth,
        "least_steps": _FAST_LEAST_STEPS,
        "most_steps": _FAST_STEPS,
        "optimizer": "muon",
        "initialization": "width",
        "lr": 0.015,
        "embedding_lr": 0.015,
        "weight_decay": _FAST_DECAY.get(data.dataset, 0.0),
        "beta1": 0.9,
        "beta2": 0.98,
        "eps": 1e-8,
        "momentum": 0.9,
        "warmup_steps": 200,
        "warmup_share": 0.05,
        "final_lr": 0.0,
        "clip": 1.0,
    }
