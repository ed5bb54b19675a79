"""Named experiments: the sweeps that answer a question, the claim of its source, and the result.

In: a name. Out: an `Experiment`. To add one, add its file and its line here; a user's own is named `module:Name`.
"""

from typing import TYPE_CHECKING

from basis.registry import Registry

if TYPE_CHECKING:
    from capacity.experiments.experiment import Experiment

EXPERIMENTS: "Registry[Experiment]" = Registry(
    "experiment",
    {
        "law-biod": "capacity.experiments.law:LAW_BIOD",
        "law-bios": "capacity.experiments.law:LAW_BIOS",
        "paper-row": "capacity.experiments.paper_row:PAPER_ROW",
        "architectures": "capacity.experiments.architectures:ARCHITECTURES",
        "experts": "capacity.experiments.experts:EXPERTS",
        "quantization": "capacity.experiments.quantization:QUANTIZATION",
        "biod-shapes": "capacity.experiments.biod_shapes:BIOD_SHAPES",
        "random": "capacity.experiments.random_tokens:RANDOM",
        "layout": "capacity.experiments.layout:LAYOUT",
        "city": "capacity.experiments.city:CITY",
        "templates": "capacity.experiments.templates:TEMPLATES",
        "text-variety": "capacity.experiments.text_variety:TEXT_VARIETY",
        "passes": "capacity.experiments.passes:PASSES",
        "junk": "capacity.experiments.junk:JUNK",
        "junk-shares": "capacity.experiments.junk_shares:JUNK_SHARES",
        "optimizers": "capacity.experiments.optimizers:OPTIMIZERS",
        "questions": "capacity.experiments.questions:QUESTIONS",
        "zipf": "capacity.experiments.zipf:ZIPF",
        "kaplan": "capacity.experiments.grid:KAPLAN",
        "chinchilla": "capacity.experiments.grid:CHINCHILLA",
        "chinchilla-code": "capacity.experiments.grid:CHINCHILLA_ON_CODE",
        "predict": "capacity.experiments.predict:PREDICT",
        "batch": "capacity.experiments.batch:BATCH",
        "schedules": "capacity.experiments.schedules:SCHEDULES",
        "temporal": "capacity.experiments.temporal:TEMPORAL",
        "record": "capacity.experiments.record:RECORD",
    },
    needs=("title", "question", "source", "published", "figures", "sweeps", "select", "table", "verdict"),
)
