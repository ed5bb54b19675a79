"""BioS: biographies in English, six sentences a person.

In: a `DataConfig` and arrays of person indices. Out: plans (rows of piece numbers) for biographies and for
questions about them, with the pieces and the tokenizer to render or splice them.
Source: Allen-Zhu and Li, arXiv 2404.05405, section 2.1, and arXiv 2309.14316, section 2.
"""

import math

import numpy as np
from jaxtyping import Int

from biogen.config import EVALUATION, DataConfig
from biogen.people import Attributes, are_few, draw_attributes, draw_few, draw_names
from biogen.pieces import EMPTY, PieceList, Pieces, Role, in_order
from biogen.pools import load_pools
from biogen.rng import Stream, below, random_order, random_words
from biogen.templates import ATTRIBUTES, load_bank, split_template
from biogen.tokenizer import DOMAIN, make_tokenizer

ROLE_OF = {attribute: Role[attribute.upper()] for attribute in ATTRIBUTES}
VALUE_ROLES = {"pronoun": Role.PRONOUN, **{a: ROLE_OF[a] for a in ATTRIBUTES if a != "company_city"}}
"""What loss_value sums over; the company city is left out because the employer determines it."""

_SENTENCES = len(ATTRIBUTES)
_CORPUS_PEOPLE = 4000
"""People whose biographies a BPE is trained on."""


