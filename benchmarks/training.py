"""How fast models train on one core: `python benchmarks/training.py [--quick]`.

This project's kernels and its PyTorch path, eager and compiled, beside a plain PyTorch loop over transformers'
GPT2LMHeadModel, eager and compiled, as anyone would write it first. All jobs of a size take turns in this one process
on one thread, and of each the fastest turn counts: other programs disturb. Seconds are CPU seconds. Out: a table of
thousand tokens a second, and the kernels' FLOPs a second (by `flops_per_token`, which counts attention over the whole
window) as a share of those of one matrix product of PyTorch's that fits the cache, measured in the same turns.
"""

import argparse
import platform
import time
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
import torch
from transformers import GPT2Config, GPT2LMHeadModel

from train.loop import Settings, Trainer
from train.model import GPT, flops_per_token, initialize
from train.native.library import instruction_set
from train.sizes import Size, parse_size

SETTINGS = Settings(
    exposures=100, optimizer="adamw", lr=1e-3, embedding_lr=1e-3, weight_decay=0.01, beta1=0.9, beta2=0.98, eps=1e-8,
    momentum=0.95, warmup_steps=10, final_lr=0.1, clip=1.0, bf16=False, compile=False, native=False,
)  # fmt: skip
SHAPES = [  # size, vocabulary, rows, window, optimizer
    *[("2x32x2", 1024, 64, 96, "adamw"), ("1x64x2", 1024, 64, 96, "adamw"), ("4x64x4", 1024, 64, 96, "adamw")],
    *[("2x128x4", 1024, 64, 96, "adamw"), ("2x64x2", 1445, 8, 70, "muon"), ("2x48", 69, 24, 24, "muon")],
]
WIDTH = 256
FLOOR_FLOPS = 2 * WIDTH**3
Step = Callable[[], object]


@dataclass(frozen=True)
class Rows:
    """One batch of random tokens."""

    inputs: np.ndarray
    targets: np.ndarray
    exposures: float = 0.0


def ours(size: Size, vocab: int, batch: Rows, **changes: object) -> Step:
    model = GPT(size, vocab)
    initialize(model, "width", 0)
    trainer = Trainer(model, replace(SETTINGS, **changes), torch.device("cpu"))  # type: ignore[arg-type]
    return lambda: trainer.step(batch)


def plain(size: Size, vocab: int, batch: Rows, *, compiled: bool) -> Step:
    """GPT-2 with learned positions, AdamW, clipping; the same number of layers, heads and width."""
    shape = {"n_layer": size.layers, "n_embd": size.width, "n_head": size.heads, "n_positions": batch.inputs.shape[1]}
    no_dropout = dict.fromkeys(("resid_pdrop", "embd_pdrop", "attn_pdrop"), 0.0)
    config = GPT2Config(vocab_size=vocab, bos_token_id=0, eos_token_id=0, use_cache=False, **shape, **no_dropout)
    model = GPT2LMHeadModel(config).train()
    run = torch.compile(model) if compiled else model
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3, weight_decay=0.01)
    inputs = torch.from_numpy(batch.inputs).long()

    def step() -> None:
        run(input_ids=inputs, labels=inputs).loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)

    return step


def product() -> Step:
    """A matrix product that fits the cache, FLOOR_FLOPS a call."""
    matrix = torch.randn(WIDTH, WIDTH)
    out = torch.empty_like(matrix)
    return lambda: torch.mm(matrix, matrix, out=out)


def fastest(jobs: dict[str, Step], turns: int, repeats: int) -> dict[str, float]:
    """Seconds a step of each job, the least over its turns."""
    for step in jobs.values():
        step()
        step()
    best = dict.fromkeys(jobs, float("inf"))
    for _ in range(turns):
        for name, step in jobs.items():
            start = time.process_time()
            for _ in range(repeats):
                step()
            best[name] = min(best[name], (time.process_time() - start) / repeats)
    return best


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="fewer turns, nothing compiled")
    quick = parser.parse_args().quick
    torch.set_num_threads(1)
    print(f"{platform.machine()}, PyTorch {torch.__version__}, kernels {instruction_set()}, one thread\n")
    names = ["native", "PyTorch path", "PyTorch path, compiled", "plain loop", "plain loop, compiled"]
    columns = [
        "size",
        "V",
        "batch",
        "optimizer",
        *names,
        "native / PyTorch path",
        "product, GFLOP/s",
        "native / product",
    ]
    print("| " + " | ".join(columns) + " |")
    print("| --- | --- | --- | --- |" + " ---: |" * (len(names) + 3))
    for text, vocab, count, window, optimizer in SHAPES:
        size = parse_size(text)
        rng = np.random.default_rng(0)
        inputs, targets = rng.integers(0, vocab, (2, count, window), dtype=np.int32)
        batch = Rows(inputs, targets)
        jobs: dict[str, Step] = {"floor": product(), "PyTorch path": ours(size, vocab, batch, optimizer=optimizer)}
        if instruction_set():
            jobs["native"] = ours(size, vocab, batch, optimizer=optimizer, native=True)
        if optimizer == "adamw":
            jobs["plain loop"] = plain(size, vocab, batch, compiled=False)
        if not quick:
            torch.compiler.reset()
            jobs["PyTorch path, compiled"] = ours(size, vocab, batch, optimizer=optimizer, compile=True)
            if optimizer == "adamw":
                jobs["plain loop, compiled"] = plain(size, vocab, batch, compiled=True)
        tokens = count * window
        best = fastest(jobs, turns=2 if quick else 5, repeats=max(1, 4096 // tokens))
        speeds = [f"{tokens / best[name] / 1e3:.1f}K" if name in best else "-" for name in names]
        floor = FLOOR_FLOPS / best["floor"]
        gain = share = "-"
        if "native" in best:
            gain = f"{best['PyTorch path'] / best['native']:.2f}"
            share = f"{flops_per_token(size, vocab, window) * tokens / best['native'] / floor:.0%}"
        shape = f"| {text} | {vocab} | {count} x {window} | {optimizer} | "
        print(shape + " | ".join(speeds) + f" | {gain} | {floor / 1e9:.0f} | {share} |", flush=True)


if __name__ == "__main__":
    main()
