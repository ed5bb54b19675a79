"""`python -m biogen rewrite --model NAME --out DIR`: have a language model rewrite biographies (bioR).

In: the people of bioS, and a model of transformers' or behind an OpenAI-compatible address. Out: a folder of accepted
texts, which `--dataset bior` reads (biogen/rewritten.py). An interrupted command goes on where it was.
"""

import fcntl
import json
import os
import sys
import time
from collections import Counter
from contextlib import closing
from itertools import islice
from pathlib import Path
from typing import IO, Annotated, Any

import numpy as np
import yaml
from pydantic import AfterValidator, Field, ValidationError

from basis.files import UserPath, replace_file
from basis.flags import UserError, explain, parse, run_main
from basis.folders import contents, refuse_links
from basis.program import called_as
from basis.text import printable, shown
from biogen.bank import bank_files
from biogen.config import EVALUATION, MAX_PEOPLE, DataConfig, Frozen, at_home
from biogen.dataset import make_dataset
from biogen.facts import FactChecker, Marked, Rejected
from biogen.folder import copy_files
from biogen.idle import has_no_effect
from biogen.pools import PoolSizes
from biogen.prompt import make_prompt
from biogen.rewritten import BANK, MARK, MOST_LINE, REJECTED, TEXTS, people_options, read_lines, read_people
from biogen.writers import AddressWriter, LocalWriter, Writer, WriterFailed

_TELL_SECONDS = 20.0
"""Seconds between two lines about the progress."""
_MOST_REJECTED = 4000
"""Characters of a rejected text that are kept."""


class Options(Frozen):
    """Who the people are, which model writes, and where to."""

    model: Annotated[str, AfterValidator(at_home)]
    """Name or folder of a model of transformers', or with --url the model's name there."""
    url: str | None = None
    """OpenAI-compatible address, such as http://localhost:8000/v1; the key is in the environment (OPENAI_API_KEY)."""
    out: UserPath
    """The folder of texts."""
    texts: int = Field(40, ge=1, le=100_000)
    """Texts a person for training; one more is kept for measuring."""
    people: int = Field(1000, ge=1, le=MAX_PEOPLE)
    """Number of people to write about, the first ones."""
    seed: int = Field(0, ge=0, lt=2**63)
    """Decides who the people are; also that of sampling, for a model of transformers'."""
    bank: Annotated[str | None, AfterValidator(at_home)] = None
    """Folder of templates and pools of your own."""
    templates: int = Field(200, ge=6)
    """Templates of the biographies that are rewritten."""
    pools: PoolSizes = PoolSizes()
    """How many different values each attribute has."""
    locale: str | None = None
    """Make the name pools from this locale of Faker's."""
    attempts: int = Field(5, ge=1, le=10_000)
    """Texts to ask for, at most, for each one that a person lacks; the same command tries again."""
    batch: int = Field(8, ge=1, le=1000)
    """Texts asked for side by side."""
    temperature: float = Field(1.0, ge=0, le=5)
    """How much the model draws at random; 0 takes the likeliest tokens."""
    most_tokens: int = Field(400, ge=1, le=10_000)
    """Tokens of an answer, at most."""
    device: str = "cpu"
    """Where a model of transformers' computes, such as cpu or cuda."""
    seconds: float = Field(120.0, gt=0, le=86_400)
    """Seconds that an answer of an address may take."""


