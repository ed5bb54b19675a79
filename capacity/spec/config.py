"""The options of one run: those that a user may give (`RunOptions`), and those that a run stores (`RunConfig`).

In a `RunConfig` every number is decided. A run is its config: see `capacity/spec/identity.py`.
"""

from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BeforeValidator, Field, field_validator, model_validator

from basis.fields import split_values
from biogen.config import EVALUATION, MAX_PEOPLE, DataConfig, Frozen, Mapped
from biogen.population import MOST_MEASURED
from eval.quantizers.schemes import SchemeText
from train.architectures import ARCHITECTURES
from train.optimizers import OPTIMIZERS
from train.schedules import ScheduleName
from train.sizes import parse_size

FORMAT = 3
"""The version of a store's layout; folders of other versions are refused, and `capacity.migrate` converts them."""


def _tuple(value: object) -> object:
    """Read a list, which may be given as one value or as a text with commas."""
    return tuple(split_values(value))


def _size(text: object) -> str:
    try:
        return str(parse_size(str(text)))
    except ValueError as error:
        raise ValueError(str(error).partition("allowed: ")[2] or str(error)) from None


def _whole(value: object) -> object:
    """A number such as 1e7, which YAML and the shell give as a text or a float, as the integer that it is."""
    try:
        number = float(str(value).replace("_", ""))
    except ValueError:
        return value
    return int(number) if number.is_integer() and not isinstance(value, bool) else value


SizeText = Annotated[str, BeforeValidator(_size)]
MOST_STEPS = 10**9
Exposures = Annotated[int, Field(ge=1, lt=EVALUATION)]
Tokens = Annotated[int, BeforeValidator(_whole), Field(ge=1, le=10**13)]
Batch = Annotated[int, Field(ge=1, le=MOST_STEPS)]
Rate = Annotated[float, Field(gt=0, le=1)]
OptimizerName = Annotated[str, AfterValidator(OPTIMIZERS.check)]
ArchitectureName = Annotated[str, AfterValidator(ARCHITECTURES.check)]


class MeasureOptions(Frozen):
    """How a trained model is measured."""

    quantize: Annotated[tuple[SchemeText, ...], BeforeValidator(_tuple)] = ("rtn-int8+embedding",)
    """Quantized copies to measure, too: [METHOD-]FORMAT[-gGROUP][+embedding][+temperature]. METHOD: rtn, gptq,
    gptq_least, module:Name. FORMAT: bf16, fp8, int8 ... int2; without a method it is rtn (round to nearest) with the
    embedding."""
    eval_people: int = Field(MOST_MEASURED, ge=2, le=MAX_PEOPLE)
    """Largest number of people measured."""
    heldout_tokens: int = Field(0, ge=0, le=10**9, json_schema_extra={"since": "0.3"})
    """Tokens of held-out texts whose loss is measured, by role and by position (0: none)."""
    heldout_points: int = Field(8, ge=0, le=100, json_schema_extra={"since": "0.3"})
    """Measurements of that loss in each of the last three powers of ten of the training (0: at the end alone)."""


class TrainingOptions(Frozen):
    """How models are trained; the recipe decides what is left out (None)."""

    recipe: Literal["paper", "fast"] = "fast"
    """paper: AdamW as in the paper; fast: the best that we know for few exposures."""
    layout: Literal["rows", "packed"] | None = None
    """rows: one text a row; packed: texts joined and cut into windows of `context` tokens, as in the paper."""
    context: int = Field(512, ge=8, le=65_536)
    """Tokens in a window, or at most in a row."""
    batch: Batch | None = None
    """Windows (or rows) in a step."""
    optimizer: OptimizerName | None = None
    """adamw, lion: for all parameters; muon, soap: for the matrices inside the blocks, with AdamW for the rest."""
    initialization: Literal["width", "gpt2"] | None = None
    """width: 1/sqrt(inputs); gpt2: 0.02, which starves narrow models."""
    lr: Rate | None = None
    """Peak learning rate: of the matrices inside the blocks."""
    embedding_lr: Rate | None = None
    """Peak learning rate of the rest: embedding, norms and biases (default: lr, except with muon)."""
    weight_decay: float | None = Field(None, ge=0, le=1)
    """Decoupled decay of the matrices."""
    beta1: float | None = Field(None, ge=0, lt=1)
    """The first beta of AdamW, Lion and SOAP."""
    beta2: float | None = Field(None, ge=0, lt=1)
    """The second beta of AdamW, Lion and SOAP."""
    eps: float | None = Field(None, gt=0, le=1)
    """The epsilon of AdamW and SOAP."""
    momentum: float | None = Field(None, ge=0, lt=1)
    """Muon's momentum."""
    warmup_steps: int | None = Field(None, ge=0, le=MOST_STEPS)
    """Steps until the learning rate reaches its peak."""
    final_lr: float | None = Field(None, ge=0, le=1)
    """The learning rate at the end, as a share of the peak."""
    clip: float | None = Field(None, gt=0)
    """Largest norm of the gradient."""
    schedule: ScheduleName = Field("cosine", json_schema_extra={"since": "0.3"})
    """How the learning rate falls to final_lr after the warm-up: cosine, constant (it does not), or wsd (constant, then
    a straight line)."""
    decay_share: float = Field(0.2, gt=0, le=1, json_schema_extra={"since": "0.3"})
    """wsd: the share of the training in which the learning rate falls."""
    precision: Literal["auto", "fp32", "bf16"] = "auto"
    """bf16: inputs of matrix products are rounded; auto: on a GPU, and on a CPU with kernels for it, else fp32."""
    compile: Literal["auto", "on", "off"] = "auto"
    """auto: torch.compile on a GPU only."""
    kernels: Literal["auto", "native", "pytorch"] = "auto"
    """auto: the compiled kernels of train/native on a CPU with AVX2 or more; elsewhere PyTorch."""

    @field_validator("weight_decay", "beta1", "beta2", "momentum", "final_lr")
    @classmethod
    def _one_zero(cls, value: float | None) -> float | None:
        return None if value is None else value + 0.0  # -0.0 is 0.0, and written like that: a run has one id


