"""BioS: biographies in English, six sentences a person.

In: a `DataConfig` and arrays of person indices. Out: outlines (rows of piece numbers) for biographies and for
questions about them, with the pieces and the tokenizer to render or splice them.
Source: Allen-Zhu and Li, arXiv 2404.05405, section 2.1, and arXiv 2309.14316, section 2.
"""

import math
from dataclasses import asdict
from pathlib import Path

import numpy as np
from jaxtyping import Int

from biogen.bank import bank_files, bank_mistakes, read_bank
from biogen.config import DataConfig, Variant
from biogen.dataset import Dataset, special_tokens
from biogen.datasets.bios_form import biography_form
from biogen.entropy import OTHER, biography_nats, fixed_texts_nats
from biogen.form import Form
from biogen.people import Attributes, are_kept, describe, draw_attributes, draw_kept, draw_names, find_names
from biogen.pieces import EMPTY, PieceList, Role, in_order
from biogen.pools import load_pools, pool_files
from biogen.questions import find_attribute, find_name, phrases
from biogen.rng import Stream, below, random_words
from biogen.sentences import ROLES, draw_sentences, stated
from biogen.templates import ATTRIBUTES, load_bank, split_template
from biogen.tokenizer import make_tokenizer

_STAND_IN = {"seed": 0, "junk": 0, "population": "fixed", "zipf": DataConfig.model_fields["zipf"].default}
_CORPUS_PEOPLE = 4000
"""People whose biographies a BPE is trained on."""


