"""The options of a sweep and of one run: what a preset may say, and what a run stores.

In: keys of a preset and flags. Out: a `Preset` (lists to combine) and, for every combination, a `RunConfig` in
which every number is decided. A run is its config: its id is made from the config's hash.
"""

import hashlib
import json
from collections.abc import Iterator
from fractions import Fraction
from itertools import product
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BeforeValidator, Field, field_validator, model_validator

from biogen.config import MAX_PEOPLE, DataConfig, DataOptions, Frozen, Mapped, Share
from eval.quantizers.schemes import SchemeText
from train.architectures import ARCHITECTURES
from train.optimizers import OPTIMIZERS
from train.sizes import parse_size

FORMAT = 2
"""The version of what a run stores; part of its id, so that folders of other versions are never mixed in."""


def _tuple(value: object) -> object:
    """One value stands for a list of one."""
    return tuple(value) if isinstance(value, list | tuple) else (value,)


def _size(text: object) -> str:
    try:
        return str(parse_size(str(text)))
    except ValueError as error:
        raise ValueError(str(error).partition("allowed: ")[2] or str(error)) from None


SizeText = Annotated[str, BeforeValidator(_size)]
Positive = Annotated[int, Field(ge=1)]
Rate = Annotated[float, Field(gt=0, le=1)]
OptimizerName = Annotated[str, AfterValidator(OPTIMIZERS.check)]
ArchitectureName = Annotated[str, AfterValidator(ARCHITECTURES.check)]


class MeasureOptions(Frozen):
    """How a trained model is measured."""

    quantize: Annotated[tuple[SchemeText, ...], BeforeValidator(_tuple)] = ("rtn-int8+embedding",)
    """Quantized copies to measure, too: [rtn|gptq|module:Name]-FORMAT[-gGROUP][+embedding]. FORMAT: bf16, fp8, int8 ...
    int2; without a method it is rtn (round to nearest) with the embedding."""
    eval_people: int = Field(50_000, ge=2)
    """People measured at most."""


class TrainingOptions(Frozen):
    """How models are trained; what is left out (None) the recipe decides."""

    recipe: Literal["paper", "fast"] = "fast"
    """paper: AdamW as in the paper; fast: the best that we know for few exposures."""
    layout: Literal["rows", "packed"] | None = None
    """rows: one text a row; packed: texts joined and cut into windows of `context` tokens, as in the paper."""
    context: int = Field(512, ge=8, le=65_536)
    """Tokens in a window, or at most in a row."""
    batch: int | None = Field(None, ge=1)
    """Windows (or rows) in a step."""
    optimizer: OptimizerName | None = None
    """adamw, muon (for the matrices inside the blocks, with AdamW for the rest), or your own as module:Name."""
    initialization: Literal["width", "gpt2"] | None = None
    """width: 1/sqrt(inputs); gpt2: 0.02, which starves narrow models."""
    lr: Rate | None = None
    """Peak learning rate: of the matrices inside the blocks."""
    embedding_lr: Rate | None = None
    """Peak learning rate of the rest: embedding, norms and biases. With adamw lr unless given."""
    weight_decay: float | None = Field(None, ge=0, le=1)
    """Decoupled decay of the matrices."""
    beta1: float | None = Field(None, ge=0, lt=1)
    """AdamW's first beta."""
    beta2: float | None = Field(None, ge=0, lt=1)
    """AdamW's second beta."""
    eps: float | None = Field(None, gt=0, le=1)
    """AdamW's epsilon."""
    momentum: float | None = Field(None, ge=0, lt=1)
    """Muon's momentum."""
    warmup_steps: int | None = Field(None, ge=0)
    """Steps until the learning rate reaches its peak."""
    final_lr: float | None = Field(None, ge=0, le=1)
    """The learning rate at the end, as a share of the peak."""
    clip: float | None = Field(None, gt=0)
    """Largest norm of the gradient."""
    precision: Literal["auto", "fp32", "bf16"] = "auto"
    """bf16: inputs of matrix products are rounded; auto: on a GPU, and on a CPU with kernels for it, else fp32."""
    compile: Literal["auto", "on", "off"] = "auto"
    """auto: torch.compile on a GPU only."""
    kernels: Literal["auto", "native", "pytorch"] = "auto"
    """auto: the compiled kernels of train/native on a CPU with AVX2 or more; elsewhere PyTorch."""


class ArchitectureOptions(Frozen):
    """Which models are trained; an option that is left out (None) has the architecture's default."""

    architecture: ArchitectureName = "gpt2"
    """gpt2, llama, or your own as module:Class."""
    mlp: Literal["gelu", "gated", "quarter", "none"] | None = None
    """gpt2: gelu, two matrices, four times the width inside; gated, three of as many weights; quarter, the width."""
    tied: bool | None = None
    """llama: whether the embedding is also the output head."""
    architecture_options: Mapped | None = None
    """Options of an architecture of your own: a mapping, such as {depth: 3}."""

    @field_validator("architecture_options")
    @classmethod
    def _not_named(cls, value: dict[str, Any] | None) -> dict[str, Any] | None:
        if twice := sorted({"mlp", "tied"} & (value or {}).keys()):
            raise ValueError(f"must not hold {twice[0]}, which is a key of its own")
        return value

    @property
    def options(self) -> dict[str, Any]:
        """What is given to the architecture."""
        named = {"mlp": self.mlp, "tied": self.tied}
        return {name: value for name, value in named.items() if value is not None} | (self.architecture_options or {})


