"""The record of a checkpoint: where a training and its files stood. A mapping from a file comes in, checked."""

from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from basis.flags import explain


class Saved(BaseModel):
    """What an interrupted run continues from, besides the tensors."""

    model_config = ConfigDict(strict=True, frozen=True, allow_inf_nan=False)
    training: dict[str, Any]
    """The state of a `Trainer`."""
    seconds: Annotated[float, Field(ge=0)]
    parts: Annotated[list[dict[str, Any]], Field(max_length=100)]
    """The provenance of each part of the training."""
    metrics_bytes: Annotated[int, Field(ge=0)]
    """The length of metrics.jsonl."""
    metrics_sha256: Annotated[str, Field(pattern="^[0-9a-f]{64}$")]
    """And its hash."""


def read_saved(record: dict[str, Any]) -> Saved:
    """The record of a checkpoint. Raises ValueError, in one line, for any other."""
    try:
        return Saved.model_validate(record)
    except ValidationError as error:
        raise ValueError(explain(error, Saved)[0]) from None