class BioS(Dataset):
    """The biographies of a configuration, as outlines."""

    title = "bioS"
    languages = ("en",)
    options = frozenset(
        {
            "variant",
            "templates",
            "pools",
            "bank",
            "locale",
            "tokenizer",
            "vocab",
            "questions",
            "company_city",
            "measured_order",
        }
    )

    def __init__(self, config: DataConfig) -> None:
        """Raises ValueError for options that the pools, the bank or the tokenizer cannot meet."""
        super().__init__(config)
        self.variant = Variant.parse(config.variant)
        self.attributes = stated(config)
        """The attributes that texts state, a sentence each."""
        own = read_bank(config.bank)
        self.pools = load_pools(config.pools, config.locale, own)
        self.bank = load_bank(config.templates, own)
        self._lay_out_pieces()
        self._tokenize()

    @classmethod
    def count_names(cls, config: DataConfig) -> int:
        """N0, the number of possible names."""
        return config.pools.names

    @classmethod
    def stand_in(cls, config: DataConfig) -> DataConfig:
        """The same texts about other people: who they are decides neither tokens nor lengths."""
        return config.model_copy(update=_STAND_IN | {"people": min(1000, config.names)})

    @classmethod
    def mistakes(cls, config: DataConfig) -> list[str]:
        """Lines about options that do not fit this data set: those of its bank, too."""
        return super().mistakes(config) + bank_mistakes(config.bank, config.locale)

    @classmethod
    def carried(cls, config: DataConfig) -> dict[str, dict[str, Path]]:
        """The files of the bank."""
        return {"bank": bank_files(config.bank)} if config.bank else {}

    def describe(self, index: Int[np.ndarray, " n"]) -> list[dict[str, str]]:
        """Each person's names and values in words."""
        return [asdict(person) for person in describe(self.config.seed, self.config.pools, self.pools, index)]

    def pool_files(self) -> dict[str, list[str]]:
        """The values of each attribute, employers with their cities, and the sentences and questions in use."""
        files = pool_files(self.pools)
        for kind, lines_of in (("templates", self.bank.templates), ("questions", self.bank.questions)):
            files |= {f"{kind}_{attribute}.txt": list(lines_of[attribute]) for attribute in self.attributes}
        return files

    @classmethod
    def form(cls, config: DataConfig, index: Int[np.ndarray, " n"], exposure: int) -> Form:
        """The biographies with blanks for names and values."""
        return biography_form(config, index, exposure)

    @property
    def value_roles(self) -> dict[str, tuple[int, ...]]:
        """All attributes but the company city, which the employer determines, and a pronoun that no text has."""
        left_out = {"company_city"} | ({"pronoun"} if self.variant.fullname else set())
        return {name: (role,) for name, role in ROLES.items() if name not in left_out}

    @property
    def qa_roles(self) -> dict[str, tuple[int, ...]]:
        """The attributes that a model is asked to complete, with the roles of their values."""
        return {name: (ROLES[name],) for name in self.attributes}

    @property
    def texts(self) -> int | None:
        """Different texts a person; None: a new one at every exposure."""
        return self.variant.texts

    @property
    def questions(self) -> tuple[str, ...]:
        """The attributes that questions are about, if questions are mixed in or learned afterwards."""
        return self.attributes if self.config.questions != "none" else ()

    @property
    def log2_values(self) -> float:
        """log2 S0, the bits of one person's attributes; without the pronoun where no text has one."""
        values = self.config.pools.values
        return sum(math.log2(values[attribute]) for attribute in self.value_roles)

    def text_nats(self, *, known: bool) -> dict[str, float]:
        """Values, and templates with their order; a known person who has M texts has one of these."""
        config, variant, sentences = self.config, self.variant, len(self.attributes)
        templates = [len(self.bank.templates[name]) for name in self.attributes]
        values = {name: config.pools.values[name] for name in self.value_roles}
        cities = np.unique(self.pools.company_cities, return_inverse=True)[1]
        city_first = {"before": 1.0, "any": 0.5 if variant.permute else 0.0}.get(config.company_city, 0.0)
        nats = biography_nats(values, templates, cities, city_first)
        halved = config.company_city in ("after", "before")
        nats[OTHER] += (math.lgamma(sentences + 1) - math.log(2) * halved) if variant.permute else 0.0
        nats = {role: nats[role] for role in (*self.role_names.values(), OTHER) if role != "name"}
        if not known:
            return nats
        other = nats[OTHER] if variant.texts is None else fixed_texts_nats(variant.texts, nats[OTHER])
        return dict.fromkeys(nats, 0.0) | {OTHER: other}

    @property
    def longest_text(self) -> int:
        """An upper bound on the tokens of a biography, with its special tokens."""
        lengths = self.pieces.lengths
        value = {name: int(lengths[numbers].max()) for name, numbers in self._value.items()}
        value["birth_date"] = int(lengths[self._day].max() + lengths[self._year].max())
        sentences = sum(
            int((lengths[before] + lengths[after]).max()) + value[name]
            for name, before, after in zip(self.attributes, self._before, self._after, strict=True)
        )
        subjects = self._name_again if self.variant.fullname else [self._pronoun]
        subject = sum(int(lengths[numbers].max()) for numbers in subjects)
        name = sum(int(lengths[numbers].max()) for numbers in self._name)
        return len(special_tokens(self.config)) + name + (len(self.attributes) - 1) * subject + sentences

    def outlines(
        self, index: Int[np.ndarray, " n"], exposure: int | Int[np.ndarray, " n"]
    ) -> Int[np.ndarray, "n slots"]:
        """The biography of each person at an exposure."""
        return self._outlines(index, exposure, self.config.seed)

    def _people(self, index: Int[np.ndarray, " n"], seed: int) -> tuple[Int[np.ndarray, "n 3"], Attributes]:
        """Names and attributes. Raises ValueError for an index of N0 or more."""
        pools, people = self.config.pools, self.config.people
        if are_kept(index, people):
            names, attributes = draw_kept(seed, pools, people)
            return names.take(index, axis=0), attributes.take(index)
        return draw_names(seed, pools, index), draw_attributes(seed, pools, index)

    def _outlines(
        self, index: Int[np.ndarray, " n"], exposure: int | Int[np.ndarray, " n"], seed: int
    ) -> Int[np.ndarray, "n slots"]:
        counts = [len(self.bank.templates[name]) for name in self.attributes]
        templates, order = draw_sentences(self.config, counts, index, exposure, seed)
        return self._assemble(self.head(index), *self._people(index, seed), templates, order)

    def question_outlines(
        self, index: Int[np.ndarray, " n"], exposure: int, attribute: int | None = None
    ) -> Int[np.ndarray, "n slots"]:
        """One question about each person with its answer: question, answer, full stop.

        attribute: its place in `questions`; None draws one for each person.
        """
        words = random_words(self.config.seed, Stream.QUESTIONS, index, 2, exposure)
        asked = below(words[:, 0], len(self.questions)) if attribute is None else np.full(len(index), attribute)
        return self._assemble_questions(self.head(index), *self._people(index, self.config.seed), asked, words[:, 1])

    def question_answer_slots(self) -> slice:
        """The columns of `question_outlines` that hold the answer's value, without the full stop."""
        first = len(special_tokens(self.config)) + 5  # behind the head: question, three names, its end
        return slice(first, first + 2)

    def example_question(self, person: int) -> str:
        """The first question of the bank, about a person."""
        (described,) = describe(self.config.seed, self.config.pools, self.pools, np.array([person]))
        return self.bank.questions[ATTRIBUTES[0]][0].format(name=described.name)

    def read_question(self, question: str) -> tuple[int, str]:
        """The person of the first full name, and the attribute that the bank asks for in the most similar words."""
        pools = self.pools
        found = find_name(question, [pools.first_names, pools.middle_names, pools.last_names])
        if found is None:
            example = self.example_question(0)
            raise ValueError(
                f"question: {question!r} has no full name of this data; must have a first, middle and last name, as in "
                f"{example!r}"
            )
        names, rest = found
        attribute = find_attribute(rest, phrases({name: self.bank.questions[name] for name in self.attributes}))
        if attribute is None:
            allowed = ", ".join(name.replace("_", " ") for name in self.attributes)
            raise ValueError(f"question: {question!r} does not tell what it asks for; must be one of {allowed}")
        return int(find_names(self.config.seed, self.config.pools, np.array([names]))[0]), attribute

    def covering_texts(self) -> list[str]:
        """Texts that together contain every piece, so everything that a text can contain."""
        return ["".join(self.pieces.strings[piece] for piece in row) for row in self._cover()]

    def _lay_out_pieces(self) -> None:
        pools, bank, pieces = self.pools, self.bank, PieceList(special_tokens(self.config))

        def spaced(values: tuple[str, ...]) -> list[str]:
            return [f" {value}" for value in values]

        later_names = (pools.middle_names, pools.last_names)
        self._name = [
            pieces.add(list(pools.first_names), Role.NAME),
            *(pieces.add(spaced(pool), Role.NAME) for pool in later_names),
        ]
        # The same names where they are not due: in a later sentence, or in a question.
        self._name_again = (
            [pieces.add(spaced(pool)) for pool in (pools.first_names, *later_names)]
            if self.variant.fullname or self.questions
            else []
        )
        if not self.variant.fullname:
            self._first_pronoun = pieces.add(spaced(pools.pronouns), ROLES["pronoun"])
            self._pronoun = pieces.add(spaced(pools.pronouns))

        split = {name: [split_template(text) for text in bank.templates[name]] for name in self.attributes}
        self._before = [pieces.add([before for before, _ in split[name]]) for name in self.attributes]
        self._after = [pieces.add([after for _, after in split[name]]) for name in self.attributes]
        days = [f" {month} {day}," for month in pools.months for day in pools.days]
        self._day = pieces.add(days, ROLES["birth_date"])
        self._year = pieces.add(spaced(pools.years), ROLES["birth_date"])
        self._value = {
            "birth_city": pieces.add(spaced(pools.birth_cities), ROLES["birth_city"]),
            "university": pieces.add(spaced(pools.universities), ROLES["university"]),
            "major": pieces.add(spaced(pools.majors), ROLES["major"]),
            "employer": pieces.add(spaced(pools.employers), ROLES["employer"]),
        }
        if "company_city" in self.attributes:
            self._value["company_city"] = pieces.add(spaced(pools.company_cities), ROLES["company_city"])
        if self.questions:
            asked = {name: [q.split(" {name}") for q in bank.questions[name]] for name in self.questions}
            self._ask = [pieces.add([before for before, _ in asked[name]]) for name in self.questions]
            self._ask_end = [pieces.add([after for _, after in asked[name]]) for name in self.questions]
            self._stop = int(pieces.add(["."])[0])
        self._pieces = pieces

    def _tokenize(self) -> None:
        """Make the tokenizer, and give every piece its tokens: those it has inside a text."""
        strings, tokens = self._pieces.strings, self._pieces.tokens
        cover = self._cover()
        texts = [[strings[piece] for piece in row if strings[piece]] for row in cover]
        # Always the same people's texts, so that the tokens do not depend on the seed.
        frequent = self._outlines(np.arange(min(_CORPUS_PEOPLE, self.names)), 0, seed=0)
        corpus = ["".join(strings[piece] for piece in row) for row in frequent]
        extra = special_tokens(self.config)[1:]
        self.tokenizer = make_tokenizer(self.config.tokenizer, self.config.vocab, corpus, texts, extra)

        for row, split in zip(cover, self.tokenizer.split(texts), strict=True):
            for piece, ids in zip([piece for piece in row if strings[piece]], split, strict=True):
                if tokens[piece] is None:
                    tokens[piece] = ids
                elif tokens[piece] != ids:
                    raise ValueError(
                        f"tokenizer: {strings[piece]!r} has other tokens in another sentence; allowed are tokenizers "
                        "that split at spaces and before punctuation"
                    )
        assert None not in tokens
        self.pieces = self._pieces.pieces(self.tokenizer.encode)

    def _cover(self) -> list[Int[np.ndarray, " slots"]]:
        """Outlines that together contain every piece."""
        sizes, bank, sentences = self.config.pools, self.bank, len(self.attributes)
        dates = sizes.months * sizes.days
        pools = [sizes.first_names, sizes.middle_names, sizes.last_names, dates, sizes.years]
        pools += [sizes.birth_cities, sizes.universities, sizes.majors, sizes.employers]
        counts = [len(bank.templates[name]) for name in self.attributes]
        # A pronoun stands first and later, in both forms, within any two rows.
        rows = np.arange(max(*pools, *counts, *(len(questions) for questions in bank.questions.values()), 2))
        first, middle, last, date, year, city, university, major, employer = (rows % n for n in pools)
        names = np.stack([first, middle, last], axis=1)
        month, day = np.divmod(date, sizes.days)
        attributes = Attributes(rows % 2, month, day, year, city, university, major, employer)
        templates = np.stack([rows % n for n in counts], axis=1)
        order = (rows[:, None] + np.arange(sentences)) % sentences
        head = self.head(rows)
        outlines = list(self._assemble(head, names, attributes, templates, order))
        if self.questions:
            for number in range(sentences):
                phrasing = ((rows << 32) // len(rows)).astype(np.uint32)
                asked = np.full(len(rows), number)
                outlines += list(self._assemble_questions(head, names, attributes, asked, phrasing))
        return outlines

    def _values(self, drawn: Attributes) -> Int[np.ndarray, "n k 2"]:
        """The pieces of the values of `attributes`, two slots each."""
        values = np.full((len(drawn.year), len(self.attributes), 2), EMPTY)
        values[:, 0, 0] = self._day[drawn.month * self.config.pools.days + drawn.day]
        values[:, 0, 1] = self._year[drawn.year]
        values[:, 1, 0] = self._value["birth_city"][drawn.birth_city]
        values[:, 2, 0] = self._value["university"][drawn.university]
        values[:, 3, 0] = self._value["major"][drawn.major]
        values[:, 4, 0] = self._value["employer"][drawn.employer]
        if "company_city" in self.attributes:
            values[:, 5, 0] = self._value["company_city"][drawn.employer]
        return values

    def _assemble(
        self,
        head: Int[np.ndarray, "n head"],
        names: Int[np.ndarray, "n 3"],
        drawn: Attributes,
        templates: Int[np.ndarray, "n k"],
        order: Int[np.ndarray, "n k"],
    ) -> Int[np.ndarray, "n slots"]:
        n, k = templates.shape
        sentences = np.empty((n, k, 4), dtype=np.int64)  # before, value, value, after
        for i in range(k):
            sentences[:, i, 0] = self._before[i][templates[:, i]]
            sentences[:, i, 3] = self._after[i][templates[:, i]]
        sentences[:, :, 1:3] = self._values(drawn)
        sentences = in_order(sentences, order)

        name = np.stack([pool[names[:, i]] for i, pool in enumerate(self._name)], axis=1)
        width = 3 if self.variant.fullname else 1
        subjects = np.full((n, k, width), EMPTY)
        if self.variant.fullname:
            again = np.stack([pool[names[:, i]] for i, pool in enumerate(self._name_again)], axis=1)
            subjects[:, 1:] = again[:, None]
        else:
            subjects[:, 1, 0] = self._first_pronoun[drawn.pronoun]
            subjects[:, 2:, 0] = self._pronoun[drawn.pronoun][:, None]
        body = np.concatenate([subjects, sentences], axis=2).reshape(n, -1)
        return np.concatenate([head, name, body], axis=1)

    def _assemble_questions(
        self,
        head: Int[np.ndarray, "n head"],
        names: Int[np.ndarray, "n 3"],
        drawn: Attributes,
        asked: Int[np.ndarray, " n"],
        phrasing: np.ndarray,
    ) -> Int[np.ndarray, "n slots"]:
        n = len(names)
        ask, end = np.empty(n, dtype=np.int64), np.empty(n, dtype=np.int64)
        for number in range(len(self.questions)):
            rows = asked == number
            choice = below(phrasing[rows], len(self._ask[number]))
            ask[rows], end[rows] = self._ask[number][choice], self._ask_end[number][choice]
        name = np.stack([pool[names[:, i]] for i, pool in enumerate(self._name_again)], axis=1)
        answer = self._values(drawn)[np.arange(n), asked]
        stop = np.full((n, 1), self._stop)
        return np.concatenate([head, ask[:, None], name, end[:, None], answer, stop], axis=1)
