"""Rewritten biographies: which texts are trained on and measured, how many bits they hold, and what is refused."""

import json
import math
import shutil
from pathlib import Path

import numpy as np
import pytest
import yaml
from pydantic import ValidationError

from biogen.config import DataConfig
from biogen.dataset import EVALUATION, draw_texts, fingerprint, make_dataset
from biogen.folder import check_unchanged, write_dataset
from biogen.pools import PoolSizes
from biogen.population import draw
from biogen.rewritten import People, people_options, read_people, read_texts
from biogen.templates import ATTRIBUTES
from eval.measuring import read_data
from tests.biogen.rewriters import faithful

POOLS = PoolSizes(first_names=9, middle_names=8, last_names=7, birth_cities=9, universities=8, majors=7, employers=6)
PEOPLE, TEXTS = 12, 5
EVERYBODY = np.arange(PEOPLE)
CALLED = {"birth date": "birth_date", "city of birth": "birth_city", "city of work": "company_city"}


def fill(folder: Path, texts: int = TEXTS) -> Path:
    """A folder as `biogen rewrite` fills it."""
    folder.mkdir(exist_ok=True)
    config = DataConfig(people=PEOPLE, pools=POOLS)
    (folder / "config.yaml").write_text(yaml.safe_dump({"people_of": people_options(config)}))
    lines = []
    for person, described in enumerate(read_people(str(folder)).describe(EVERYBODY)):
        names = [*CALLED, "university", "major", "employer"]
        values = {name: getattr(described, CALLED.get(name, name)) for name in names} | {"name": described.name}
        # The third text is good for training alone.
        written = [faithful(values, number) for number in (3, 7, 0, *range(11, 11 + 4 * (texts - 3), 4))]
        lines += [json.dumps({"person": person, "text": " ".join(text.split())}) for text in written]
    (folder / "texts.jsonl").write_text("\n".join(lines) + "\n")
    return folder


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return fill(tmp_path_factory.mktemp("rewritten"))


def config_of(folder: Path, **given: object) -> DataConfig:
    options = {"dataset": "bior", "dataset_options": {"texts": str(folder)}, "people": PEOPLE, "tokenizer": "word"}
    return DataConfig(**options | given)


def texts_of(dataset: object, exposure: int) -> list[str]:
    return [dataset.pieces.render(row)[0] for row in dataset.outlines(EVERYBODY, exposure)]


@pytest.mark.parametrize("tokenizer", ["word", "bpe", "gpt2_like"])
def test_splicing_equals_tokenizing_and_roles_are_the_facts(folder: Path, tokenizer: str, hugging_face):
    name = str(hugging_face(tokenizer)) if "_" in tokenizer else tokenizer
    dataset = make_dataset(config_of(folder, tokenizer=name, vocab=300, domain_token=True))
    described = dataset.describe(EVERYBODY)
    for exposure in (0, 1, EVALUATION):
        drawn = draw_texts(dataset, EVERYBODY, exposure)
        assert drawn.lengths.max() <= dataset.longest_text
        for person, row in enumerate(dataset.outlines(EVERYBODY, exposure)):
            text, spans = dataset.pieces.render(row)
            found = {dataset.role_names[span.role]: text[span.start : span.end].strip() for span in spans}
            names = (described[person][part] for part in ("first_name", "middle_name", "last_name"))
            assert found == {"name": " ".join(names)} | {name: described[person][name] for name in ATTRIBUTES}
            tokens = drawn.tokens[drawn.offsets[person] : drawn.offsets[person + 1]].tolist()
            assert tokens == [0, 1, *dataset.tokenizer.encode(text)]


def test_one_fit_text_is_measured_and_the_others_are_trained_on_in_turn(folder: Path):
    dataset = make_dataset(config_of(folder))
    assert dataset.texts == TEXTS - 1
    training = [texts_of(dataset, exposure) for exposure in range(2 * (TEXTS - 1))]
    assert training[: TEXTS - 1] == training[TEXTS - 1 :]
    measured = texts_of(dataset, EVALUATION)
    for person, text in enumerate(measured):
        seen = {of_everybody[person] for of_everybody in training}
        assert len(seen) == TEXTS - 1
        assert text not in seen
        own = dataset.describe(np.array([person]))[0]
        assert text.index(own["employer"]) < text.rindex(own["company_city"])
        assert all("Days in" in other for other in seen)
    assert texts_of(dataset, EVALUATION + 1) == training[(EVALUATION + 1) % (TEXTS - 1)]  # for calibration


def test_bits_are_those_of_bios_without_the_pronoun(folder: Path):
    dataset, bios = (
        make_dataset(config_of(folder)),
        make_dataset(DataConfig(people=PEOPLE, pools=POOLS, tokenizer="word")),
    )
    assert dataset.names == bios.names
    assert dataset.log2_values == pytest.approx(bios.log2_values - 1)
    assert dataset.describe(EVERYBODY) == bios.describe(EVERYBODY)
    assert dataset.max_bits().total == pytest.approx(bios.max_bits().total - PEOPLE)
    ignorant = dataset.bits(math.log(dataset.names), math.log(2) * dataset.log2_values)
    assert ignorant.total == pytest.approx(0, abs=1e-6)
    assert list(dataset.value_roles) == ["birth_date", "birth_city", "university", "major", "employer"]


