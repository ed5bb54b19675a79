"""Tasks for lm-evaluation-harness: their documents are the texts and people that are measured, in the same tokens."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from transformers import AutoTokenizer

from biogen import lm_eval
from biogen.config import EVALUATION, BioDShape, DataConfig, trained_on_questions
from biogen.dataset import Dataset, draw_texts, make_dataset
from biogen.folder import write_dataset
from biogen.lm_eval import task_name, write_tasks
from biogen.pools import PoolSizes
from biogen.templates import ATTRIBUTES
from tests.biogen.datasets.test_bior import fill

POOLS = PoolSizes(first_names=9, middle_names=8, last_names=7, birth_cities=9, universities=8, majors=7, employers=6)
BIOS = {"people": 40, "pools": POOLS, "templates": 30, "tokenizer": "word"}
BIOD = {"dataset": "biod", "people": 30, "biod": BioDShape(K=3, C=2, D=8, L=2, T=16)}
KINDS = {
    "word": BIOS | {"questions": "half", "domain_token": True},
    "bpe": BIOS | {"tokenizer": "bpe", "vocab": 600, "questions": "lora"},
    "bytes": BIOS | {"tokenizer": "bytes", "variant": "single+fullname", "company_city": "none"},
    "zipf": BIOS | {"population": "zipf", "locale": "de_DE"},
    "fresh": BIOS | {"population": "fresh"},
    "gpt2_like": BIOS | {"tokenizer": "gpt2_like", "questions": "half"},
    "unigram": BIOS | {"tokenizer": "unigram", "questions": "half", "domain_token": True},
    "biod": BIOD,
    "biod junk": BIOD | {"junk": "1/2", "domain_token": True},
    "bior": {"dataset": "bior", "people": 4, "tokenizer": "word"},
    "random tokens": {"dataset": "random", "people": 5},
}


class Loader(yaml.SafeLoader):
    """Reads the harness' tag of a function as its name."""


Loader.add_constructor("!function", lambda loader, node: loader.construct_scalar(node))


def read_yaml(file: Path) -> dict[str, Any]:
    return yaml.load(file.read_text(encoding="utf-8"), Loader)


def lines(file: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()]


@pytest.fixture(params=KINDS)
def dataset(request: pytest.FixtureRequest, hugging_face, tmp_path: Path) -> Dataset:
    options = dict(KINDS[request.param])
    if options.get("dataset") == "bior":
        options["dataset_options"] = {"texts": str(fill(tmp_path / "texts"))}
    if options.get("tokenizer") in ("gpt2_like", "unigram"):
        options["tokenizer"] = str(hugging_face(options["tokenizer"]))
    return make_dataset(DataConfig(**options))


def encode_pair(tokenizer: Any, context: str, continuation: str) -> tuple[list[int], list[int]]:
    """What the harness makes of a request (`TemplateLM._encode_pair`)."""
    assert context == context.rstrip()
    whole, before = (tokenizer.encode(text, add_special_tokens=False) for text in (context + continuation, context))
    assert whole[: len(before)] == before
    return before, whole[len(before) :]


def test_every_value_is_asked_for_in_the_tokens_that_are_measured(dataset: Dataset, tmp_path: Path):
    write_tasks(dataset, tmp_path)
    dataset.tokenizer.save_pretrained(tmp_path)
    tokenizer, before = AutoTokenizer.from_pretrained(tmp_path), read_yaml(tmp_path / "common")["description"]
    people = np.arange(dataset.config.people)
    rows, texts = lines(tmp_path / "completion.jsonl"), draw_texts(dataset, people, EVALUATION)
    assert [row["person"] for row in rows] == people.tolist()
    assert [row["text"] for row in rows] == [
        dataset.pieces.render(row)[0] for row in dataset.outlines(people, EVALUATION)
    ]
    for number, row in enumerate(rows):
        assert list(row["start"]) == list(row["end"]) == list(dataset.qa_roles)
        part = slice(texts.offsets[number], texts.offsets[number + 1])
        tokens, roles = texts.tokens[part], texts.roles[part]
        for attribute, own in dataset.qa_roles.items():
            text, start, end = row["text"], row["start"][attribute], row["end"][attribute]
            context, value = encode_pair(tokenizer, before + text[:start], text[start:end])
            places = np.flatnonzero(np.isin(roles, own))
            assert context == tokens[: places[0]].tolist()
            assert value == tokens[places].tolist()


