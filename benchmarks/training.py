"""How fast models train on one core: `python benchmarks/training.py [--quick]`.

This project's kernels and its PyTorch path, eager and compiled, beside what anyone would use first: transformers'
Trainer over GPT2LMHeadModel, and a plain PyTorch loop over it, eager and compiled. All jobs of a size take turns in
this one process on one thread, and of each the fastest turn counts: other programs disturb. Seconds are CPU seconds.

The floor of a size is the time of the same matrix products alone (forward, backward; inside attention the half that
is causal), each by the fastest of PyTorch and these kernels, in fp32 and, where the processor has instructions for it,
in bf16. Nothing else is in it: no softmax, no optimizer.
"""

import argparse
import ctypes
import math
import platform
import tempfile
import time
import warnings
from collections.abc import Callable, Hashable
from dataclasses import dataclass, replace

import numpy as np
import torch

from eval.quiet import quiet
from train.architectures.gpt2 import GPT2
from train.loop import Trainer
from train.native.library import instruction_set, library, supported
from train.settings import Settings
from train.sizes import Size, parse_size

with quiet():
    import transformers
    from transformers import GPT2Config, GPT2LMHeadModel, TrainerCallback, TrainingArguments

SETTINGS = Settings(
    exposures=100, optimizer="adamw", lr=1e-3, embedding_lr=1e-3, weight_decay=0.01, beta1=0.9, beta2=0.98, eps=1e-8,
    momentum=0.95, warmup_steps=10, final_lr=0.1, clip=1.0, bf16=False, compile=False, native=False,
)  # fmt: skip
SHAPES = [  # size, vocabulary, rows, window, optimizer
    *[("2x32x2", 1024, 64, 96, "adamw"), ("2x64x1", 1024, 64, 96, "adamw"), ("4x64x4", 1024, 64, 96, "adamw")],
    *[("4x128x2", 1024, 64, 96, "adamw"), ("2x48x2", 663, 32, 46, "muon"), ("2x48x2", 69, 64, 24, "muon")],
]
NAMES = ["native bf16", "native fp32", "PyTorch path", "PyTorch path, bf16", "PyTorch path, compiled"]
OTHERS = ["plain loop", "plain loop, compiled", "Trainer"]
PARTS = (48, 256)
"""Rows of a product that the kernels do at a time, about: those of the head, and those of the layers."""
Step = Callable[[], object]
Clock = Callable[[int], float]
"""Makes a number of steps and gives the CPU seconds of one."""


@dataclass(frozen=True)
class Rows:
    """One batch of random tokens."""

    inputs: np.ndarray
    targets: np.ndarray
    exposures: float = 0.0


def random_rows(vocab: int, rows: int, window: int) -> Rows:
    return Rows(*np.random.default_rng(0).integers(0, vocab, (2, rows, window), dtype=np.int32))


def steps_of(step: Step) -> Clock:
    def clock(count: int) -> float:
        start = time.process_time()
        for _ in range(count):
            step()
        return (time.process_time() - start) / count

    return clock


def ours(size: Size, vocab: int, batch: Rows, scale: float = 1.0, **changes: object) -> Step:
    """A step of this project's trainer; scale: of the first weights of all matrices."""
    model = GPT2(size, vocab)
    model.initialize("width", 0)
    with torch.no_grad():
        for weights in model.parameters():
            if weights.ndim == 2:
                weights *= scale
    trainer = Trainer(model, replace(SETTINGS, **changes), torch.device("cpu"))  # type: ignore[arg-type]
    return lambda: trainer.step(batch)


def gpt2(size: Size, vocab: int, window: int) -> GPT2LMHeadModel:
    """The same number of layers, heads and width, with learned positions."""
    shape = {"n_layer": size.layers, "n_embd": size.width, "n_head": size.heads, "n_positions": window}
    no_dropout = dict.fromkeys(("resid_pdrop", "embd_pdrop", "attn_pdrop"), 0.0)
    config = GPT2Config(vocab_size=vocab, bos_token_id=0, eos_token_id=0, use_cache=False, **shape, **no_dropout)
    return GPT2LMHeadModel(config).train()


