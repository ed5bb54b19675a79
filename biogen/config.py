"""The options of the data: which people, which texts, which tokens, which junk.

In: keys from a preset or from flags. Out: a frozen `DataConfig`; every mistake in it is a pydantic error.
"""

import math
import operator
import re
from fractions import Fraction
from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PlainSerializer,
    ValidationError,
    field_validator,
    model_validator,
)
from pydantic_core import to_json

from basis.files import user_path
from basis.yaml_text import read_mapping
from biogen.bank import Lines, read_bank, sizes_in_use, templates_in_use
from biogen.datasets import DATASETS
from biogen.pools import PoolSizes

MAX_PEOPLE = 20_000_000
MADE_TOKENIZERS = ("bpe", "word", "bytes")
"""Tokenizers that are made from the texts; any other name is that of one of Hugging Face's."""

EVALUATION = 1 << 31
"""Exposures from this number on are for measuring: no training draws texts at them.

A training can have drawn the same words all the same: with few templates, or fixed texts, there are few texts a person.
"""
HELD_OUT = 3 << 30
"""Exposures from this number on are for held-out text: no training draws texts at them, which are as in training.

Those for measuring, from EVALUATION on, may differ in the order of sentences: `measured_order`.
"""


_NUMBER = re.compile(r"[-+.\d/]{1,60}(e[-+]?\d{1,3})?", re.IGNORECASE | re.ASCII)
"""What a fraction may look like; more digits, or a longer exponent, would take much time and memory."""


def _fraction(value: object) -> Fraction:
    text = str(value).replace(" ", "")
    try:
        if not _NUMBER.fullmatch(text):
            raise ValueError
        return Fraction(text).limit_denominator(10_000)
    except (ValueError, ZeroDivisionError):
        raise ValueError("must be a fraction such as 0, 0.5 or 7/8") from None


Share = Annotated[Fraction, BeforeValidator(_fraction), PlainSerializer(str, return_type=str), Field(ge=0, lt=1)]
"""A share of the whole, written `7/8` or `0.875`; at least 0 and below 1."""


class Frozen(BaseModel):
    """A configuration: unknown keys are refused, nothing changes after construction."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)


class Variant(Frozen):
    """How a person's text changes from exposure to exposure, read from the paper's names for the data sets."""

    texts: int | None
    """Different texts a person; None: a new one at every exposure."""
    permute: bool
    """The sentences stand in random order."""
    fullname: bool
    """Every sentence begins with the full name, not with a pronoun."""

    @classmethod
    def parse(cls, text: str) -> "Variant":
        """Read `fresh`, `single` or `multiM`, then optionally `+permute`, `+fullname`.

        Raises ValueError for anything else.
        """
        base, *options = text.split("+")
        multi = re.fullmatch(r"multi([1-9]\d{0,5})", base)
        known = base in ("fresh", "single") or multi
        if not known or len(set(options)) < len(options) or not set(options) <= {"permute", "fullname"}:
            raise ValueError("must be fresh, single or multiM (such as multi5), then optionally +permute and +fullname")
        texts = None if base == "fresh" else int(multi[1]) if multi else 1
        return cls(texts=texts, permute=base == "fresh" or "permute" in options, fullname="fullname" in options)


def _variant(text: object) -> str:
    Variant.parse(str(text))
    return str(text)


_MOST_SYMBOLS, _MOST_TOKENS = 2_000_000, 1 << 14
"""Limits of bioD: symbols in all chunks, and tokens in a text."""


class BioDShape(Frozen):
    """The six numbers of bioD(N, K, C, D, L, T) but N, and the length of a name (paper, section 2.2)."""

    K: int = Field(4, ge=1, le=100)
    """Attributes a person."""
    C: int = Field(4, ge=1, le=1000)
    """Chunks a value."""
    D: int = Field(64, ge=1, le=1_000_000)
    """Different chunks for each attribute."""
    L: int = Field(1, ge=1, le=1000)
    """Tokens a chunk."""
    T: int = Field(64, ge=2, le=60_000)
    """Symbols that a token can be."""
    name_length: int = Field(3, ge=1, le=16)
    """Tokens a name: the space of names has T^name_length elements."""

    @property
    def names(self) -> int:
        """N0, the number of possible names."""
        return self.T**self.name_length

    @model_validator(mode="after")
    def _enough_strings(self) -> "BioDShape":
        mistakes = []
        if self.L * math.log(self.T) < math.log(self.D) - 1e-9:
            mistakes += [f"D: {self.D} different chunks do not exist; allowed is at most T^L = {self.T**self.L}"]
        if (symbols := self.K * self.D * self.L) > _MOST_SYMBOLS:
            mistakes += [f"D: K·D·L = {symbols:,} symbols in all chunks are too many; allowed are {_MOST_SYMBOLS:,}"]
        if (tokens := self.K * (1 + self.C * self.L)) > _MOST_TOKENS:
            mistakes += [f"C: K·(1 + C·L) = {tokens:,} tokens in a text are too many; allowed are {_MOST_TOKENS:,}"]
        if self.name_length * math.log2(self.T) > 60:
            mistakes += [f"name_length: {self.name_length} is too long; T^name_length may be at most 2^60"]
        if mistakes:
            raise ValueError("\n".join(mistakes))
        return self


def at_home(value: Any) -> Any:
    """A value as it is, but in a text `~/` at its beginning, which means the home folder, as that folder's path.

    Raises ValueError where there is no home folder.
    """
    return str(user_path(value)) if isinstance(value, str) and value.startswith("~/") else value


def _all_at_home(options: dict[str, Any]) -> dict[str, Any]:
    return {name: at_home(value) for name, value in options.items()}


def _plain(value: Any) -> Any:
    """A value as it is. Raises ValueError for what no JSON has: an object, or half a character."""
    try:
        to_json(value)
    except (ValueError, RecursionError):
        raise ValueError("must hold numbers and texts in UTF-8, and lists and mappings of them") from None
    if isinstance(value, dict) and "" in value:
        raise ValueError("must have a name before each value")
    return value


Text = Annotated[str, AfterValidator(_plain)]
"""A text that a file can hold."""
Mapped = Annotated[dict[str, Any], BeforeValidator(read_mapping), AfterValidator(_plain), AfterValidator(_all_at_home)]
"""Options of a user's own data set or architecture; as a flag, a text such as `flips=3` or `{flips: 3}`."""


