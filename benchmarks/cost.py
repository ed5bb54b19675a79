"""What a training costs on this machine: `python benchmarks/cost.py`.

In six parts: speed against width, layers, vocabulary and window; a model that is sure of itself against a fresh one;
one training against two side by side, with the memory that each takes; the share of a training that goes into making
its batches; measuring N people against training on them; the memory of the generator against N. One thread a training,
the fastest kernels of this machine, the best of a few turns each.
"""

import argparse
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from training import SETTINGS, Rows, Step, fastest, ours, random_rows, steps_of

from biogen.config import DataConfig
from biogen.dataset import EVALUATION, make_dataset
from biogen.windows import Batches
from eval.recall import recall_people
from eval.record import make_record
from eval.source import OwnTokens
from train.architectures.gpt2 import GPT2
from train.inference import Inference
from train.loop import Trainer
from train.native.library import instruction_set
from train.sizes import parse_size

BASE = {"layers": 2, "width": 64, "heads": 2, "vocab": 512, "window": 64}
AGAINST = {"width": (32, 48, 64, 96, 128), "layers": (1, 2, 4, 8), "vocab": (64, 512, 4096), "window": (24, 64, 512)}
TOKENS = 4096
PEOPLE = 1000
EXPOSURES = 10
"""So many are made at once, as a training does, which starts its iterator once."""
KERNELS = {"native": instruction_set() is not None, "bf16": instruction_set(bf16=True) is not None}


def name_of(layers: int, width: int, heads: int) -> str:
    return f"{layers}x{width}x{heads}"


def base_step(scale: float = 1.0) -> Step:
    """A training step of `BASE`; scale: of its first weights."""
    size = parse_size(name_of(*(BASE[key] for key in ("layers", "width", "heads"))))
    batch = random_rows(BASE["vocab"], TOKENS // BASE["window"], BASE["window"])
    return ours(size, BASE["vocab"], batch, scale, **KERNELS)


def against_size() -> None:
    print("| layers x width x heads | V | window | parameters | thousand tokens/s | GFLOP/s |")
    print("| --- | --- | --- | ---: | ---: | ---: |")
    shapes = [BASE | {key: value} for key, values in AGAINST.items() for value in values]
    jobs = {}
    for shape in shapes:
        size = parse_size(name_of(shape["layers"], shape["width"], shape["heads"]))
        batch = random_rows(shape["vocab"], TOKENS // shape["window"], shape["window"])
        jobs[tuple(shape.values())] = steps_of(ours(size, shape["vocab"], batch, **KERNELS))
    best = fastest(jobs, turns=4, repeats=1)
    for (layers, width, heads, vocab, window), seconds in best.items():
        size = parse_size(name_of(layers, width, heads))
        speed = TOKENS // window * window / seconds
        model = GPT2(size, vocab)
        flops = model.flops_per_token(window) * speed
        parameters = sum(model.parameter_counts().values())
        print(f"| {size} | {vocab} | {window} | {parameters:,} | {speed / 1e3:.0f} | {flops / 1e9:.0f} |")


def fresh_and_sure() -> None:
    """The same steps with weights so large that softmax is sure of itself, as after a long training.

    The least of its numbers are then denormal, for which a processor can take a hundred times as long.
    """
    jobs = {scale: steps_of(base_step(scale)) for scale in (1.0, 8.0)}
    best = fastest(jobs, turns=4, repeats=4)
    print(f"A model that is sure of itself trains at {best[1.0] / best[8.0]:.2f} times the speed of a fresh one.")


def peak_memory() -> float:
    """MiB that this process has held at most (Linux); getrusage would count the process that started it, too."""
    status = Path("/proc/self/status").read_text()
    return float(status.partition("VmHWM:")[2].split()[0]) / 1024


def train_alone(seconds: float) -> None:
    """Train for a while; print tokens a second (wall clock) and MiB: before the model was there, and at most."""
    torch.set_num_threads(1)
    before = peak_memory()
    step = base_step()
    step()
    start, steps = time.monotonic(), 0
    while time.monotonic() - start < seconds:
        step()
        steps += 1
    speed = steps * TOKENS / (time.monotonic() - start)
    print(speed, before, peak_memory())


def side_by_side() -> None:
    command = [sys.executable, str(Path(__file__)), "--train-alone", "4"]
    alone, together, memory = 0.0, 0.0, [0.0, 0.0]
    for _ in range(2):
        printed = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True).stdout
        speed, *memory = map(float, printed.split())
        alone = max(alone, speed)
        both = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in "12"]
        together = max(together, sum(float(process.communicate()[0].split()[0]) for process in both))
    speeds = f"One training {alone / 1e3:.0f}K tokens/s, two side by side {together / 1e3:.0f}K"
    print(f"{speeds}: {together / alone:.2f} times.")
    print(f"A process takes {memory[0]:.0f} MiB with its libraries, {memory[1]:.0f} MiB at its peak in training.")