def plain(size: Size, vocab: int, batch: Rows, *, compiled: bool) -> Step:
    """An ordinary loop with AdamW and clipping."""
    model = gpt2(size, vocab, batch.inputs.shape[1])
    run = torch.compile(model) if compiled else model
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3, weight_decay=0.01)
    inputs = torch.from_numpy(batch.inputs).long()

    def step() -> None:
        run(input_ids=inputs, labels=inputs).loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)

    return step


class _StepTimes(TrainerCallback):
    """When each step of a Trainer ended."""

    def on_train_begin(self, *_: object, **__: object) -> None:
        self.ends: list[float] = []

    def on_step_end(self, *_: object, **__: object) -> None:
        self.ends.append(time.process_time())


def hugging_face(size: Size, vocab: int, batch: Rows) -> Clock:
    """transformers' Trainer over rows in memory; between the ends of its first and its last step."""
    rows = [{"input_ids": row, "labels": row} for row in torch.from_numpy(batch.inputs).long()]
    times = _StepTimes()
    folder = tempfile.gettempdir()
    silent = {"report_to": [], "disable_tqdm": True, "save_strategy": "no", "logging_strategy": "no"}

    def clock(count: int) -> float:
        arguments = TrainingArguments(
            folder,
            per_device_train_batch_size=len(rows),
            max_steps=count + 1,
            max_grad_norm=1.0,
            use_cpu=True,
            **silent,
        )
        model = gpt2(size, vocab, batch.inputs.shape[1])
        with warnings.catch_warnings(action="ignore"):  # about the memory of a GPU that is not there
            trainer = transformers.Trainer(model, arguments, train_dataset=rows, callbacks=[times])  # type: ignore[arg-type]
            trainer.remove_callback(transformers.PrinterCallback)
            trainer.train()
        return (times.ends[-1] - times.ends[0]) / count

    return clock


def products(size: Size, vocab: int, rows: int, window: int) -> list[tuple[float, int, int, int, int]]:
    """(times, batch, M, K, N) of the matrix products of a step; of a causal product only the half counts."""
    tokens, W, heads = rows * window, size.width, size.heads
    maps = [
        (size.layers, W, 3 * W),
        (size.layers, W, W),
        (size.layers, W, 4 * W),
        (size.layers, 4 * W, W),
        (1, W, vocab),
    ]
    forms = []
    for times, K, N in maps:
        forms += [(times, 1, tokens, K, N), (times, 1, tokens, N, K), (times, 1, N, tokens, K)]
    head, each = W // heads, rows * heads
    inner = [(2, window, head, window), (4, window, window, head)]  # scores and their gradients; all others
    causal = (window + 1) / (2 * window)
    return forms + [(count * size.layers * causal, each, *form) for count, *form in inner]


def product_clocks(batch: int, M: int, K: int, N: int) -> list[Clock]:
    """Whatever can do `batch` products of that shape here; these kernels by parts that the cache holds."""
    clocks: list[Clock] = []
    for bf16 in (False, True):
        if instruction_set(bf16):
            clocks += [by_kernels(library(bf16), batch, M, K, N, rows) for rows in PARTS]
        if bf16 and "avx512_bf16" not in supported():
            continue  # PyTorch could, a hundred times slower
        dtype = torch.bfloat16 if bf16 else torch.float32
        a, b = torch.randn(batch, M, K, dtype=dtype), torch.randn(batch, K, N, dtype=dtype)
        out = torch.empty(batch, M, N, dtype=dtype)
        clocks.append(steps_of(lambda a=a, b=b, out=out: torch.bmm(a, b, out=out)))
    return clocks