def _bank_of(info: Any) -> Lines:
    """The bank of the options that are being read; empty for one with mistakes, which the data set reports."""
    try:
        return read_bank(info.data.get("bank"))
    except ValueError:
        return {}


COMMON = frozenset(
    {"dataset", "dataset_options", "people", "population", "zipf", "seed", "junk", "junk_people", "domain_token"}
)
"""The options that apply to every data set; `Dataset.options` names the others that it reads."""


class DataOptions(Frozen):
    """The options of the data, besides the number of people, the seed and the junk."""

    dataset: Annotated[str, AfterValidator(DATASETS.check)] = "bios"
    """bios: biographies in English; bior: the same, rewritten by a language model; biod: the abstract data set; random:
    uniform random tokens; corpus: text files of your own."""
    dataset_options: Mapped = Field(
        {}, validate_default=True, exclude_if=operator.not_, json_schema_extra={"since": "0.2"}
    )
    """random: tokens=64 length=64 (different tokens, tokens of a text). bior: texts=FOLDER (of `biogen rewrite`).
    corpus: length=512 (tokens of a piece at most). Or options of a data set of your own."""
    variant: Annotated[str, BeforeValidator(_variant)] = "fresh"
    """bios: fresh (a new text at every exposure), single, multiM (M texts); then +permute, +fullname."""
    bank: Annotated[Text | None, AfterValidator(at_home)] = Field(None, json_schema_extra={"since": "0.2"})
    """bios: folder of templates and pools of your own, in files with the names of those in biogen/data."""
    corpus: Annotated[Text | None, AfterValidator(at_home)] = Field(None, json_schema_extra={"since": "0.3"})
    """corpus: a folder, a file, or a pattern such as 'folder/**/*.py'; stdlib is Python's own library, and stdlib/json
    a folder of it."""
    templates: int = Field(200, ge=6, validate_default=True)
    """bios: sentence templates in use, over all attributes; all of a bank that has fewer."""
    pools: PoolSizes = Field(PoolSizes(), validate_default=True)
    """bios: how many different values each attribute has; all of a bank's pool that has fewer."""
    locale: Text | None = None
    """bios: make the name pools from this locale of Faker's instead of the stored ones."""
    biod: BioDShape = BioDShape()
    """biod: the shape of the data set."""
    tokenizer: Annotated[Text, AfterValidator(at_home)] = "bpe"
    """bios, bior, corpus: bpe, bytes (a token a byte), word, or the name or folder of a Hugging Face tokenizer. biod
    has a token a symbol."""
    vocab: int = Field(1024, ge=1, le=200_000)
    """bios, bior, corpus: tokens in use at most, for the tokenizer bpe."""
    population: Literal["fixed", "fresh", "zipf"] = Field("fixed", json_schema_extra={"since": "0.3"})
    """The people whom texts are about: fixed, each once an exposure; fresh, new ones for ever, `people` an exposure;
    zipf, that of rank i with probability ∝ i^-s, `people` draws an exposure."""
    zipf: float = Field(1.35, gt=0, allow_inf_nan=False, json_schema_extra={"since": "0.3"})
    """The exponent s of the population zipf."""
    junk_people: int | None = Field(None, ge=1)
    """Number of people that the junk repeats (default: new people as long as there are names)."""
    domain_token: bool = False
    """A special token stands before every useful biography."""
    company_city: Literal["any", "after", "before", "none"] = Field("any", json_schema_extra={"since": "0.2"})
    """bios: where texts name the company city, which gives the employer away: in any order (as the variant says), after
    the employer, before it, or not at all (none)."""
    measured_order: Literal["employer-first", "as-trained"] = Field(
        "employer-first", json_schema_extra={"since": "0.2"}
    )
    """bios: texts for measurement name the employer before the company city; as-trained: they are in the order of
    training, and R is too high where the city stands first."""
    questions: Literal["none", "half", "lora"] = "none"
    """bios: half mixes a question and its answer an exposure into the text, for half of the people; lora: adapters
    learn them after the training (by peft)."""

    @field_validator("templates")
    @classmethod
    def _templates_of_bank(cls, templates: int, info: Any) -> int:
        return templates_in_use(templates, _bank_of(info))

    @field_validator("pools")
    @classmethod
    def _pools_of_bank(cls, pools: PoolSizes, info: Any) -> PoolSizes:
        return sizes_in_use(pools, _bank_of(info))