def data_and_evaluation() -> None:
    """Seconds of one exposure: its batches alone and its steps; and of measuring everybody once."""
    headings = ["size", "batches of one exposure, s", "its steps, s", "share", "measuring all, s", "exposures"]
    print(" | ".join([f"| data (N={PEOPLE:,})", *headings]) + " |")
    print("| --- | --- | ---: | ---: | ---: | ---: | ---: |")
    for data, text in [("biod", size) for size in ("1x32x2", "4x16x1", "2x32x2", "2x48x2")] + [("bios", "2x48x2")]:
        dataset = make_dataset(DataConfig(people=PEOPLE, dataset=data, tokenizer="word", templates=12))
        size = parse_size(text)
        model = GPT2(size, dataset.tokenizer.vocab)
        model.initialize("width", 0)
        source, people = OwnTokens(dataset), np.arange(PEOPLE)
        parameters = sum(model.parameter_counts().values())
        inference = Inference(model, torch.device("cpu"), native=KERNELS["native"])

        def made(exposures: int = EXPOSURES) -> list[Rows]:
            batches = Batches(dataset, layout="rows", context=512, batch=48, exposures=exposures)  # noqa: B023
            return [Rows(batch.inputs, batch.targets) for batch in batches]

        batches = made(1)
        trainer = Trainer(model, replace(SETTINGS, **KERNELS), torch.device("cpu"))

        def trained() -> None:
            for batch in batches:  # noqa: B023
                trainer.step(batch)  # noqa: B023

        def measured() -> None:
            recall = recall_people(inference, source, people, EVALUATION)  # noqa: B023
            make_record(recall, dataset, parameters, interval=False)  # noqa: B023

        best = fastest({"made": steps_of(made), "trained": steps_of(trained), "measured": steps_of(measured)}, 5, 1)
        best["made"] /= EXPOSURES
        share, exposure = best["made"] / (best["made"] + best["trained"]), best["made"] + best["trained"]
        cells = f"{best['made']:.4f} | {best['trained']:.4f} | {share:.1%} | {best['measured']:.4f}"
        print(f"| {data} | {text} | {cells} | {best['measured'] / exposure:.2f} |")


def generate(people: int) -> None:
    """Make the batches of a while; print MiB at most, and people seen."""
    dataset = make_dataset(DataConfig(people=people))
    batches = Batches(dataset, layout="packed", context=512, batch=48, exposures=1000)
    start, seen = time.monotonic(), 0.0
    for batch in batches:
        seen = batch.exposures * people
        if time.monotonic() - start > 5:
            break
    print(peak_memory(), seen)


def memory_of_the_generator() -> None:
    print("| people | MiB at most | people written about meanwhile |")
    print("| ---: | ---: | ---: |")
    for people in (20_000, 1_000_000, 20_000_000):
        command = [sys.executable, str(Path(__file__)), "--generate", str(people)]
        memory, seen = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True).stdout.split()
        print(f"| {people:,} | {float(memory):.0f} | {float(seen):,.0f} |")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--train-alone", type=float, metavar="SECONDS", help="used by the comparison of one and two")
    parser.add_argument("--generate", type=int, metavar="PEOPLE", help="used by the generator's memory")
    options = parser.parse_args()
    if options.train_alone is not None:
        return train_alone(options.train_alone)
    if options.generate is not None:
        return generate(options.generate)
    torch.set_num_threads(1)
    against_size()
    print()
    fresh_and_sure()
    side_by_side()
    print()
    data_and_evaluation()
    print()
    memory_of_the_generator()


if __name__ == "__main__":
    main()
