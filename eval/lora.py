"""Fine-tuning on questions: LoRA adapters learn questions about half of the people, and the other half is asked.

In: a trained model of this project, and its data with `questions: lora`. Out: the accuracies of the best of several
ranks, and of all. LoRA: Hu et al. 2021, arXiv 2106.09685, by peft. Protocol: Allen-Zhu and Li, arXiv 2404.05405:
batches of 96, a learning rate that falls from 1e-3 to 0 (`rate`: narrow models need a larger one), decay 0.1, the best
rank. It leaves open which ranks, which matrices and how many steps: adapters stand at every matrix inside the blocks
and at the embedding, which has never seen the words of questions.
"""

from collections.abc import Callable, Iterator
from copy import deepcopy
from importlib.util import find_spec

import numpy as np
import torch
from torch import nn

from biogen.config import trained_on_questions
from biogen.dataset import EVALUATION
from eval.qa import question_record
from eval.quiet import quiet
from eval.recall import LanguageModel
from eval.source import Source, Tokens
from train.architectures.causal_lm import CausalLM
from train.head import IGNORE, chunk_for, linear_cross_entropy

RANKS = (2, 4, 8, 16, 32)
BATCH, DECAY = 96, 0.1
PAPER_LR, NARROW_LR, NARROW = 1e-3, 0.02, 128
"""The first learning rate: the paper's, and below a width of 128 the one that works at width 64 (`benchmarks/lora.py`).

There 1e-3 leaves most questions unanswered, and 0.16 unlearns everything; with rank 32 so does 0.04.
"""
STEPS = 600


def check_peft() -> None:
    """Raises ValueError where peft is not installed."""
    if find_spec("peft") is None:
        raise ValueError("questions: lora needs peft; must be none or half, or pip install peft")


def lora_record(
    model: CausalLM, read: Callable[[CausalLM], LanguageModel], source: Source, device: torch.device
) -> dict[str, float]:
    """Accuracies after fine-tuning on questions about the first half of the people, at the best rank for the others.

    Besides those of `question_record` it has `lora_rank`, the best rank, and `question_accuracy_held_out_rankR` of
    every rank R. The model stays as it is. Raises ValueError where peft is not installed.
    """
    check_peft()
    records = {}
    for rank in RANKS:
        adapted = adapt(model, rank, seed=source.dataset.config.seed)
        train_adapters(adapted, source, device, steps=STEPS, lr=rate(model.size.width))
        records[rank] = question_record(read(adapted), source, EVALUATION)
    best = max(RANKS, key=lambda rank: records[rank]["question_accuracy_held_out"])
    told = {f"question_accuracy_held_out_rank{r}": records[r]["question_accuracy_held_out"] for r in RANKS}
    return records[best] | {"lora_rank": best} | told


def rate(width: int) -> float:
    """The first learning rate for a model of a width."""
    return NARROW_LR if width < NARROW else PAPER_LR


def adapt(model: CausalLM, rank: int, seed: int) -> CausalLM:
    """A copy with adapters, which alone are trainable; it computes what the model computes until they are trained."""
    with quiet():
        from peft import LoraConfig, inject_adapter_in_model

    copy = deepcopy(model)
    kinds = (nn.Linear, nn.Embedding)
    names = [name for name, module in copy.named_modules() if isinstance(module, kinds) and name != "head"]
    config = LoraConfig(r=rank, lora_alpha=rank, target_modules=names)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        adapted: CausalLM = inject_adapter_in_model(config, copy)
    return adapted


def train_adapters(model: CausalLM, source: Source, device: torch.device, *, steps: int, lr: float) -> None:
    """Train on answers to questions about the first half of the people; the losses of questions do not count.

    lr: the learning rate of the first step; it falls along a line to 0.
    """
    parameters = [parameter for parameter in model.parameters() if parameter.requires_grad]
    optimizer = torch.optim.AdamW(parameters, lr=lr, weight_decay=DECAY)
    model.to(device).train()
    for step, rows in zip(range(steps), _batches(source), strict=False):
        for group in optimizer.param_groups:
            group["lr"] = lr * (1 - step / steps)
        inputs, targets = (torch.from_numpy(array).to(device) for array in rows)
        model.grow_rotation(inputs.shape[1])
        scored = targets != IGNORE
        hidden, wanted = model(inputs)[scored], targets[scored]
        loss = linear_cross_entropy(hidden, model.head_weight, wanted, chunk_for(device)) / len(wanted)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    model.eval()


def _batches(source: Source) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Endless batches [rows, time] of inputs and targets: in each pass every attribute of every person, once."""
    config = source.dataset.config
    index = np.arange(trained_on_questions(config.people))
    random = np.random.default_rng(config.seed)
    exposure = 0
    while True:
        asked = [source.ask(index, exposure, number) for number in range(len(source.dataset.questions))]
        pairs = [pair for questions, answers in asked for pair in zip(questions, answers, strict=True)]
        order = random.permutation(len(pairs))
        for first in range(0, len(order), BATCH):
            yield _rows([pairs[place] for place in order[first : first + BATCH]], source.end)
        exposure += 1


def _rows(pairs: list[tuple[Tokens, Tokens]], end: int) -> tuple[np.ndarray, np.ndarray]:
    """Inputs, and targets that are the tokens of answers."""
    time = max(len(question) + len(answer) for question, answer in pairs) - 1
    inputs, targets = np.full((len(pairs), time), end), np.full((len(pairs), time), IGNORE)
    for row, (question, answer) in enumerate(pairs):
        tokens = np.concatenate([question, answer])
        inputs[row, : len(tokens) - 1] = tokens[:-1]
        targets[row, len(question) - 1 : len(tokens) - 1] = answer
    return inputs, targets