class Training(TrainingOptions):
    """How one model is trained, with nothing left open."""

    layout: Literal["rows", "packed"]
    batch: Positive
    optimizer: OptimizerName
    initialization: Literal["width", "gpt2"]
    lr: float
    embedding_lr: float
    weight_decay: float
    beta1: float
    beta2: float
    eps: float
    momentum: float
    warmup_steps: int
    final_lr: float
    clip: float


class RunConfig(Frozen):
    """One run: all that decides its result, given device and thread count."""

    size: SizeText
    """Layers and width of the model."""
    exposures: Positive
    """How often every person is seen."""
    data: DataConfig
    """The people and their texts; its seed is also the model's."""
    model: ArchitectureOptions = ArchitectureOptions()
    """The architecture; options at their defaults are left out."""
    training: Training
    """The recipe, resolved."""
    measure: MeasureOptions
    """What is measured afterwards."""
    format: int = FORMAT
    """Version of the store."""

    @property
    def run_id(self) -> str:
        """Readable in front, unique by the hash of the whole config."""
        default = {"model"} if self.model == ArchitectureOptions() else None
        content = json.dumps(self.model_dump(mode="json", exclude=default), sort_keys=True)
        digest = hashlib.sha256(content.encode()).hexdigest()[:10]
        return f"{self.data.dataset}-{self.size}-n{self.data.people}-e{self.exposures}-{digest}"


class Preset(DataOptions, ArchitectureOptions, TrainingOptions, MeasureOptions):
    """A sweep: one run for every combination of the lists, and the options that all runs share."""

    sizes: Annotated[tuple[SizeText, ...], BeforeValidator(_tuple), Field(min_length=1)] = ("2x48",)
    """Model sizes: layers-heads such as 12-12 (width 64 a head), LxW such as 2x48, LxWxH with H heads."""
    people: Annotated[
        tuple[Annotated[int, Field(ge=1, le=MAX_PEOPLE)], ...], BeforeValidator(_tuple), Field(min_length=1)
    ] = (1000,)
    """N, numbers of people."""
    exposures: Annotated[tuple[Positive, ...], BeforeValidator(_tuple), Field(min_length=1)] = (100,)
    """How often every person is seen."""
    junk: Annotated[tuple[Share, ...], BeforeValidator(_tuple), Field(min_length=1)] = (Fraction(0),)
    """Shares of the tokens that are about other people, such as 0 or 7/8."""
    seeds: Annotated[
        tuple[Annotated[int, Field(ge=0, lt=2**63)], ...], BeforeValidator(_tuple), Field(min_length=1)
    ] = (0,)
    """Seeds of people, texts and model."""
    r_max: tuple[float, float] | None = None
    """Leave out combinations whose largest possible bits per parameter lie outside these two numbers."""
    bracket: bool = False
    """Begin with the `people` within r_max, and go on to those beside the best N of each size, as far as there are."""
    engine: Literal["local", "ray"] = "local"
    """local: this machine; ray: a Ray cluster, all of whose nodes see the folder `out`."""
    ray_address: str | None = None
    """Of a Ray cluster; by default the one that Ray finds, else one started on this machine."""
    workers: int | None = Field(None, ge=1, le=4096)
    """Trainings side by side; by default one a GPU, or one a core, of this machine or the cluster."""
    processes: int = Field(1, ge=1, le=64)
    """Processes that train one model together, each on its own GPU where there are some."""
    gpus: float | None = Field(None, gt=0, le=1)
    """ray: the share of a GPU that a training takes; by default the larger its model, the more."""
    device: Literal["auto", "cpu", "cuda", "mps"] = "auto"
    """Where to train."""
    save_seconds: float = Field(60.0, ge=0, le=86_400)
    """About so often a training writes a checkpoint."""
    retry_failed: bool = False
    """Take up again what failed before."""
    out: Path = Path("runs/laptop")
    """Folder of the results."""
    dry_run: bool = False
    """Print the plan and do nothing."""

    @field_validator("r_max")
    @classmethod
    def _ordered(cls, value: tuple[float, float] | None) -> tuple[float, float] | None:
        if value is not None and not 0 <= value[0] < value[1]:
            raise ValueError("must be two numbers, the smaller first and at least 0")
        return value

    @model_validator(mode="after")
    def _begins_somewhere(self) -> "Preset":
        if self.bracket and self.r_max is None:
            raise ValueError("bracket: True is not allowed without r_max, which says what N to begin with")
        return self

    @field_validator("out", mode="before")
    @classmethod
    def _named(cls, value: object) -> object:
        if value == "":
            raise ValueError("must name a folder")
        return value

    def combinations(self) -> Iterator[tuple[str, int, DataConfig]]:
        """Size, exposures and data of every run, in the order of the lists.

        Raises pydantic's ValidationError for a combination that cannot be.
        """
        shared = {name: getattr(self, name) for name in DataOptions.model_fields}
        for size, people, exposures, junk, seed in product(
            self.sizes, self.people, self.exposures, self.junk, self.seeds
        ):
            yield size, exposures, DataConfig(**shared, people=people, junk=junk, seed=seed)

    def part(self, model: type[Frozen]) -> dict[str, Any]:
        """The fields that this preset shares with another configuration."""
        return {name: getattr(self, name) for name in model.model_fields if name in type(self).model_fields}