def test_both_halves_are_asked_as_they_are_measured(dataset: Dataset, tmp_path: Path):
    write_tasks(dataset, tmp_path)
    files = sorted(file.name for file in tmp_path.glob("questions_*.jsonl"))
    if dataset.config.questions != "half":
        assert not list(tmp_path.glob("questions*"))
        return
    assert files == ["questions_held_out.jsonl", "questions_trained.jsonl"]
    dataset.tokenizer.save_pretrained(tmp_path)
    tokenizer, before = AutoTokenizer.from_pretrained(tmp_path), read_yaml(tmp_path / "common")["description"]
    border = trained_on_questions(dataset.config.people)
    slots = dataset.question_answer_slots()
    for half, people in (("trained", range(border)), ("held_out", range(border, dataset.config.people))):
        rows = lines(tmp_path / f"questions_{half}.jsonl")
        assert [row["person"] for row in rows] == list(people)
        for number, attribute in enumerate(dataset.questions):
            outlines = dataset.question_outlines(np.array(people), EVALUATION, number)
            for row, outline in zip(rows, outlines, strict=True):
                question, answer = row["question"][attribute], row["answer"][attribute]
                context, value = encode_pair(tokenizer, before + question, answer)
                assert context == dataset.pieces.splice(outline[None, : slots.start]).tokens.tolist()
                assert value == dataset.pieces.splice(outline[None, slots.start :]).tokens.tolist()
                assert answer.endswith(".")


def test_the_groups_have_the_attributes_that_the_accuracy_is_the_mean_of(tmp_path: Path):
    dataset = make_dataset(DataConfig(**KINDS["word"]))
    write_tasks(dataset, tmp_path)
    counted = [name for name in ATTRIBUTES if name != "company_city"]
    for name, attributes in (("completion", counted), ("questions_trained", ATTRIBUTES)):
        title = "bios_n40" if name == "completion" else f"bios_n40_{name}"
        group, own = read_yaml(tmp_path / f"{name}.yaml"), read_yaml(tmp_path / f"{name}_bos.yaml")
        assert group["group"] == title
        assert group["task"] == [f"{title}_{attribute}" for attribute in attributes]
        assert own == group | {"group": f"{title}_bos", "description": "<|biography|>"}
    found = {read_yaml(file)["task"] for file in tmp_path.glob("*_company_city.yaml")}
    assert found == {f"bios_n40{part}_company_city" for part in ("", "_questions_trained", "_questions_held_out")}
    assert task_name(dataset.config) == "bios_n40"
    assert read_yaml(tmp_path / "common")["description"] == "<|endoftext|><|biography|>"


def test_a_data_set_of_ones_own_has_names_of_letters():
    assert task_name(DataConfig(people=3).model_copy(update={"dataset": "my.coins:Coins"})) == "my_coins_Coins_n3"


def test_people_beyond_those_that_are_measured_have_no_documents(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(lm_eval, "MOST_MEASURED", 7)
    monkeypatch.setattr(lm_eval, "_BLOCK", 3)
    write_tasks(make_dataset(DataConfig(**BIOS)), tmp_path)
    assert [row["person"] for row in lines(tmp_path / "completion.jsonl")] == list(range(7))


def test_a_data_set_has_its_tasks_and_its_card_names_them(tmp_path: Path):
    config = DataConfig(**KINDS["word"])
    write_dataset(config, 2, tmp_path / "data")
    write_tasks(make_dataset(config), tmp_path / "tasks")
    written = {file.name: file.read_bytes() for file in (tmp_path / "data" / "lm_eval").iterdir()}
    assert written == {file.name: file.read_bytes() for file in (tmp_path / "tasks").iterdir()}
    assert "such as bios_n40, on" in (tmp_path / "data" / "README.md").read_text()
    assert not any(str(tmp_path).encode() in content for content in written.values())


def test_documents_are_whole_or_as_they_were(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    dataset = make_dataset(DataConfig(**BIOS))
    write_tasks(dataset, tmp_path)
    before = {file.name: file.read_bytes() for file in tmp_path.iterdir()}

    def cut_off(outline: object) -> None:
        raise OSError("full")

    monkeypatch.setattr(dataset.pieces, "render", cut_off)
    with pytest.raises(OSError, match="full"):
        write_tasks(dataset, tmp_path)
    assert {file.name: file.read_bytes() for file in tmp_path.iterdir()} == before


def test_a_link_out_of_the_data_set_is_refused(tmp_path: Path):
    config, precious = DataConfig(**BIOS), tmp_path / "precious"
    write_dataset(config, None, tmp_path / "data")
    (tmp_path / "data" / "lm_eval").rename(precious)
    (tmp_path / "data" / "lm_eval").symlink_to(precious)
    before = {path: path.stat().st_mtime_ns for path in precious.iterdir()}
    with pytest.raises(ValueError, match=r"^out: .*lm_eval is a link to .*precious, outside"):
        write_dataset(config, None, tmp_path / "data")
    assert {path: path.stat().st_mtime_ns for path in precious.iterdir()} == before