class BioS:
    """The biographies of a configuration, as plans."""

    def __init__(self, config: DataConfig) -> None:
        """Raises ValueError for options that the pools, the bank or the tokenizer cannot meet."""
        self.config = config
        self.variant = config.parsed_variant
        self.pools = load_pools(config.pools, config.locale)
        self.bank = load_bank(config.templates)
        self._lay_out_pieces()
        self._tokenize()

    @property
    def names(self) -> int:
        """N0, the number of possible names."""
        return self.config.pools.names

    @property
    def value_roles(self) -> dict[str, int]:
        """The attributes whose losses make up loss_value, with their roles."""
        pronoun_free = {name: int(role) for name, role in VALUE_ROLES.items() if name != "pronoun"}
        return pronoun_free if self.variant.fullname else {"pronoun": int(Role.PRONOUN), **pronoun_free}

    @property
    def qa_roles(self) -> dict[str, int]:
        """The attributes that are asked for, with their roles."""
        return {name: int(role) for name, role in ROLE_OF.items()}

    @property
    def log2_values(self) -> float:
        """log2 S0, the bits of one person's attributes; without the pronoun where no text has one."""
        values = self.config.pools.values
        return sum(math.log2(values[attribute]) for attribute in self.value_roles)

    @property
    def longest_text(self) -> int:
        """Tokens that no biography has more of, with its special tokens."""
        lengths = self.pieces.lengths
        value = {name: int(lengths[numbers].max()) for name, numbers in self._value.items()}
        value["birth_date"] = int(lengths[self._day].max() + lengths[self._year].max())
        sentences = sum(
            int((lengths[before] + lengths[after]).max()) + value[name]
            for name, before, after in zip(ATTRIBUTES, self._before, self._after, strict=True)
        )
        subjects = self._name_again if self.variant.fullname else [self._pronoun]
        subject = sum(int(lengths[numbers].max()) for numbers in subjects)
        name = sum(int(lengths[numbers].max()) for numbers in self._name)
        return self._head_slots + name + (_SENTENCES - 1) * subject + sentences

    def plan(self, index: Int[np.ndarray, " n"], exposure: int) -> Int[np.ndarray, "n slots"]:
        """The biography of each person at an exposure: the end token, the domain token if useful, then the text."""
        plan = self._plan(index, exposure, self.config.seed)
        if self._domain is not None:
            plan[index >= self.config.people, 1] = EMPTY
        return plan

    def _people(self, index: Int[np.ndarray, " n"], seed: int) -> tuple[Int[np.ndarray, "n 3"], Attributes]:
        """Names and attributes. Raises ValueError for an index of N0 or more."""
        pools, people = self.config.pools, self.config.people
        if are_few(index, people):
            names, attributes = draw_few(seed, pools, people)
            return names.take(index, axis=0), attributes.take(index)
        return draw_names(seed, pools, index), draw_attributes(seed, pools, index)

    def _plan(self, index: Int[np.ndarray, " n"], exposure: int, seed: int) -> Int[np.ndarray, "n slots"]:
        variant = self.variant
        draw = exposure if variant.texts is None else exposure % variant.texts
        words = random_words(seed, Stream.SENTENCES, index, _SENTENCES, draw)
        templates = np.stack(
            [below(words[:, i], len(self.bank.templates[name])) for i, name in enumerate(ATTRIBUTES)], axis=1
        )
        if variant.permute:
            order = random_order(random_words(seed, Stream.ORDER, index, _SENTENCES, draw))
        else:
            order = np.broadcast_to(np.arange(_SENTENCES), (len(index), _SENTENCES))
        if exposure >= EVALUATION and variant.texts is None:  # a fixed text is measured as it was learned
            order = _employer_first(order)
        return self._assemble(*self._people(index, seed), templates, order)

    def question_plan(
        self, index: Int[np.ndarray, " n"], exposure: int, attribute: int | None = None
    ) -> Int[np.ndarray, "n slots"]:
        """One question about each person with its answer: end token, question, answer, full stop.

        attribute: its position in `ATTRIBUTES`; None draws one for each person.
        """
        words = random_words(self.config.seed, Stream.QUESTIONS, index, 2, exposure)
        asked = below(words[:, 0], _SENTENCES) if attribute is None else np.full(len(index), attribute)
        return self._assemble_questions(*self._people(index, self.config.seed), asked, words[:, 1])

    def question_answer_slots(self) -> slice:
        """The columns of `question_plan` that hold the answer's value, without the full stop."""
        return slice(self._head_slots + 5, self._head_slots + 7)

    def covering_texts(self) -> list[str]:
        """Texts in which every piece stands at least once: whatever a text can hold, they hold."""
        return ["".join(self.pieces.strings[piece] for piece in row) for row in self._cover()]

    def _lay_out_pieces(self) -> None:
        pools, bank, pieces = self.pools, self.bank, PieceList()
        self._end = int(pieces.add([""])[0])
        self._domain = int(pieces.add([""])[0]) if self.config.domain_token else None
        self._head_slots = 1 + (self._domain is not None)

        def spaced(values: tuple[str, ...]) -> list[str]:
            return [f" {value}" for value in values]

        later_names = (pools.middle_names, pools.last_names)
        self._name = [
            pieces.add(list(pools.first_names), Role.NAME),
            *(pieces.add(spaced(pool), Role.NAME) for pool in later_names),
        ]
        asks = self.config.questions != "none"
        # The same names where they are not due: in a later sentence, or in a question.
        self._name_again = (
            [pieces.add(spaced(pool)) for pool in (pools.first_names, *later_names)]
            if self.variant.fullname or asks
            else []
        )
        if not self.variant.fullname:
            self._first_pronoun = pieces.add([" He", " She"], Role.PRONOUN)
            self._pronoun = pieces.add([" He", " She"])

        split = {name: [split_template(text) for text in bank.templates[name]] for name in ATTRIBUTES}
        self._before = [pieces.add([before for before, _ in split[name]]) for name in ATTRIBUTES]
        self._after = [pieces.add([after for _, after in split[name]]) for name in ATTRIBUTES]
        days = [f" {month} {day}," for month in pools.months for day in pools.days]
        self._day = pieces.add(days, Role.BIRTH_DATE)
        self._year = pieces.add(spaced(pools.years), Role.BIRTH_DATE)
        self._value = {
            "birth_city": pieces.add(spaced(pools.birth_cities), Role.BIRTH_CITY),
            "university": pieces.add(spaced(pools.universities), Role.UNIVERSITY),
            "major": pieces.add(spaced(pools.majors), Role.MAJOR),
            "employer": pieces.add(spaced(pools.employers), Role.EMPLOYER),
            "company_city": pieces.add(spaced(pools.company_cities), Role.COMPANY_CITY),
        }
        if asks:
            asked = {name: [q.split(" {name}") for q in bank.questions[name]] for name in ATTRIBUTES}
            self._ask = [pieces.add([before for before, _ in asked[name]]) for name in ATTRIBUTES]
            self._ask_end = [pieces.add([after for _, after in asked[name]]) for name in ATTRIBUTES]
            self._stop = int(pieces.add(["."])[0])
        self._list = pieces

    def _tokenize(self) -> None:
        """Make the tokenizer, and give every piece its tokens: those it has inside a text."""
        strings = self._list.strings
        cover = self._cover()
        texts = [[strings[piece] for piece in row if strings[piece]] for row in cover]
        # Always the same people's texts, so that the tokens do not depend on the seed.
        frequent = self._plan(np.arange(min(_CORPUS_PEOPLE, self.names)), 0, seed=0)
        corpus = ["".join(strings[piece] for piece in row) for row in frequent]
        extra = [DOMAIN] if self.config.domain_token else []
        self.tokenizer = make_tokenizer(self.config.tokenizer, self.config.vocab, corpus, texts, extra)

        tokens: list[list[int] | None] = [[] if not string else None for string in strings]
        tokens[self._end] = [0]
        if self._domain is not None:
            tokens[self._domain] = [1]
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
        self.pieces = Pieces(strings, self._list.roles, [ids for ids in tokens if ids is not None])

    def _cover(self) -> list[Int[np.ndarray, " slots"]]:
        """Plans in which every piece stands at least once."""
        sizes, bank = self.config.pools, self.bank
        dates = sizes.months * sizes.days
        pools = [sizes.first_names, sizes.middle_names, sizes.last_names, dates, sizes.years]
        pools += [sizes.birth_cities, sizes.universities, sizes.majors, sizes.employers]
        counts = [len(bank.templates[name]) for name in ATTRIBUTES]
        # A pronoun stands first and later, in both forms, within any two rows.
        rows = np.arange(max(*pools, *counts, *(len(questions) for questions in bank.questions.values()), 2))
        first, middle, last, date, year, city, university, major, employer = (rows % n for n in pools)
        names = np.stack([first, middle, last], axis=1)
        month, day = np.divmod(date, sizes.days)
        attributes = Attributes(rows % 2, month, day, year, city, university, major, employer)
        templates = np.stack([rows % n for n in counts], axis=1)
        order = (rows[:, None] + np.arange(_SENTENCES)) % _SENTENCES
        plans = list(self._assemble(names, attributes, templates, order))
        if self.config.questions != "none":
            for number in range(_SENTENCES):
                phrasing = ((rows << 32) // len(rows)).astype(np.uint32)
                asked = np.full(len(rows), number)
                plans += list(self._assemble_questions(names, attributes, asked, phrasing))
        return plans

    def _values(self, drawn: Attributes) -> Int[np.ndarray, "n 6 2"]:
        """The pieces of the six values, two slots each."""
        values = np.full((len(drawn.year), _SENTENCES, 2), EMPTY)
        values[:, 0, 0] = self._day[drawn.month * self.config.pools.days + drawn.day]
        values[:, 0, 1] = self._year[drawn.year]
        values[:, 1, 0] = self._value["birth_city"][drawn.birth_city]
        values[:, 2, 0] = self._value["university"][drawn.university]
        values[:, 3, 0] = self._value["major"][drawn.major]
        values[:, 4, 0] = self._value["employer"][drawn.employer]
        values[:, 5, 0] = self._value["company_city"][drawn.employer]
        return values

    def _head(self, n: int) -> Int[np.ndarray, "n head"]:
        head = [self._end] if self._domain is None else [self._end, self._domain]
        return np.tile(np.array(head), (n, 1))

    def _assemble(
        self,
        names: Int[np.ndarray, "n 3"],
        drawn: Attributes,
        templates: Int[np.ndarray, "n 6"],
        order: Int[np.ndarray, "n 6"],
    ) -> Int[np.ndarray, "n slots"]:
        n = len(names)
        sentences = np.empty((n, _SENTENCES, 4), dtype=np.int64)  # before, value, value, after
        for i in range(_SENTENCES):
            sentences[:, i, 0] = self._before[i][templates[:, i]]
            sentences[:, i, 3] = self._after[i][templates[:, i]]
        sentences[:, :, 1:3] = self._values(drawn)
        sentences = in_order(sentences, order)

        name = np.stack([pool[names[:, i]] for i, pool in enumerate(self._name)], axis=1)
        width = 3 if self.variant.fullname else 1
        subjects = np.full((n, _SENTENCES, width), EMPTY)
        if self.variant.fullname:
            again = np.stack([pool[names[:, i]] for i, pool in enumerate(self._name_again)], axis=1)
            subjects[:, 1:] = again[:, None]
        else:
            subjects[:, 1, 0] = self._first_pronoun[drawn.pronoun]
            subjects[:, 2:, 0] = self._pronoun[drawn.pronoun][:, None]
        body = np.concatenate([subjects, sentences], axis=2).reshape(n, -1)
        return np.concatenate([self._head(n), name, body], axis=1)

    def _assemble_questions(
        self,
        names: Int[np.ndarray, "n 3"],
        drawn: Attributes,
        asked: Int[np.ndarray, " n"],
        phrasing: np.ndarray,
    ) -> Int[np.ndarray, "n slots"]:
        n = len(names)
        ask, end = np.empty(n, dtype=np.int64), np.empty(n, dtype=np.int64)
        for number in range(_SENTENCES):
            rows = asked == number
            choice = below(phrasing[rows], len(self._ask[number]))
            ask[rows], end[rows] = self._ask[number][choice], self._ask_end[number][choice]
        name = np.stack([pool[names[:, i]] for i, pool in enumerate(self._name_again)], axis=1)
        answer = self._values(drawn)[np.arange(n), asked]
        stop = np.full((n, 1), self._stop)
        return np.concatenate([self._head(n), ask[:, None], name, end[:, None], answer, stop], axis=1)


def _employer_first(order: Int[np.ndarray, "n 6"]) -> Int[np.ndarray, "n 6"]:
    """The same order of sentences, but the company city, which gives the employer away, stands behind it.

    Else a model that knows which employers sit in a city, and nobody's employer, would be credited with bits of
    every person whose text names the city first.
    """
    employer, city = ATTRIBUTES.index("employer"), ATTRIBUTES.index("company_city")
    swap = (np.argmax(order == city, axis=1) < np.argmax(order == employer, axis=1))[:, None]
    return np.where(swap & (order == employer), city, np.where(swap & (order == city), employer, order))