class Rewriting:
    """The folder of texts, and what is still to be written."""

    def __init__(self, options: Options, config: DataConfig) -> None:
        """Makes or opens the folder, and keeps others from writing to it until `close`.

        Raises ValueError for a folder that holds anything else, and OSError for one that cannot be written.
        """
        self.options, self.out = options, options.out
        _begin(self.out, config)
        self._people = read_people(str(self.out))
        self._files = _open_files(self.out)
        self._source = make_dataset(self._people.config.model_copy(update={"tokenizer": "word"}))
        self._checker = FactChecker(self._people.pools)
        self.rejected: Counter[str] = Counter()
        """Texts that this command has rejected, by reason."""
        self.accepted = 0
        """Texts that this command has accepted."""
        self._asked: Counter[int] = Counter()
        """Texts that were asked for, now and before, by person: no biography is the source of two texts."""
        self._texts: dict[int, dict[str, bool]] = {}
        """The texts about each person, and whether they are fit to measure."""
        try:
            self._read()
        except BaseException:
            self.close()
            raise
        # How many texts may still be asked for, of people who lack any.
        self._tries = {person: count * options.attempts for person, count in self.lacking.items()}

    def close(self) -> None:
        """Let others write to the folder."""
        for file in self._files:
            file.close()

    def _read(self) -> None:
        """Take up what earlier commands wrote."""
        for name in (TEXTS, REJECTED):
            _cut_torn_line(self.out / name)
            try:
                for number, record in read_lines(self.out / name):
                    self._take_up(record, number, accepted=name == TEXTS)
            except ValueError as error:
                raise ValueError(f"out: {self.out / name}, {error}") from None

    def _take_up(self, record: dict[str, Any], number: int, *, accepted: bool) -> None:
        """Count a text of an earlier command; one that was accepted is checked again."""
        person, text = record.get("person"), record.get("text")
        if type(person) is not int or not 0 <= person < self._people.config.people or not isinstance(text, str):
            raise ValueError(f"line {number}: must have a text, and a person who is there")
        self._asked[person] += 1
        if accepted:
            try:
                marked = self._check(person, text)
            except Rejected as reason:
                raise ValueError(f"line {number}: {shown(text)} is not allowed; it {reason}") from None
            self._texts.setdefault(person, {})[text] = marked.fit_to_measure

    def _check(self, person: int, text: str) -> Marked:
        """The places of the facts. Raises Rejected, also for a text that is there, and for one that is not needed."""
        (described,) = self._people.describe(np.array([person]))
        marked = self._checker.check(described, text)
        if text in self._texts.get(person, {}):
            raise Rejected("is the same as an earlier one")
        return marked

    def _lacking(self, person: int) -> int:
        """Texts that a person lacks: one of them all must be fit to measure."""
        texts = self._texts.get(person, {})
        return max(self.options.texts + 1 - len(texts), 0 if any(texts.values()) else 1)

    @property
    def lacking(self) -> dict[int, int]:
        """Texts that people lack, for those who lack any."""
        return {person: count for person in range(self.options.people) if (count := self._lacking(person))}

    def go(self, writer: Writer) -> None:
        """Ask for texts until nobody lacks any, or has been tried too often. Raises as the writer does."""
        told = time.monotonic()
        while asked := self._next(writer.batch):
            prompts = [self._prompt(person, number) for person, number in asked]
            for place, text in writer.write(prompts):
                self._take(asked[place][0], " ".join(text.split()))
            for file in self._files:
                file.flush()
            if time.monotonic() - told > _TELL_SECONDS:
                told = time.monotonic()
                print(f"{self.accepted:,} texts accepted, {self.rejected.total():,} rejected", file=sys.stderr)

    def _next(self, count: int) -> list[tuple[int, int]]:
        """Up to `count` people whose texts come next, each with the number of the text."""
        found: list[tuple[int, int]] = []
        for person in list(islice(self._tries, count)):
            ask = min(self._lacking(person), self._tries[person], count - len(found))
            self._tries[person] -= ask
            if not self._tries[person]:
                del self._tries[person]
            found += [(person, self._asked[person] + number) for number in range(ask)]
            self._asked[person] += ask
            if len(found) == count:
                break
        return found

    def _prompt(self, person: int, number: int) -> str:
        """The prompt for a text; as long as there is none to measure, the biography is one in the order of those."""
        index = np.array([person])
        fit = any(self._texts.get(person, {}).values())
        (outline,) = self._source.outlines(index, number if fit else EVALUATION + number)
        (described,) = self._people.describe(index)
        return make_prompt(described, self._source.pieces.render(outline)[0].strip(), fit_to_measure=not fit)

    def _take(self, person: int, text: str) -> None:
        """Check a text and write it to one of the two files."""
        accepted, rejected = self._files
        record = {"person": person, "by": self.options.model}
        try:
            marked = self._check(person, text)
            if len(self._texts.get(person, {})) >= self.options.texts and not marked.fit_to_measure:
                raise Rejected("cannot be measured, and enough others are there")
        except Rejected as reason:
            self.rejected[str(reason)] += 1
            rejected.write(json.dumps(record | {"reason": str(reason), "text": text[:_MOST_REJECTED]}) + "\n")
            return
        self.accepted += 1
        self._texts.setdefault(person, {})[text] = marked.fit_to_measure
        accepted.write(json.dumps(record | {"text": text}) + "\n")
        if not self._lacking(person):
            self._tries.pop(person, None)


def check_folder(out: Path, config: DataConfig) -> None:
    """See that a folder can take texts about these people. Raises ValueError for one that holds anything else."""
    if os.path.lexists(out / MARK):
        refuse_links(out)
        stored, wanted = (_who(people) for people in (read_people(str(out)).config, config))
        if stored != wanted:
            raise ValueError(f"out: {out} has texts about other people; give their options, or a new folder")
    elif found := contents(out):
        raise ValueError(f"out: {out} holds something else ({found[0]}, and no {MARK}); give a new folder")


