"""Small worlds in full: every text that there can be with its probability, and what each token costs at least."""

from itertools import permutations, product

import numpy as np

from biogen.config import DataConfig
from biogen.dataset import Dataset
from biogen.datasets.biod import BioD
from biogen.datasets.bios import BioS
from biogen.entropy import OTHER
from biogen.people import Attributes
from biogen.pieces import Texts, in_order
from biogen.sentences import place_city

END = 0


def probabilities(config: DataConfig) -> np.ndarray:
    """How often each person comes."""
    p = np.arange(1, config.people + 1.0) ** -(config.zipf if config.population == "zipf" else 0.0)
    return p / p.sum()


def everything(dataset: Dataset, known: int) -> tuple[Texts, np.ndarray]:
    """Every text that can come, and its probability for a model that knows the first people alone."""
    config = dataset.config
    p = probabilities(config)[:known]
    make = bios_texts if isinstance(dataset, BioS) else biod_texts
    own, of_everybody = make(dataset, np.arange(known)), make(dataset, np.arange(known, dataset.names), guess=True)
    outlines = np.concatenate([own.reshape(-1, own.shape[-1]), of_everybody.reshape(-1, own.shape[-1])])
    rest = 1 - p.sum() if known < config.people or config.population == "fresh" else 0.0
    each = [np.repeat(p / own.shape[1], own.shape[1]) if known else p]
    count = of_everybody.shape[0] * of_everybody.shape[1]
    each.append(np.full(count, rest / count if count else 0.0))
    return dataset.pieces.splice(outlines), np.concatenate(each)


def bios_texts(dataset: BioS, index: np.ndarray, *, guess: bool = False) -> np.ndarray:
    """All biographies of each person, [people, texts, slots]; guess: with all values that the person may have."""
    config, sizes, sentences = dataset.config, dataset.config.pools, len(dataset.attributes)
    names, drawn = dataset._people(index, config.seed)
    bounds = [2, sizes.months, sizes.days, sizes.years]
    bounds += [sizes.birth_cities, sizes.universities, sizes.majors, sizes.employers]
    if guess:
        values = np.array(list(product(*map(range, bounds))))
    orders = np.array(list(permutations(range(sentences)) if dataset.variant.permute else [tuple(range(sentences))]))
    orders = np.unique(place_city(orders, config.company_city), axis=0)
    counts = [len(dataset.bank.templates[name]) for name in dataset.attributes]
    choices = np.array(list(product(*map(range, counts))))
    people = []
    for person in range(len(index)):
        own = values if guess else np.array([[getattr(drawn, name)[person] for name in Attributes.__annotations__]])
        number = np.array(list(product(range(len(own)), range(len(choices)), range(len(orders)))))
        n = len(number)
        attributes = Attributes(*own[number[:, 0]].T)
        head, name = np.ones((n, 1), dtype=np.int64), np.tile(names[person], (n, 1))
        people.append(dataset._assemble(head, name, attributes, choices[number[:, 1]], orders[number[:, 2]]))
    return np.array(people) if people else np.zeros((0, 1, head_width(dataset)), dtype=np.int64)


def biod_texts(dataset: BioD, index: np.ndarray, *, guess: bool = False) -> np.ndarray:
    """All paragraphs of each person, [people, texts, slots]; guess: with all values that the person may have."""
    K, C, D = dataset.shape.K, dataset.shape.C, dataset.shape.D
    orders = np.array(list(permutations(range(K))))
    name, sentences = dataset._pieces_of(index)
    people = []
    for person in range(len(index)):
        own = sentences[person][None]
        if guess:
            chunks = np.array(list(product(range(D), repeat=K * C))).reshape(-1, K, C)
            own = np.empty((len(chunks), K, 1 + C), dtype=np.int64)
            own[:, :, 0] = dataset._marker
            for k in range(K):
                own[:, k, 1], own[:, k, 2:] = (
                    dataset._first_chunk[k][chunks[:, k, 0]],
                    dataset._later_chunk[k][chunks[:, k, 1:]],
                )
        number = np.array(list(product(range(len(own)), range(len(orders)))))
        body = in_order(own[number[:, 0]], orders[number[:, 1]]).reshape(len(number), -1)
        head, names = np.ones((len(number), 1), dtype=np.int64), np.tile(name[person], (len(number), 1))
        people.append(np.concatenate([head, names, body], axis=1))
    return np.array(people) if people else np.zeros((0, 1, head_width(dataset)), dtype=np.int64)


def head_width(dataset: Dataset) -> int:
    return dataset.outlines(np.arange(1), 0).shape[1]


def costs(texts: Texts, weights: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """−ln of the probability of each token of each text given those before it, and the roles; the end comes last.

    weights: the probabilities of the texts; a text of weight 0 has the costs of its equals.
    """
    width = int(texts.lengths.max()) + 1
    rows = np.full((len(texts), width), -1, dtype=np.int64)
    roles = np.zeros((len(texts), width), dtype=np.int64)
    inside = np.arange(width) < texts.lengths[:, None]
    rows[inside], roles[inside] = texts.tokens, texts.roles
    rows[np.arange(len(texts)), texts.lengths] = END
    group, before = np.zeros(len(texts), dtype=np.int64), weights.sum()
    nats = np.zeros((len(texts), width))
    for place in range(width):
        group = np.unique(group * (rows.max() + 2) + rows[:, place] + 1, return_inverse=True)[1]
        weight = np.bincount(group, weights)[group]
        with np.errstate(divide="ignore", invalid="ignore"):
            nats[:, place] = -np.log(weight / before)
        before = weight
    return nats, roles


def by_role(dataset: Dataset, nats: np.ndarray, roles: np.ndarray, weights: np.ndarray) -> dict[str, float]:
    """Mean nats of a text by role."""
    used = weights > 0
    names = dataset.role_names
    mean = {
        name: float(weights[used] @ np.where(roles[used] == role, nats[used], 0.0).sum(axis=1))
        for role, name in names.items()
    }
    other = np.where(np.isin(roles[used], list(names)), 0.0, nats[used]).sum(axis=1)
    return mean | {OTHER: float(weights[used] @ other)}