class DataConfig(DataOptions):
    """Everything that decides what the people are and what is written about them."""

    people: int = Field(1000, ge=1, le=MAX_PEOPLE)
    """N, the number of people whose biographies are useful text."""
    seed: int = Field(0, ge=0, lt=2**63)
    """Decides who the people are and everything random about their texts."""
    junk: Share = Fraction(0)
    """Share of all tokens that is about other people; no measurement asks about them."""

    @property
    def names(self) -> int:
        """N0, the number of possible names."""
        return DATASETS[self.dataset].count_names(self)

    @property
    def junk_pool(self) -> int:
        """How many people the junk may be about: `junk_people`, or everyone else for whom there is a name."""
        return self.junk_people or self.names - self.people

    @property
    def held_out_people(self) -> int:
        """People with new names who are kept for held-out text where the population is fresh: the last sixteenth."""
        return self.names // 16

    def check_population(self, exposures: int) -> None:
        """Refuse new people for ever where names are too few for them. Raises ValueError."""
        texts, allowed = self.people * exposures, self.names - self.held_out_people
        if self.population == "fresh" and texts > allowed:
            raise ValueError(
                f"population: fresh for {exposures} exposures of {self.people} people takes {texts} new people; "
                f"allowed are at most {allowed}: of N0 = {self.names} names a sixteenth is kept for held-out text"
            )

    def check_junk(self, texts: int, exposures: int) -> None:
        """Refuse new people as junk where names are too few for them: at most one text each in 100 exposures.

        The paper draws its junk from 100 million people, so its longest trainings repeat people as well.
        Raises ValueError.
        """
        allowed = self.junk_pool * max(1, exposures // 100)
        if self.junk_people is None and texts > allowed:
            raise ValueError(
                f"junk: {self.junk} for {exposures} exposures of {self.people} people takes {texts} texts about other "
                f"people; allowed is at most {allowed}: once in 100 exposures each of the N0 - people names"
            )

    @field_validator("dataset_options")
    @classmethod
    def _own_options(cls, given: dict[str, Any], info: Any) -> dict[str, Any]:
        """Keep what differs from its default, as the data set reads it; `_fits` reports mistakes."""
        try:
            model = DATASETS[info.data["dataset"]].own_options
            return model.model_validate(given).model_dump(mode="json", exclude_defaults=True)
        except (KeyError, ValueError, AttributeError):
            return given

    @model_validator(mode="after")
    def _fits(self) -> "DataConfig":
        kind = DATASETS[self.dataset]
        if lacking := _lacking(kind):
            raise ValueError(f"dataset: {self.dataset!r} is not allowed; {lacking}")
        if refused := _refused(kind.own_options, self.dataset_options):
            raise ValueError("\n".join(f"dataset_options.{line}" for line in refused))
        mistakes, names = kind.mistakes(self), kind.count_names(self)
        mistakes += self._population_mistakes()
        if self.people > names:
            mistakes += [f"people: {self.people} people need as many names; allowed is at most N0 = {names}"]
        elif self.people + (self.junk_people or 0) > names and self.junk:
            mistakes += [
                f"junk_people: {self.junk_people} and {self.people} people need as many names; allowed is at "
                f"most N0 - people = {names - self.people}"
            ]
        if mistakes:
            raise ValueError("\n".join(mistakes))
        return self

    def _population_mistakes(self) -> list[str]:
        """Lines about options that no world without end can have."""
        if self.population == "fixed":
            return []
        with_it = f"is not allowed with population {self.population}"
        lines = [f"questions: {self.questions} {with_it}; must be none"] if self.questions != "none" else []
        if self.population == "fresh" and self.junk:
            lines.append(f"junk: {self.junk} {with_it}, whose people are all new; must be 0")
        return lines


def _lacking(kind: object) -> str:
    """Why a user's own object is not a data set; empty if it is one."""
    abstract = getattr(kind, "__abstractmethods__", None)
    if abstract is None or not hasattr(kind, "count_names"):
        return "must be a subclass of biogen.dataset.Dataset"
    missing = sorted(abstract) + [name for name in ("title",) if not hasattr(kind, name)]
    return f"must define {', '.join(missing)}" if missing else ""


def _refused(model: type[Frozen], options: dict[str, Any]) -> list[str]:
    """A line for each option that a data set's own model of options refuses."""
    try:
        model.model_validate(options)
    except ValidationError as error:
        from basis.flags import explain  # slow to import

        return explain(error, model)
    return []


def trained_on_questions(people: int) -> int:
    """People with indices below this number have questions in the text; the others have none."""
    return people // 2
