"""Questions: a model that stores biographies is asked about people of whom it never saw a question.

It learns to answer from questions about the other half of the people: mixed into its text, or after the training by
LoRA adapters. Sources: Allen-Zhu and Li, arXiv 2309.14316 (Part 3.1), and arXiv 2404.05405 (Part 3.3).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from typing import Any

import pandas as pd

from capacity.experiments.experiment import Finding, Scale, Status, Verdict, preset_options, together
from capacity.laws.ratios import LEAST_SEEDS

_MOST_LOSS = 1.2
"""Part 3.3: the accuracy on people never asked about falls by at most this factor."""
_OWN_RECIPE: Mapping[str, Any] = dict.fromkeys(("batch", "lr", "embedding_lr", "momentum"))
"""The preset's recipe is for its own size."""
_SWEEPS: Mapping[Scale, tuple[str, Mapping[str, Any]]] = {
    "laptop": ("questions", {"seeds": [0, 1, 2]}),
    "gpu": (
        "questions",
        {"sizes": "4-4", "people": [20_000, 60_000], "r_max": [0, 9], "seeds": [0, 1, 2], **_OWN_RECIPE},
    ),
    "paper": ("paper/exposures-1000", {"sizes": ["2-2", "4-4", "8-8"], "quantize": "none"}),
}
"""The preset and its changes by scale. On a GPU R max is 0.3 and 0.9."""
_WAYS = {"half": "mixed in", "lora": "LoRA after the training"}
"""How questions are learned, by the option `questions`."""


@dataclass(frozen=True)
class Questions:
    """Question answering about people of whom no question was ever seen."""

    title: str = "questions about people never asked about"
    question: str = "Can a model be asked for what it stored, about people of whom it never saw a question?"
    source: str = (
        "Allen-Zhu and Li (arXiv 2309.14316) mix questions about half of the people into the text. "
        "The model then answers questions about the other half. "
        "In arXiv 2404.05405 they fine-tune LoRA adapters on questions about half of the people. "
        "Even at capacity the accuracy on the other half falls by at most a factor of 1.2."
    )
    published: tuple[str, ...] = ("questions",)
    figures: tuple[str, ...] = ("learning_curves",)

    def sweeps(self, scale: Scale) -> Sequence[Mapping[str, Any]]:
        """Options of the sweeps; LoRA's needs peft."""
        name, changes = _SWEEPS[scale]
        ways = [way for way in _WAYS if way != "lora" or find_spec("peft")]
        return [preset_options(name, questions=way, **changes) for way in ways]

    def select(self, frame: pd.DataFrame) -> pd.DataFrame:
        """The runs that learned questions."""
        asked = frame["questions"].isin(list(_WAYS)) if "questions" in frame else pd.Series(False, index=frame.index)
        return frame[asked & (frame["quantization"] == "none")]

    def table(self, frame: pd.DataFrame) -> pd.DataFrame:
        """Accuracies of each run."""
        accuracy = {
            "values completed": "qa_accuracy",
            "questions, asked about": "question_accuracy_trained",
            "questions, never asked about": "question_accuracy_held_out",
        }
        columns = {"questions": [_WAYS[way] for way in frame["questions"]], "size": frame["size"]}
        columns |= {"N": [f"{N:,}" for N in frame["people"]], "seed": frame["seed"].astype(str)}
        columns |= {name: [f"{one:.0%}" for one in frame[key]] for name, key in accuracy.items()}
        if "lora_rank" in frame:
            columns["best rank"] = ["-" if pd.isna(rank) else f"{rank:.0f}" for rank in frame["lora_rank"]]
        return pd.DataFrame(columns)

    def verdict(self, frame: pd.DataFrame) -> Verdict:
        """Whether questions about the other half are answered nearly as well, in both ways."""
        statuses: list[Status] = []
        evidence = []
        findings = []
        for way, name in _WAYS.items():
            rows = frame[frame["questions"] == way] if "questions" in frame else frame
            if rows.empty:
                evidence.append(f"Questions, {name}: no runs{', which need peft' * (way == 'lora')}.")
                continue
            asked, other = rows["question_accuracy_trained"].mean(), rows["question_accuracy_held_out"].mean()
            seeds = rows["seed"].nunique()
            found: Status = "reproduced" if other >= asked / _MOST_LOSS else "not reproduced"
            statuses.append("reproduced in part" if found == "reproduced" and seeds < LEAST_SEEDS else found)
            falls, by = f"falls by at most a factor of {_MOST_LOSS}", f"by {asked / max(other, 1e-9):.2f}"
            findings.append(Finding(f"accuracy on people never asked about, {name}", falls, by, statuses[-1]))
            evidence += [
                f"Questions, {name}: about people never asked about {other:.1%} are answered exactly.",
                f"About the others {asked:.1%} are, a factor of {asked / max(other, 1e-9):.2f}.",
                f"This is the mean of {seeds} seed{'s' if seeds > 1 else ''}: {statuses[-1]}.",
            ]
        complete = len(statuses) == len(_WAYS) or together(statuses) != "reproduced"
        return Verdict(together(statuses) if complete else "reproduced in part", evidence, findings)


QUESTIONS = Questions()
