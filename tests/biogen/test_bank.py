"""A user's own templates and pools: their texts, their bits, and a line for each mistake in them."""

import math
import os
import shutil
from pathlib import Path

import numpy as np
import pytest
from pydantic import ValidationError

from biogen.bank import left_unused, read_bank
from biogen.config import DataConfig
from biogen.dataset import fingerprint, make_dataset
from biogen.folder import write_dataset
from biogen.pools import PoolSizes, load_pools
from eval.measuring import read_data
from tests.biogen.banks import GERMAN, write_bank

DATA = Path(__file__).parents[2] / "biogen" / "data"


def config_of(folder: str, **given: object) -> DataConfig:
    return DataConfig(**{"bank": folder, "people": 20, "tokenizer": "word", **given})


@pytest.fixture
def bank(tmp_path: Path) -> str:
    return write_bank(tmp_path / "bank")


def test_texts_are_written_with_the_bank(bank: str):
    dataset = make_dataset(config_of(bank, questions="half"))
    described = dataset.describe(np.arange(20))
    for row, person in zip(dataset.outlines(np.arange(20), 0), described, strict=True):
        text, spans = dataset.pieces.render(row)
        found = {dataset.role_names[role]: text[start:end].strip() for role, start, end in spans}
        assert found["birth_city"] == person["birth_city"] in GERMAN["birth_cities.txt"]
        assert found["pronoun"] == person["pronoun"] in ("Er", "Sie")
        assert f"{person['employer']}\t{person['company_city']}" in GERMAN["employers.tsv"]
        assert f" kam am{text[slice(*spans_of(spans, dataset, 'birth_date'))]} zur Welt." in text
        assert person["birth_date"].split()[0] in GERMAN["months.txt"]
    assert any("Woher stammt" in text for text in dataset.covering_texts())


def spans_of(spans: list, dataset: object, attribute: str) -> tuple[int, int]:
    (span,) = [span for span in spans if dataset.role_names[span.role] == attribute]
    return span.start, span.end


def test_names_and_values_follow_the_bank(bank: str):
    config = config_of(bank)
    assert config.names == 5 * 3 * 4
    assert config.templates == 6
    dataset = make_dataset(config)
    assert dataset.log2_values == pytest.approx(math.log2(2 * (5 * 28 * 200) * 3 * 2 * 3 * 3))
    fewer = config_of(bank, people=5, pools={"majors": 2, "first_names": 1})
    assert (fewer.names, fewer.pools.majors, fewer.pools.employers) == (12, 2, 3)
    assert (
        left_unused(bank, fewer.pools, 6)
        == "1 of 5 first names, 2 of 3 majors, 1 templates for each attribute, of 7 in all"
    )
    with pytest.raises(ValidationError, match="people: 61 people need as many names; allowed is at most N0 = 60"):
        config_of(bank, people=61)


def test_what_a_bank_lacks_is_ours(tmp_path: Path):
    bank = write_bank(tmp_path / "bank", {name: None for name in GERMAN if name != "majors.txt"})
    config = config_of(bank)
    assert config.pools == PoolSizes(majors=3)
    assert load_pools(config.pools, own=read_bank(bank)).universities == load_pools(PoolSizes()).universities


def test_a_copy_of_our_own_bank_is_ours(tmp_path: Path):
    shutil.copytree(DATA, tmp_path / "bank")
    few = {"templates": 6, "pools": {"first_names": 9, "middle_names": 9, "last_names": 9, "universities": 9}}
    ours = fingerprint(make_dataset(DataConfig(people=20, tokenizer="word", **few)))
    assert fingerprint(make_dataset(config_of(str(tmp_path / "bank"), **few))) == ours


def test_the_fingerprint_is_that_of_the_content(bank: str, tmp_path: Path):
    before = fingerprint(make_dataset(config_of(bank)))
    assert fingerprint(make_dataset(config_of(shutil.copytree(bank, tmp_path / "moved").as_posix()))) == before
    write_bank(Path(bank), {"majors.txt": ["Jura", "Chemie", "Biologie"]})
    assert fingerprint(make_dataset(config_of(bank)))["texts"] != before["texts"]


def test_a_data_set_on_disk_carries_its_bank(bank: str, tmp_path: Path):
    out = tmp_path / "data"
    write_dataset(config_of(bank), None, out)
    shutil.rmtree(bank)
    config = read_data(out)
    assert config.bank == str(out / "carried" / "bank")
    assert make_dataset(config).describe(np.arange(3))[0]["major"] in GERMAN["majors.txt"]
    (out / "config.yaml").write_text("data: {people: 2}\ncarried: {bank: x, '../y': x}")
    with pytest.raises(ValueError, match="carried: 'bank' is not an option that it gives"):
        read_data(out)


