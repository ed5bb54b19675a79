"""`python -m biogen --people 1000 --seed 0 --out DIR`: write a data set to a folder."""

import sys
from difflib import get_close_matches
from typing import Any, Literal

from pydantic import Field, create_model

from basis.files import UserPath
from basis.flags import UserError, parse, run_main
from basis.program import called_as
from biogen.bank import left_unused
from biogen.config import DataConfig
from biogen.folder import write_dataset
from biogen.idle import without_effect


class _Options(DataConfig):
    """The data, how much of it, and where to put it."""

    texts: int | None = Field(None, ge=1, le=100_000)
    """Texts a person (exposures, where the population is not fixed); by default as many as the variant has, or one."""
    out: UserPath
    """The folder to write."""


_MEANING = "evaluation: the one text a person that a model is measured on, and no junk."
_FOR: Any = {"for": (Literal["training", "evaluation"], Field("training", description=_MEANING))}
Options = create_model("Options", __base__=_Options, **_FOR)  # no class can have a field of this name


def _data_keys(content: dict[str, Any]) -> dict[str, Any]:
    """The options of the data in a run's config.yaml, or in a data set's with its texts; or the file's own keys."""
    if "data" not in content:
        return content
    data = content["data"]
    if not isinstance(data, dict):
        raise UserError([f"data: {data!r} is not allowed; must be a mapping of keys to values"])
    return data | {key: content[key] for key in ("texts", "for") if key in content}


def main(arguments: list[str] | None = None) -> int:
    """Write the data set, or rewrite biographies. Raises UserError for mistakes."""
    given = sys.argv[1:] if arguments is None else arguments
    if given[:1] == ["rewrite"]:
        from biogen.rewrite import main as rewrite

        return rewrite(given[1:])
    if given and not given[0].startswith("-"):
        hint = "; did you mean rewrite?" if get_close_matches(given[0], ["rewrite"]) else ""
        raise UserError([f"command: {given[0]!r} is not allowed; must be rewrite, or flags such as --people{hint}"])
    by_hand: set[str] = set()
    options = parse(
        Options,
        arguments,
        program=called_as("biogen"),
        description="Write synthetic biographies to a folder.",
        examples=["biogen --people 1000 --texts 100 --out people", "biogen rewrite --help"],
        keys_of_file=_data_keys,
        adjust=lambda values, given: by_hand.update(given),
    )
    config = DataConfig(**{name: getattr(options, name) for name in DataConfig.model_fields})
    if lines := without_effect(config, by_hand):
        raise UserError(lines)
    try:
        measured = getattr(options, "for") == "evaluation"
        rows = write_dataset(config, options.texts, options.out, measured=measured)
    except OSError as error:
        raise UserError(
            [f"out: {error.filename or options.out} cannot be written ({error.strerror}); give another folder"]
        ) from None
    except ValueError as error:
        raise UserError(str(error).splitlines()) from None
    if unused := left_unused(config.bank, config.pools, config.templates):
        print(f"Of the bank {config.bank} are in use: {unused}.")
    people = rows if config.population == "fresh" else config.people
    print(f"{rows:,} biographies of {people:,} people: {options.out}")
    return 0


if __name__ == "__main__":
    run_main(main)
