"""What every data set promises: roles, heads and bits, and what it refuses; and that naming one imports little."""

import math
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from pydantic import ValidationError

from biogen import pools
from biogen.config import COMMON, DataConfig
from biogen.dataset import Dataset, draw_texts, fingerprint, make_dataset, mean_length
from biogen.datasets import DATASETS, title_of
from biogen.pools import PoolSizes

POOLS = PoolSizes(first_names=20, middle_names=15, last_names=25, birth_cities=9, universities=8, majors=7, employers=6)
SMALL = {
    "bios": {"dataset": "bios", "pools": POOLS, "templates": 30, "tokenizer": "word"},
    "biod": {"dataset": "biod", "biod": {"K": 3, "C": 2, "D": 8, "L": 2, "T": 16}},
}


@pytest.fixture(params=SMALL)
def options(request: pytest.FixtureRequest) -> dict[str, object]:
    return SMALL[request.param]


def small(options: dict[str, object], **changes: object) -> Dataset:
    return make_dataset(DataConfig(**{"people": 200, **options, **changes}))


def refusal(**options: object) -> str:
    with pytest.raises(ValidationError) as error:
        DataConfig(**options)
    return str(error.value)


def test_naming_a_data_set_imports_nothing_slow():
    code = "import sys, biogen.config; print(*sys.modules)"
    root = Path(__file__).parents[2]
    done = subprocess.run([sys.executable, "-c", code], cwd=root, capture_output=True, text=True, check=True)
    slow = {"torch", "transformers", "tokenizers", "faker", "pandas", "pyarrow", "numpy"}
    assert not slow & set(done.stdout.split())


def test_every_option_applies_to_all_data_sets_or_is_claimed():
    claimed = {name: DATASETS[name].options for name in DATASETS.names}
    assert all(not options & COMMON for options in claimed.values())
    assert COMMON.union(*claimed.values()) == DataConfig.model_fields.keys()


def test_titles():
    assert [title_of(name) for name in DATASETS.names] == ["bioS", "bioR", "bioD", "random tokens", "corpus"]
    assert title_of("gone:Lost") == "gone:Lost"


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("biox", "must be bios, bior, biod, random, corpus or your own as module:Name"),
        ("nowhere:Lost", "dataset: 'nowhere:Lost' cannot be imported"),
        ("biogen.pieces:Pieces", "must be a subclass of biogen.dataset.Dataset"),
        ("biogen.dataset:Dataset", "must define count_names"),
    ],
)
def test_what_is_no_data_set_is_refused(name: str, message: str):
    assert message in refusal(dataset=name)


def test_options_of_its_own_are_for_a_data_set_that_has_some(options: dict[str, object]):
    assert "dataset_options.flips: is not a key" in refusal(**options, dataset_options={"flips": 3})


def test_no_options_of_its_own_are_not_stored(options: dict[str, object]):
    assert "dataset_options" not in DataConfig(**options).model_dump(mode="json")


def test_only_useful_people_have_the_domain_token(options: dict[str, object]):
    dataset = small(options, domain_token=True, junk="1/2")
    texts = draw_texts(dataset, np.arange(190, 210), 0)
    first, second = texts.tokens[texts.offsets[:-1]], texts.tokens[texts.offsets[:-1] + 1]
    assert (first == 0).all()
    assert (second == 1).tolist() == [True] * 10 + [False] * 10
    assert dataset.tokenizer.special == ("<|endoftext|>", "<|biography|>")
    plain = draw_texts(small(options, junk="1/2"), np.arange(190, 210), 0)
    assert (texts.lengths - plain.lengths).tolist() == [1] * 10 + [0] * 10


def test_every_role_of_a_text_has_a_name(options: dict[str, object]):
    dataset = small(options)
    roles = set(draw_texts(dataset, np.arange(200), 0).roles.tolist()) - {0}
    assert roles == set(dataset.role_names)
    assert len(set(dataset.role_names.values())) == len(roles)
    assert {role for own in dataset.value_roles.values() for role in own} <= roles
    assert {role for own in dataset.qa_roles.values() for role in own} <= roles


def test_perfect_recall_is_the_most_and_ignorance_nothing(options: dict[str, object]):
    dataset = small(options)
    most = dataset.max_bits()
    assert most.name == pytest.approx(200 * math.log2(dataset.names / 200))
    assert most.value == pytest.approx(200 * dataset.log2_values)
    assert dataset.bits(math.log(200), 0.0, 0.0) == most
    everything = 1000.0
    assert dataset.bits(everything, everything, everything).total == 0
    bound = dataset.lower_bound(math.log(200), 0.0, 0.0)
    assert 0 < bound.total < most.total


def test_a_person_of_the_papers_has_47_59_bits():
    dataset = make_dataset(DataConfig(tokenizer="word"))
    assert dataset.log2_values == pytest.approx(47.59, abs=0.01)
    assert dataset.names == 160_000_000


def test_a_stand_in_has_the_same_tokens_and_lengths(options: dict[str, object]):
    configs = [DataConfig(**options, people=people, seed=people, junk="1/4") for people in (700, 900)]
    stand_ins = [DATASETS[config.dataset].stand_in(config) for config in configs]
    assert (stand_ins[0] == stand_ins[1]) == (options["dataset"] == "bios")
    for config, other in zip(configs, map(make_dataset, stand_ins), strict=True):
        dataset = make_dataset(config)
        assert dataset.tokenizer.vocab == other.tokenizer.vocab
        assert dataset.longest_text == other.longest_text
        assert mean_length(dataset) == pytest.approx(mean_length(other), rel=0.01)


def test_a_data_set_without_questions_says_so():
    dataset = small(SMALL["biod"])
    assert dataset.questions == ()
    with pytest.raises(NotImplementedError, match="bioD has no questions"):
        dataset.question_outlines(np.arange(3), 0)


def test_a_fingerprint_is_of_texts_and_tokens(options: dict[str, object]):
    ours = fingerprint(small(options))
    assert fingerprint(small(options)) == ours
    assert fingerprint(small(options, junk="1/2"))["texts"] == ours["texts"]
    assert fingerprint(small(options, seed=1))["texts"] != ours["texts"]


def test_a_fingerprint_is_of_the_content_of_pools_and_tokenizer_not_of_their_names(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    options = SMALL["bios"]
    ours = small(options)
    ours.tokenizer.save_pretrained(tmp_path / "one")
    ours.tokenizer.save_pretrained(tmp_path / "two")
    one, two = (fingerprint(small(options, tokenizer=str(tmp_path / name))) for name in ("one", "two"))
    assert one == two
    assert one["texts"] == fingerprint(ours)["texts"]
    pairs = fingerprint(small(options, tokenizer="bpe", vocab=200))
    assert pairs["texts"] == one["texts"]
    assert pairs["tokens"] != one["tokens"]
    stored = pools.stored_lines

    def replace(old, new):
        return lambda file: tuple(line.replace(old, new) for line in stored(file))

    monkeypatch.setattr(pools, "stored_lines", replace("Music", "Drama"))
    assert fingerprint(small(options)) == fingerprint(ours)  # not among the first majors
    monkeypatch.setattr(pools, "stored_lines", replace("e", "a"))
    assert fingerprint(small(options))["texts"] != fingerprint(ours)["texts"]
