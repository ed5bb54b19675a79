"""The least loss that a text can have: its entropy for a model that knows some of the people, in closed form.

In: a data set, and how many people are known. Out: nats by role. Nothing is fitted.

Assumed throughout: the model knows all that is no person's (pools, names that could occur, chunk sets, templates, how
often each rank is drawn), and reads each text alone. What earlier texts of a window tell is left out: with zipf they
tell nothing; in a fixed world they tell who has come already, at most about (texts in a window)/N nats a name. For new
people the name costs ln N0, as for a model that does not remember who has come; one that did would save −ln(1 − t/N0)
after t texts. Special tokens cost nothing, so junk and questions are not in it. A text whose beginning a window cuts
off costs more, since it does not tell who it is about.

A text is told by its name, values, templates and order, and tells them: so the entropies of its tokens add up to those
of its parts. They stand at the roles of the parts, since a bank keeps two rules (`biogen/templates.py`): where a value
stands nothing else can stand, and no value or last name begins another.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int

from biogen.dataset import Dataset, sample_texts
from biogen.pieces import ROLES
from biogen.population import tails

OTHER = "other"
"""The role of what is no name and no value: templates, their order, and the end."""
_BLOCK = 1 << 20


@dataclass(frozen=True)
class Entropy:
    """The entropy of a text, for a model that knows some of the people."""

    nats: dict[str, float]
    """Nats a text, by role: `name`, those of `Dataset.role_names`, `other`."""
    tokens: dict[str, float]
    """Mean tokens of a text, by role, from a sample; the end token counts as `other`."""

    @property
    def text(self) -> float:
        """Nats a text."""
        return math.fsum(self.nats.values())

    @property
    def token(self) -> float:
        """Nats a token, over all tokens that a training predicts: those of a text, and one end token."""
        return self.text / math.fsum(self.tokens.values())

    def of_role(self, role: str) -> float:
        """Nats a token of a role; 0 where there is no such token."""
        return self.nats[role] / self.tokens[role] if self.tokens[role] else 0.0


def entropy(dataset: Dataset, known: int | None = None) -> Entropy | None:
    """The entropy of a text of a data set for a model that knows its first `known` people, and nothing of the others.

    known: by default all people, or nobody where all are new. With zipf the first ones are the most frequent, so this
    is the loss of a model that has room for K people, as a function of K.

    Texts are those of a training, or held out; not those for measuring, whose order may be another. None where a data
    set does not say what its texts can be. Raises ValueError for a number of people that cannot be known.
    """
    config = dataset.config
    most = 0 if config.population == "fresh" else config.people
    known = most if known is None else known
    if not 0 <= known <= most:
        raise ValueError(f"known: {known} is not allowed; must be 0 to {most}")
    familiar, strange = dataset.text_nats(known=True), dataset.text_nats(known=False)
    if familiar is None or strange is None:
        return None
    s = {"zipf": config.zipf, "fixed": 0.0, "fresh": 0.0}[config.population]
    rest = _share_of_others(config.people, s, known)
    nats = {"name": name_nats(config.people, dataset.names, s, known)}
    nats |= {role: (1 - rest) * familiar[role] + rest * strange[role] for role in strange}
    return Entropy(nats, _mean_tokens(dataset))


def name_nats(N: int, N0: int, s: float, known: int) -> float:
    """Entropy of a name, nats, where the person of rank i is drawn with probability p_i ∝ i^−s, and K are known.

    H = −Σ_{i≤K} p_i·ln p_i + p·ln((N0 − K)/p), with p = Σ_{i>K} p_i: the others have any of the names that are left.
    With all known that is H(p), with s = 0 it is ln N, and with nobody known ln N0.

    Args:
        N: people.
        N0: names that could occur.
        s: exponent, at least 0.
        known: K, the number of people who are known.
    """
    log_sum = math.log(tails(N, s)[-1])
    nats = 0.0
    for first in range(0, known, _BLOCK):
        with np.errstate(over="ignore"):
            log_p = -s * np.log(np.arange(first + 1, min(first + _BLOCK, known) + 1)) - log_sum
        log_p = log_p[log_p > -700]  # whom a float cannot count is never drawn
        nats -= float(np.exp(log_p) @ log_p)
    rest = _share_of_others(N, s, known)
    return nats + rest * (math.log(N0 - known) - math.log(rest)) if rest else nats


def biography_nats(
    values: dict[str, int], templates: Sequence[int], cities: Int[np.ndarray, " employers"], city_first: float
) -> dict[str, float]:
    """Nats of the values of a biography about an unknown person, and of its templates, by role, without its order.

    The employer gives its city; where the city stands first, it has its own entropy and the employer the rest.

    Args:
        values: the number of possible values of each attribute, with the employers.
        templates: the number of templates of each sentence, which are told apart by their words.
        cities: the number of each employer's city.
        city_first: share of the texts in which the city stands before the employer.
    """
    nats = {attribute: math.log(count) for attribute, count in values.items()}
    share = np.bincount(cities) / len(cities)
    city = -math.fsum(share[share > 0] * np.log(share[share > 0])) * city_first
    nats |= {"employer": nats["employer"] - city, "company_city": city}
    return nats | {OTHER: math.fsum(map(math.log, templates))}


def fixed_texts_nats(texts: int, log_possible: float) -> float:
    """Mean entropy, nats, of which of a person's M texts comes, each one of S possible ones at random.

    E ln(M/(1 + B)) with B ~ Binomial(M − 1, 1/S): one of the texts is drawn, and B others are equal to it. That is
    about ln M where S is large, and 0 for M = 1.

    Args:
        texts: M.
        log_possible: ln S.
    """
    equal = np.arange(texts)
    others = texts - 1
    if log_possible < 1e-12 or others == 0:
        return 0.0
    log_choose = np.concatenate([[0.0], np.cumsum(np.log((others - equal[1:] + 1) / equal[1:]))])
    log_p = log_choose - equal * log_possible + (others - equal) * math.log1p(-math.exp(-log_possible))
    return math.log(texts) - float(np.exp(log_p) @ np.log1p(equal))


def _share_of_others(N: int, s: float, known: int) -> float:
    """The probability that a text is about somebody else than the first K."""
    sums = tails(N, s)
    return float(sums[N - 1 - known] / sums[-1]) if known < N else 0.0


def _mean_tokens(dataset: Dataset) -> dict[str, float]:
    """Mean tokens of a text by role, from the texts that also tell its mean length."""
    names = dataset.role_names
    count, found = 0, np.zeros(ROLES, dtype=np.int64)
    for outlines in sample_texts(dataset):
        found += np.bincount(dataset.pieces.splice(outlines).roles, minlength=ROLES)
        count += len(outlines)
    mean: Float[np.ndarray, " roles"] = found / count
    tokens = {name: float(mean[role]) for role, name in names.items()}
    return tokens | {OTHER: float(mean.sum() - sum(tokens.values()))}