def by_kernels(kernels: ctypes.CDLL, batch: int, M: int, K: int, N: int, rows: int) -> Clock:
    """The same by these kernels, `rows` of the left matrix and 256 along the sum at a time."""
    part = (min(M, rows), N, min(K, 256))
    parts = batch * M * K / (part[0] * part[2])

    def clock(count: int) -> float:
        seconds = kernels.kc_product_seconds(*part, math.ceil(count * parts))
        if seconds < 0:
            raise MemoryError(f"kernels: no memory for a product of {M} x {K} x {N}")
        return parts * seconds

    return clock


def fastest(jobs: dict[Hashable, Clock], turns: int, repeats: int) -> dict[Hashable, float]:
    """Seconds a step of each job, the least over its turns."""
    for clock in jobs.values():
        clock(2)
    best = dict.fromkeys(jobs, float("inf"))
    for _ in range(turns):
        for name, clock in jobs.items():
            best[name] = min(best[name], clock(repeats))
    return best


def measure(text: str, vocab: int, count: int, window: int, optimizer: str, *, quick: bool) -> dict[str, float]:
    """Tokens a second of every job at one size, and of the floor."""
    size, batch = parse_size(text), random_rows(vocab, count, window)
    jobs: dict[str, Clock] = {"PyTorch path": steps_of(ours(size, vocab, batch, optimizer=optimizer))}
    for bf16 in (True, False):
        if instruction_set(bf16):
            step = ours(size, vocab, batch, optimizer=optimizer, native=True, bf16=bf16)
            jobs["native bf16" if bf16 else "native fp32"] = steps_of(step)
    if "avx512_bf16" in supported():
        jobs["PyTorch path, bf16"] = steps_of(ours(size, vocab, batch, optimizer=optimizer, bf16=True))
    if optimizer == "adamw":
        jobs["plain loop"] = steps_of(plain(size, vocab, batch, compiled=False))
        jobs["Trainer"] = hugging_face(size, vocab, batch)
        if not quick:
            torch.compiler.reset()
            jobs["PyTorch path, compiled"] = steps_of(ours(size, vocab, batch, optimizer=optimizer, compile=True))
            jobs["plain loop, compiled"] = steps_of(plain(size, vocab, batch, compiled=True))
    forms = products(size, vocab, count, window)
    clocks = {(form, i): clock for form in set(forms) for i, clock in enumerate(product_clocks(*form[1:]))}
    tokens = count * window
    best = fastest(jobs | clocks, turns=2 if quick else 3, repeats=max(1, 4096 // tokens))
    floor = sum(form[0] * min(best[key] for key in clocks if key[0] == form) for form in forms)
    return {name: tokens / best[name] for name in jobs} | {"floor": tokens / floor}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="fewer turns, nothing compiled")
    quick = parser.parse_args().quick
    torch.set_num_threads(1)
    sets = " and ".join(name for name in (instruction_set(True), instruction_set()) if name) or "none"
    print(f"{platform.machine()}, PyTorch {torch.__version__}, kernels: {sets}; one thread; thousand tokens a second\n")
    ratios = ["/ PyTorch path", "/ plain compiled", "/ Trainer", "of the floor"]
    print("| " + " | ".join(["size", "V", "batch", "optimizer", *NAMES, *OTHERS, "floor", *ratios]) + " |")
    print("| --- | --- | --- | --- |" + " ---: |" * (len(NAMES) + len(OTHERS) + 1 + len(ratios)))
    for text, vocab, count, window, optimizer in SHAPES:
        speed = measure(text, vocab, count, window, optimizer, quick=quick)
        cells = [f"{speed[name] / 1e3:.1f}" if name in speed else "-" for name in [*NAMES, *OTHERS, "floor"]]
        best = max(speed.get("native bf16", 0), speed.get("native fp32", 0))
        for name in ("PyTorch path", "plain loop, compiled", "Trainer"):
            cells.append(f"{best / speed[name]:.2f}" if best and name in speed else "-")
        cells.append(f"{best / speed['floor']:.0%}" if best else "-")
        print(f"| {text} | {vocab} | {count} x {window} | {optimizer} | " + " | ".join(cells) + " |", flush=True)


if __name__ == "__main__":
    main()
