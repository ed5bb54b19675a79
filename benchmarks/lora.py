"""Which learning rate, rank and length do LoRA adapters want? `python benchmarks/lora.py FOLDER --lr 0.005 0.01`.

FOLDER is that of a finished run with `questions: lora` and its model, or of a sweep, from which `--run` chooses. Each
combination begins at the model, and is a line: the shares of questions that are answered exactly about people whose
questions were trained on and about the others, and the share of values in the middle of people's texts that greedy
decoding still gives, before and after.
"""

import argparse
import time

import numpy as np
import torch

from biogen.dataset import EVALUATION
from capacity.ask import TrainedRun, open_run
from eval.lora import adapt, train_adapters
from eval.qa import question_record
from eval.recall import mean_accuracy, recall_people
from eval.source import OwnTokens, Source
from train.architectures.causal_lm import CausalLM
from train.inference import Inference

CPU = torch.device("cpu")
PEOPLE = 200
"""How many of each half are asked, and complete their texts."""


def completed(model: CausalLM, source: Source) -> float:
    """The share of values that greedy decoding gives in texts of people of both halves."""
    people = source.dataset.config.people
    index = np.unique(np.linspace(0, people - 1, min(people, 2 * PEOPLE)).astype(np.int64))
    recall = recall_people(Inference(model, CPU), source, index, EVALUATION)
    return mean_accuracy(recall.completed, source.dataset)


def one(run: TrainedRun, *, rank: int, steps: int, lr: float, seed: int) -> str:
    """Train adapters; a line of the table."""
    source, began = OwnTokens(run.dataset), time.monotonic()
    adapted = adapt(run.model.model, rank, seed)  # type: ignore[attr-defined]
    train_adapters(adapted, source, CPU, steps=steps, lr=lr)
    record = question_record(Inference(adapted, CPU), source, EVALUATION, PEOPLE)
    trained, other = record["question_accuracy_trained"], record["question_accuracy_held_out"]
    cells = (lr, rank, steps, seed, f"{trained:.3f}", f"{other:.3f}", f"{completed(adapted, source):.3f}")
    return f"| {' | '.join(map(str, cells))} | {time.monotonic() - began:.0f} |"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder")
    parser.add_argument("--run", help="a part of a run's id")
    parser.add_argument("--lr", type=float, nargs="+", default=[0.005])
    parser.add_argument("--ranks", type=int, nargs="+", default=[8])
    parser.add_argument("--steps", type=int, nargs="+", default=[600])
    parser.add_argument("--seeds", type=int, nargs="+", default=[0], help="of the adapters' first weights")
    options = parser.parse_args()
    torch.set_num_threads(1)
    run = open_run(options.folder, options.run)
    before = completed(run.model.model, OwnTokens(run.dataset))  # type: ignore[attr-defined]
    print(f"{run.name}: N={run.config.data.people:,}, {run.params:,} parameters, completes {before:.3f}\n")
    print("| lr | rank | steps | seed | asked about | never asked about | completes | seconds |")
    print("| --- | --- | --- | --- | --- | --- | --- | --- |", flush=True)
    for seed in options.seeds:
        for steps in options.steps:
            for rank in options.ranks:
                for lr in options.lr:
                    print(one(run, rank=rank, steps=steps, lr=lr, seed=seed), flush=True)


if __name__ == "__main__":
    main()