MISTAKES = {
    "twice": ("majors.txt", ["Jura", "Jura"], "line 2: 'Jura' is not allowed; it stands in line 1, too"),
    "beginning": ("birth_cities.txt", ["Bonnville", "Bonn"], "line 1: 'Bonnville' is not allowed; it begins with"),
    "beginning of a name": ("first_names.txt", ["Ann Lea", "Ann"], "line 1: 'Ann Lea' is not allowed; it begins with"),
    "no slot": ("templates/major.txt", ["{subject} lernte Jura."], "line 1: .* must have the slot {value} once, not 0"),
    "no subject": ("templates/major.txt", ["Sie lernte {value}."], "line 1: .* must have the slot {subject} once"),
    "two slots": ("templates/major.txt", ["{subject} lernte {value} und {value}."], "line 1: .* once, not 2 times"),
    "braces": ("templates/major.txt", ["{subject} lernte {fach} {value}."], "line 1: .* no braces but those"),
    "subject later": ("templates/major.txt", ["Dort lernte {subject} {value}."], "line 1: .* must begin with"),
    "joined": ("templates/major.txt", ["{subject} lernte {value}wissen."], "line 1: .* must have a mark such as"),
    "no end": ("templates/major.txt", ["{subject} lernte {value} dort"], "line 1: .* must end with a mark"),
    "not due": (
        "templates/employer.txt",
        ["{subject} lernte dort {value} mit."],
        "line 1: '{subject} lernte dort {value} mit.' is not allowed; .* begins alike",
    ),
    "not due either": (
        "templates/major.txt",
        ["{subject} lernte {value}.", "{subject} lernte gern {value}."],
        "line 1: '{subject} lernte {value}.' is not allowed; '{subject} lernte gern {value}.' begins alike",
    ),
    "question": ("questions/major.txt", ["Was lernte er?"], "line 1: .* must have the slot {name} once"),
    "no city": ("employers.tsv", ["Huber AG"], "line 1: 'Huber AG' is not allowed; must be an employer and its city"),
    "empty line": ("majors.txt", ["Jura", "", "Chemie"], "line 2: '' is not allowed; must not be empty"),
    "no lines": ("majors.txt", b"", "cannot be used .it has 0 lines"),
    "spaces": ("majors.txt", ["Jura ", "Chemie"], "line 1: 'Jura ' is not allowed; must be printable, with single"),
    "end": ("employers.tsv", ["Huber Inc.\tWien"], "line 1: .* must begin and end with a letter or a digit"),
    "not UTF-8": ("majors.txt", "Jura\nCafé\n".encode("latin-1"), "cannot be used .line 2 is not UTF-8."),
    "huge": ("majors.txt", b"x" * ((1 << 22) + 1), "cannot be used .it is larger than 4,194,304 bytes."),
    "long": ("majors.txt", ["x" * 301], "line 1: .* at most 300 characters, not 301"),
    "three pronouns": ("pronouns.txt", ["Er", "Sie", "Es"], "line 3: 3 lines are not allowed; must be 2 pronouns"),
    "unknown": ("first_name.txt", ["Uwe"], " is not a file of a bank; must be one of first_names.txt"),
}  # fmt: skip


@pytest.mark.parametrize("name", MISTAKES)
def test_a_mistake_is_one_line_with_file_and_number(name: str, tmp_path: Path):
    file, lines, told = MISTAKES[name]
    bank = write_bank(tmp_path / "bank", {file: lines})
    with pytest.raises(ValueError, match=f"^bank: {bank}/{file}.*{told.replace('{', '[{]')}") as caught:
        read_bank(bank)
    assert len(str(caught.value).splitlines()) == 1
    with pytest.raises(ValidationError, match="bank: "):
        config_of(bank)


def test_pipes_links_and_folders_are_told(tmp_path: Path):
    bank = Path(write_bank(tmp_path / "bank", {"majors.txt": None, "months.txt": None}))
    os.mkfifo(bank / "majors.txt")
    (bank / "months.txt").symlink_to(tmp_path / "nowhere")
    with pytest.raises(ValueError, match=r"cannot be used \(Not a file\)\n.*months.txt cannot be used \(No such"):
        read_bank(str(bank))
    for folder in (tmp_path / "none", bank / "pronouns.txt"):
        with pytest.raises(ValueError, match=r"cannot be read .*; must be a folder of templates and pools"):
            read_bank(str(folder))
    (tmp_path / "empty").mkdir()
    with pytest.raises(ValueError, match="holds no file of a bank"):
        read_bank(str(tmp_path / "empty"))


def test_other_options_that_do_not_fit(bank: str):
    with pytest.raises(ValidationError, match=r"locale: 'de_DE' is not allowed; the bank has first_names.txt"):
        config_of(bank, locale="de_DE")
    with pytest.raises(ValidationError, match=r"bank: .* is not an option of bioD"):
        config_of(bank, dataset="biod")