NAMED = ("mlp", "tied")
"""Options of built-in architectures, which have flags of their own."""


class ArchitectureOptions(Frozen):
    """The architecture of the models; an option that is left out (None) has the architecture's default."""

    architecture: ArchitectureName = Field("gpt2", json_schema_extra={"since": "0.2"})
    """The class of the models."""
    mlp: Literal["gelu", "gated", "quarter", "none"] | None = Field(None, json_schema_extra={"since": "0.2"})
    """gpt2: gelu, two matrices, four times the width inside; gated, three of as many weights; quarter, the width."""
    tied: bool | None = Field(None, json_schema_extra={"since": "0.2"})
    """llama: whether the embedding is also the output head."""
    architecture_options: Mapped = Field({}, json_schema_extra={"since": "0.2"})
    """moe: experts=32 capacity=2.0 balance=0.01. Or options of an architecture of your own, such as depth=3."""

    @field_validator("architecture_options")
    @classmethod
    def _not_named(cls, value: dict[str, Any]) -> dict[str, Any]:
        if twice := sorted(set(NAMED) & value.keys()):
            raise ValueError(f"must not hold {twice[0]}, which is a key of its own")
        return value

    @property
    def options(self) -> dict[str, Any]:
        """The options to pass to the architecture."""
        named = {name: getattr(self, name) for name in NAMED}
        return {name: value for name, value in named.items() if value is not None} | self.architecture_options


class RunOptions(DataConfig, ArchitectureOptions, TrainingOptions, MeasureOptions):
    """Everything that a user may choose about one run: the options that decide its result."""

    size: SizeText = "2x48"
    """layers-heads such as 12-12 (width 64 a head), LxW such as 2x48, or LxWxH with H heads."""
    exposures: Exposures | None = None
    """How often every person is seen (default: 100, or as often as tokens take)."""
    budget: Tokens | None = Field(None, json_schema_extra={"since": "0.3"})
    """Tokens to train on, in place of exposures; a training may end within an exposure."""

    @model_validator(mode="after")
    def _one_unit(self) -> "RunOptions":
        if self.budget is not None and self.exposures is not None:
            raise ValueError(f"tokens: {self.budget} is not allowed with exposures {self.exposures}; give one of them")
        return self

    def part(self, model: type[Frozen]) -> dict[str, Any]:
        """The values of the fields that these options share with another configuration."""
        return {name: getattr(self, name) for name in model.model_fields if name in type(self).model_fields}


class Training(TrainingOptions):
    """How one model is trained, with nothing left open; a setting that the optimizer does not use is None."""

    layout: Literal["rows", "packed"]
    batch: Batch
    optimizer: OptimizerName
    initialization: Literal["width", "gpt2"]
    lr: float
    warmup_steps: int
    final_lr: float
    clip: float


class RunConfig(Frozen):
    """One run: everything that decides its result, given device and thread count."""

    size: SizeText
    """Layers and width of the model."""
    exposures: Exposures | None = None
    """How often every person is seen; None where tokens end the training."""
    budget: Tokens | None = Field(None, json_schema_extra={"since": "0.3"})
    """Tokens to train on; None where exposures end the training."""
    data: DataConfig
    """The people and their texts; its seed is also the model's."""
    model: ArchitectureOptions = ArchitectureOptions()
    """The architecture."""
    training: Training
    """The recipe, resolved."""
    measure: MeasureOptions = MeasureOptions()
    """The measurements after the training."""
