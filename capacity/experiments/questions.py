"""Questions: a model trained on biographies, and on questions about half of the people, is asked about the other half.

Sources: Allen-Zhu and Li, arXiv 2309.14316 (Part 3.1), and arXiv 2404.05405 (Part 3.3), on questions at capacity.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd

from capacity.experiments.experiment import Finding, Scale, Status, Verdict, preset_options

_MOST_LOSS = 1.2
"""Part 3.3: the accuracy on people never asked about falls by at most this factor."""


@dataclass(frozen=True)
class Questions:
    """Question answering about people of whom no question was ever seen."""

    title: str = "questions about people never asked about"
    question: str = "Can a model be asked for what it stored, about people of whom it never saw a question?"
    source: str = (
        "Allen-Zhu and Li (arXiv 2309.14316) mix questions about half of the people into the text. "
        "The model then answers questions about the other half. "
        "Even at capacity the accuracy falls by at most a factor of 1.2 (arXiv 2404.05405)."
    )
    published: tuple[str, ...] = ("questions",)
    figures: tuple[str, ...] = ("learning_curves",)

    def sweeps(self, scale: Scale) -> Sequence[Mapping[str, Any]]:
        """Options of the sweeps. Raises ValueError for a scale that it does not have."""
        if scale != "laptop":
            raise ValueError(f"scale: {scale!r} is not allowed for this experiment; must be laptop")
        return [preset_options("questions", seeds=[0, 1, 2])]

    def select(self, frame: pd.DataFrame) -> pd.DataFrame:
        """The runs whose training text had questions."""
        asked = frame["questions"] == "half" if "questions" in frame else pd.Series(False, index=frame.index)
        return frame[asked & (frame["quantization"] == "none")]

    def table(self, frame: pd.DataFrame) -> pd.DataFrame:
        """Accuracies of each run."""
        accuracy = {
            "values completed": "qa_accuracy",
            "questions, asked about": "question_accuracy_trained",
            "questions, never asked about": "question_accuracy_held_out",
        }
        columns = {"size": frame["size"], "N": [f"{N:,}" for N in frame["people"]], "seed": frame["seed"].astype(str)}
        return pd.DataFrame(columns | {name: [f"{one:.0%}" for one in frame[key]] for name, key in accuracy.items()})

    def verdict(self, frame: pd.DataFrame) -> Verdict:
        """Whether questions about the other half are answered nearly as well."""
        if frame.empty:
            return Verdict("not enough runs", ["No run had questions in its text."])
        asked, other = frame["question_accuracy_trained"].mean(), frame["question_accuracy_held_out"].mean()
        seeds = frame["seed"].nunique()
        told = [
            f"Questions about people never asked about: {other:.1%} answered exactly.",
            f"Questions about the others: {asked:.1%}, a factor of {asked / max(other, 1e-9):.2f}.",
            f"This is the mean of {seeds} seed{'s' if seeds > 1 else ''}.",
        ]
        status: Status = "reproduced" if other >= asked / _MOST_LOSS else "not reproduced"
        falls = f"falls by at most a factor of {_MOST_LOSS}"
        finding = Finding("accuracy on people never asked about", falls, f"by {asked / max(other, 1e-9):.2f}")
        return Verdict("reproduced in part" if status == "reproduced" and seeds < 3 else status, told, [finding])


QUESTIONS = Questions()
