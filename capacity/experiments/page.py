"""The page of an experiment: question, source, verdict, table, figures, and where the numbers come from."""

import re
from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from capacity.experiments.experiment import Experiment, Finding, Selected, Verdict
from capacity.report.documents import made_by
from capacity.report.markdown import table


def heading(experiment: Experiment) -> str:
    """How the page of an experiment begins, before the verdict."""
    return f"# {experiment.title[:1].upper()}{experiment.title[1:]}"


def page(
    experiment: Experiment,
    chosen: Selected,
    verdict: Verdict,
    folders: Sequence[Path],
    pictures: Sequence[str],
    command: str,
) -> str:
    """The page of an experiment: question, source, verdict, table, figure, and where the numbers come from."""
    shown = table(experiment.table(chosen.frame))
    lines = [
        f"{heading(experiment)}: {verdict.status}",
        "",
        experiment.question,
        "",
        "Source: " + re.sub(r"(?<=[.?]) (?=[A-Z])", "\n", experiment.source),
        "",
        f"**Verdict: {verdict.status}.**",
        "",
        *([table(pd.DataFrame(map(_row, verdict.findings))), ""] if verdict.findings else []),
        *(f"- {sentence}" for sentence in verdict.evidence),
        "",
        *(f"![{experiment.title}]({picture})" for picture in pictures),
        "",
        shown,
        "",
        "≥ marks a lower bound: the best N is the smallest or the largest that was tried." if "≥" in shown else "",
        "",
        "```sh",
        command,
        "```",
        "",
        "Where the numbers come from:",
        "",
        made_by(chosen.runs, folders),
        "",
    ]
    return re.sub("\n{3,}", "\n\n", "\n".join(lines))


def _row(finding: Finding) -> dict[str, str]:
    return {"what": finding.what, "the source": finding.source, "here": finding.here, "so": finding.status}