def test_the_seed_is_not_that_of_the_people(folder: Path):
    one, two = (make_dataset(config_of(folder, seed=seed)) for seed in (0, 1))
    assert one.describe(EVERYBODY) == two.describe(EVERYBODY)
    assert fingerprint(one) == fingerprint(two)


def test_the_fingerprint_is_that_of_every_text(folder: Path, tmp_path: Path):
    before = fingerprint(make_dataset(config_of(folder)))
    other = Path(shutil.copytree(folder, tmp_path / "other"))
    assert fingerprint(make_dataset(config_of(other))) == before
    lines = (other / "texts.jsonl").read_text().splitlines()
    lines[-1], lines[-2] = lines[-2], lines[-1]  # two training texts of the last person
    (other / "texts.jsonl").write_text("\n".join(lines) + "\n")
    assert fingerprint(make_dataset(config_of(other)))["texts"] != before["texts"]


def test_a_data_set_on_disk_carries_the_texts(folder: Path, tmp_path: Path):
    moved, out = Path(shutil.copytree(folder, tmp_path / "moved")), tmp_path / "out"
    assert write_dataset(config_of(moved), None, out) == PEOPLE * (TEXTS - 1)
    shutil.rmtree(moved)
    dataset = make_dataset(read_data(out))
    check_unchanged(out, dataset)
    assert texts_of(dataset, EVALUATION) == texts_of(make_dataset(config_of(folder)), EVALUATION)


def test_junk_is_about_the_people_behind_the_useful_ones(folder: Path):
    dataset = make_dataset(config_of(folder, people=8, junk="1/2", junk_people=4, domain_token=True))
    heads = dataset.outlines(EVERYBODY, 0)[:, :2]
    assert (heads[:8, 1] != 0).all()
    assert (heads[8:, 1] == 0).all()


def test_unequal_people_have_their_training_texts_by_number(folder: Path):
    dataset = make_dataset(config_of(folder, population="zipf"))
    index, number = draw(dataset.config, 0, PEOPLE, 3)
    rows = dataset.outlines(index, number)
    trained = [{tuple(row[row > 0]) for row in dataset.outlines(EVERYBODY, text)} for text in range(TEXTS - 1)]
    assert all(tuple(row[row > 0]) in set.union(*trained) for row in rows)
    for row, person, text in zip(rows, index.tolist(), number.tolist(), strict=True):
        (alone,) = dataset.outlines(np.array([person]), text)
        assert row[row > 0].tolist() == alone[alone > 0].tolist()


@pytest.mark.parametrize(
    ("given", "told"),
    [
        (
            {"people": PEOPLE + 1},
            "people: 13 is not allowed; must be at most 12, since .* has texts about",
        ),
        ({"junk": "1/2"}, "junk_people: None is not allowed with junk about rewritten people; must be their number"),
        ({"junk": "1/2", "junk_people": 1}, "junk_people: 1 is not allowed; must be at most 0"),
        ({"dataset_options": {}}, "dataset_options.texts: is required"),
        ({"dataset_options": {"texts": "/nowhere"}}, "dataset_options.texts: /nowhere/config.yaml cannot be read"),
        ({"questions": "half"}, "questions: half is not an option of bioR; must be none"),
        (
            {"population": "fresh", "people": 2},
            "population: fresh is not allowed with rewritten texts",
        ),
    ],
)
def test_options_that_do_not_fit(folder: Path, given: dict[str, object], told: str):
    with pytest.raises(ValidationError, match=told):
        config_of(folder, **given)


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ("{", "is not JSON in UTF-8"),
        ("[]", r"\[\] is not allowed; must be a mapping"),
        ('{"person": 12, "text": "x"}', "must have a text, and a person from 0 to 11"),
        ('{"person": true, "text": "x"}', "must have a text, and a person"),
        ('{"person": 1}', "must have a text, and a person"),
        ('{"person": 1, "text": "A lie."}', "'A lie.' is not allowed; it lacks the name"),
        ("x" * (1 << 17), "is longer than 65,536 bytes"),
        ("the first", "an earlier line has it"),
    ],
)
def test_a_line_that_is_no_good_is_named(line: str, told: str, folder: Path, tmp_path: Path):
    other = Path(shutil.copytree(folder, tmp_path / "other"))
    kept = (other / "texts.jsonl").read_text().splitlines()[:2]
    (other / "texts.jsonl").write_text("\n".join([*kept, kept[0] if line == "the first" else line, ""]))
    with pytest.raises(ValidationError, match=f"dataset_options.texts: {other}/texts.jsonl, line 3: .*{told}"):
        config_of(other, people=1)


def test_a_torn_last_line_is_not_read(folder: Path, tmp_path: Path):
    other = Path(shutil.copytree(folder, tmp_path / "other"))
    with (other / "texts.jsonl").open("a") as file:
        file.write('{"person": 0, "te')
    assert read_texts(str(other)) == read_texts(str(folder))
    assert isinstance(read_people(str(other)), People)