def _who(config: DataConfig) -> dict[str, Any]:
    """What decides who the people are; of a bank only whether there is one, since the folder has a copy of it."""
    return people_options(config) | {"people": None, "bank": config.bank is not None}


def _begin(out: Path, config: DataConfig) -> None:
    """Make the folder with its mark; in one that is there the number of people may grow. Raises as `check_folder`."""
    check_folder(out, config)
    mark, options = out / MARK, people_options(config)
    if mark.exists():
        stored = people_options(read_people(str(out)).config)
        if stored["people"] >= config.people:
            return
        options = stored | {"people": config.people}
    elif config.bank is not None:
        copy_files(bank_files(config.bank), out / BANK)
    out.mkdir(parents=True, exist_ok=True)
    replace_file(mark, yaml.safe_dump({"people_of": options}, sort_keys=False).encode())


def _open_files(out: Path) -> tuple[IO[str], IO[str]]:
    """The files of accepted and of rejected texts, to append to. Raises ValueError if another command does so."""
    accepted = (out / TEXTS).open("a", encoding="utf-8")
    try:
        fcntl.flock(accepted, fcntl.LOCK_EX | fcntl.LOCK_NB)
        return accepted, (out / REJECTED).open("a", encoding="utf-8")
    except BlockingIOError:
        accepted.close()
        raise ValueError(f"out: another command is writing to {out}; wait for its end") from None


def _cut_torn_line(file: Path) -> None:
    """Remove a last line without an end, which an interrupt has left."""
    with file.open("rb+") as opened:
        size = opened.seek(0, os.SEEK_END)
        start = max(0, size - MOST_LINE)
        opened.seek(start)
        rest = opened.read()
        opened.truncate(start + rest.rfind(b"\n") + 1)


def make_writer(options: Options) -> Writer:
    """The model of the options. Raises ValueError."""
    if options.url is not None:
        return AddressWriter(
            options.url,
            options.model,
            temperature=options.temperature,
            most_tokens=options.most_tokens,
            batch=options.batch,
            seconds=options.seconds,
        )
    return LocalWriter(
        options.model,
        temperature=options.temperature,
        most_tokens=options.most_tokens,
        batch=options.batch,
        seed=options.seed,
        device=options.device,
    )


def main(arguments: list[str] | None = None) -> int:
    """Rewrite; returns 1 if texts are lacking at the end. Raises UserError for mistakes."""
    by_hand: set[str] = set()
    options = parse(
        Options,
        arguments,
        adjust=lambda values, given: by_hand.update(given),
        program=f"{called_as('biogen')} rewrite",
        description="Have a language model rewrite biographies, and keep what states every fact once.",
        examples=["biogen rewrite --url http://localhost:8000/v1 --model NAME --people 1000 --out rewritten"],
    )
    unused = {"seconds": "an address, --url"} if options.url is None else {"device": "a model without --url"}
    if idle := unused.keys() & by_hand:
        raise UserError([has_no_effect(name, getattr(options, name), unused[name]) for name in idle])
    try:
        config = DataConfig(**options.model_dump(include=set(DataConfig.model_fields)))
        check_folder(options.out, config)
        writer = make_writer(options)
        rewriting = Rewriting(options, config)
    except ValidationError as error:
        raise UserError(explain(error, DataConfig)) from None
    except ValueError as error:
        raise UserError(str(error).splitlines()) from None
    except OSError as error:
        raise UserError([f"out: {error.filename or options.out} cannot be written ({error.strerror})"]) from None
    with closing(rewriting):
        return _go(rewriting, writer)


def _go(rewriting: Rewriting, writer: Writer) -> int:
    """Ask, report, and return the exit code."""
    code = 0
    try:
        rewriting.go(writer)
    except WriterFailed as error:
        print(f"error: {printable(error)}", file=sys.stderr)
        code = 1
    except OSError as error:
        print(f"error: {error.filename or rewriting.out}: {error.strerror}; what was there is whole", file=sys.stderr)
        code = 1
    except ValueError as error:
        _report(rewriting)
        raise UserError(str(error).splitlines()) from None
    except KeyboardInterrupt:
        code = 130
    _report(rewriting)
    return code or (1 if rewriting.lacking else 0)


def _report(rewriting: Rewriting) -> None:
    """What came of it: texts accepted, rejected by reason, and what is lacking."""
    total = rewriting.accepted + rewriting.rejected.total()
    print(f"{rewriting.accepted:,} of {total:,} texts accepted: {rewriting.out / TEXTS}")
    for reason, count in rewriting.rejected.most_common():
        print(f"  rejected {count:,}: {reason}")
    if lacking := rewriting.lacking:
        print(f"{sum(lacking.values()):,} texts about {len(lacking):,} people are lacking; the same command goes on.")


if __name__ == "__main__":
    run_main(main)
