"""The record of a model from its recall: losses, bits, bits per parameter, accuracies.

In: the `Recall` of people, their data set, the model's number of parameters. Out: a flat dict for result.json.
"""

from collections.abc import Callable, Sequence
from functools import cache
from typing import Any

from biogen.dataset import EVALUATION, Dataset
from biogen.population import measured_people
from eval.calibration import calibration_texts
from eval.checks import check_recall
from eval.interval import bootstrap_interval
from eval.qa import completion_agreement, question_record
from eval.quantize import Model, quantize
from eval.quantizers.schemes import NONE, parse_scheme
from eval.recall import LanguageModel, Recall, mean_accuracy, recall_people
from eval.source import Source

_GREEDY_PEOPLE = 64
"""People whose sentences are completed by real decoding, to check the teacher-forced accuracy."""


def make_record(recall: Recall, dataset: Dataset, parameters: int, *, interval: bool = True) -> dict[str, Any]:
    """One record: losses in nats, bits, bits per parameter with a 95 % interval over people, accuracies.

    parameters: trainable ones, without embedding rows of tokens that never occur. A single person has no interval.
    Of a data set whose bits are not known it has the loss of values alone, and None for all else.
    """
    if not dataset.known_bits:
        return _losses_alone(recall)
    value1 = recall.value1
    p1, p2 = float(recall.name.mean()), float(recall.value.mean())
    p3 = float(value1.mean()) if value1 is not None else 0.0
    bits, most = dataset.bits(p1, p2, p3), dataset.max_bits()
    record: dict[str, Any] = {
        "loss_name": p1,
        "loss_value": p2,
        "loss_value1": p3 if value1 is not None else None,
        **{f"loss_value_{name}": float(losses.mean()) for name, losses in recall.values.items()},
        "bits": bits.total,
        "bits_name": bits.name,
        "bits_value": bits.value,
        "bits_value_set": bits.value_set,
        "bits_lower_bound": dataset.lower_bound(p1, p2, p3).total,
        "max_bits": most.total,
        "bits_per_param": bits.total / parameters,
        "max_bits_per_param": most.total / parameters,
        "qa_accuracy": mean_accuracy(recall.completed, dataset),
        **{f"qa_accuracy_{name}": float(right.mean()) for name, right in recall.completed.items()},
        "people_measured": len(recall.name),
    }
    if interval and len(recall.name) > 1:
        low, high = bootstrap_interval(recall.name, recall.value, value1, lambda *losses: dataset.bits(*losses).total)
        record |= {"bits_per_param_low": low / parameters, "bits_per_param_high": high / parameters}
    return record


_OF_KNOWLEDGE = (
    *("bits", "bits_name", "bits_value", "bits_value_set", "bits_lower_bound", "max_bits"),
    *("bits_per_param", "max_bits_per_param", "qa_accuracy"),
)
"""What a record says about bits and answers."""


def _losses_alone(recall: Recall) -> dict[str, Any]:
    """The record of a data set whose bits are not known."""
    return {
        "loss_name": None,
        "loss_value": float(recall.value.mean()),
        "loss_value1": None,
        **{f"loss_value_{name}": float(losses.mean()) for name, losses in recall.values.items()},
        **dict.fromkeys(_OF_KNOWLEDGE),
        "people_measured": len(recall.value),
    }


def measure_copies(
    model: Model,
    read: Callable[[Model], LanguageModel],
    source: Source,
    parameters: int,
    *,
    schemes: Sequence[str],
    people: int,
    tokens_in_use: int | None = None,
) -> list[dict[str, Any]]:
    """The whole measurement: one record of the model, with its question answering, and one of each quantized copy.

    schemes: names of quantized copies (`eval/quantizers/schemes.py`).
    read: makes a `LanguageModel`. people: largest number of people, over texts drawn for it (`measured_people`).
    tokens_in_use: rows of the vocabulary that `parameters` counts; None for all.
    """
    index = measured_people(source.dataset.config, people)
    records = []
    calibration = cache(lambda: calibration_texts(source))
    for scheme in dict.fromkeys((NONE, *map(parse_scheme, schemes))):
        copy, stored = quantize(model, scheme, calibration, tokens_in_use=tokens_in_use)
        reader = read(copy)
        recall = recall_people(reader, source, index, EVALUATION)
        check_recall(recall, source.dataset)
        record = make_record(recall, source.dataset, parameters)
        if scheme == NONE and source.dataset.known_bits:
            record |= completion_agreement(reader, source, index[:_GREEDY_PEOPLE], EVALUATION)
            if source.dataset.config.questions == "half":
                record |= question_record(reader, source, EVALUATION)
        record |= {
            "stored_bits": stored.total_bits,
            "bits_per_stored_bit": record["bits"] / stored.total_bits if source.dataset.known_bits else None,
            "quantized_weights": stored.quantized_weights,
        }
        records.append({"quantization": str(scheme), **record})
    return records
