"""Data sets on disk: pandas and `datasets` read them, spans cut out the columns, same options give same bytes."""

from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
import yaml
from transformers import AutoTokenizer

from biogen import folder as folder_module
from biogen.config import BioDShape, DataConfig
from biogen.dataset import EVALUATION, make_dataset
from biogen.folder import check_unchanged, texts_each, write_dataset
from biogen.people import describe
from biogen.pools import PoolSizes
from biogen.population import draw
from biogen.templates import ATTRIBUTES

POOLS = PoolSizes(first_names=9, middle_names=8, last_names=7, birth_cities=9, universities=8, majors=7, employers=6)
PERSON = ["first_name", "middle_name", "last_name", "pronoun", *ATTRIBUTES]
COLUMNS = ["person", *PERSON, "text", "spans"]


def options(**given: object) -> DataConfig:
    return DataConfig(**{"people": 40, "pools": POOLS, "templates": 30, "tokenizer": "word", **given})


def read(folder: Path, name: str = "data") -> pd.DataFrame:
    return pd.read_parquet(folder / f"{name}.parquet")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two texts a person, with junk and questions."""
    out = tmp_path_factory.mktemp("data")
    assert write_dataset(options(variant="multi2+permute", junk="1/2", questions="half"), None, out) == 80
    return out


def test_columns(folder: Path):
    data = read(folder)
    assert list(data.columns) == COLUMNS
    assert list(data.person) == [*range(40), *range(40)]
    assert data.person.dtype == np.int64
    assert [str(field.type) for field in pq.read_schema(folder / "data.parquet")] == [
        "int64",
        *["string"] * 11,
        "list<element: struct<role: string, start: int32, end: int32>>",
    ]


def test_columns_are_the_people(folder: Path):
    data = read(folder)
    dataset = make_dataset(options())
    people = describe(0, POOLS, dataset.pools, np.arange(40))
    for name in PERSON:
        assert list(data[name][:40]) == list(data[name][40:]) == [getattr(person, name) for person in people]


@pytest.mark.parametrize("name", ["data", "junk"])
def test_spans_cut_out_the_columns(folder: Path, name: str):
    for row in read(folder, name).to_dict("records"):
        found = {span["role"]: row["text"][span["start"] : span["end"]].strip() for span in row["spans"]}
        full_name = f"{row['first_name']} {row['middle_name']} {row['last_name']}"
        assert found == {"name": full_name} | {key: row[key] for key in ("pronoun", *ATTRIBUTES)}
        assert [span["start"] for span in row["spans"]] == sorted(span["start"] for span in row["spans"])


def test_texts_are_those_that_a_training_sees(folder: Path):
    dataset = make_dataset(options(variant="multi2+permute", junk="1/2", questions="half"))
    texts = [dataset.pieces.render(row)[0] for exposure in (0, 1) for row in dataset.outlines(np.arange(40), exposure)]
    assert list(read(folder).text) == texts
    assert len(set(texts)) == 80


def test_junk_is_about_other_people(folder: Path):
    junk, data = read(folder, "junk"), read(folder)
    assert list(junk.columns) == COLUMNS
    assert list(junk.person) == list(range(40, 120))  # as much as useful text, each once
    key = ["first_name", "middle_name", "last_name"]
    assert not set(map(tuple, junk[key].to_numpy())) & set(map(tuple, data[key].to_numpy()))


def test_repeating_junk_repeats_its_people(tmp_path: Path):
    write_dataset(options(junk="3/4", junk_people=7), None, tmp_path)
    junk = read(tmp_path, "junk")
    assert list(junk.person) == [40 + i % 7 for i in range(120)]
    assert junk.text.nunique() == 120


def test_every_attribute_of_everybody_is_asked(folder: Path):
    asked, data = read(folder, "questions"), read(folder)
    assert list(asked.columns) == ["person", "attribute", "question", "answer", "trained"]
    assert len(asked) == 40 * 6
    assert (asked.trained == (asked.person < 20)).all()
    for row in asked.to_dict("records"):
        person = data.iloc[row["person"]]
        assert row["answer"] == person[row["attribute"]]
        assert f"{person.first_name} {person.middle_name} {person.last_name}" in row["question"]
        assert row["question"].endswith("?")


def test_optional_files_stand_only_where_asked_for(folder: Path, tmp_path: Path):
    write_dataset(options(), None, tmp_path)
    files = {"data.parquet", "config.yaml", "README.md", "pools", "tokenizer", "lm_eval"}
    assert {path.name for path in tmp_path.iterdir()} == files
    assert {path.name for path in folder.iterdir()} == files | {"junk.parquet", "questions.parquet"}


def test_a_data_set_is_written_again_and_never_over_another(tmp_path: Path):
    write_dataset(options(junk="1/2", questions="half"), None, tmp_path)
    before = (tmp_path / "junk.parquet").read_bytes()
    with pytest.raises(ValueError, match="holds another data set; give a new folder"):
        write_dataset(options(people=5), None, tmp_path)
    assert (tmp_path / "junk.parquet").read_bytes() == before
    (tmp_path / "data.parquet").write_bytes(b"damaged")
    write_dataset(options(junk="1/2", questions="half"), None, tmp_path)
    assert (tmp_path / "junk.parquet").read_bytes() == before
    assert len(read(tmp_path)) > 0


def test_an_option_that_a_folder_does_not_know_has_its_default(tmp_path: Path):
    write_dataset(options(), None, tmp_path)
    stored = yaml.safe_load((tmp_path / "config.yaml").read_text())
    del stored["data"]["junk_people"]  # as if the option had come later
    (tmp_path / "config.yaml").write_text(yaml.safe_dump(stored))
    write_dataset(options(), None, tmp_path)
    assert "junk_people" in yaml.safe_load((tmp_path / "config.yaml").read_text())["data"]


def test_a_table_is_whole_or_not_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(folder_module, "_BLOCK", 4)

    def full(writer, table):
        raise OSError("full")

    with monkeypatch.context() as patched:
        patched.setattr(pq.ParquetWriter, "write_table", full)
        with pytest.raises(OSError, match="full"):
            write_dataset(DataConfig(people=9, dataset="biod"), 1, tmp_path / "d")
    assert not list((tmp_path / "d").glob("*.parquet*"))
    assert not list((tmp_path / "d").glob(".*"))
    assert write_dataset(DataConfig(people=9, dataset="biod"), 1, tmp_path / "d") == 9
    assert len(pd.read_parquet(tmp_path / "d" / "data.parquet")) == 9


def test_a_data_set_cut_off_while_it_was_written_is_written_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    def cut_off(path: Path, rows: object) -> None:
        path.write_bytes(b"half")
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(folder_module, "_write", cut_off)
        with pytest.raises(KeyboardInterrupt):
            write_dataset(options(junk="1/2"), None, tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["config.yaml", "data.parquet", "pools", "tokenizer"]
    with pytest.raises(ValueError, match="holds another data set"):
        write_dataset(options(people=5), None, tmp_path)
    write_dataset(options(junk="1/2"), None, tmp_path)
    assert len(read(tmp_path)) == 40


@pytest.mark.parametrize("written", ["", "[1]", "data: 3", "{data: {people: 0}, texts: null}", "{data: {}}", "{"])
def test_a_folder_whose_config_cannot_be_read_is_left_alone(tmp_path: Path, written: str):
    write_dataset(options(people=5), None, tmp_path)
    (tmp_path / "config.yaml").write_text(written)
    with pytest.raises(ValueError, match="holds another data set"):
        write_dataset(options(people=5), None, tmp_path)


@pytest.mark.parametrize("name", ["README.md", "data.parquet", "tokenizer/tokenizer.json", "pools/majors.txt", "x/y"])
def test_a_folder_of_something_else_is_left_alone(tmp_path: Path, name: str):
    (tmp_path / name).parent.mkdir(exist_ok=True)
    (tmp_path / name).write_text("mine")
    found = name.partition("/")[0]
    with pytest.raises(ValueError, match=rf"holds something else than a data set \({found}, and no config.yaml\)"):
        write_dataset(options(), None, tmp_path)
    assert [path.name for path in tmp_path.rglob("*") if path.is_file()] == [Path(name).name]
    assert (tmp_path / name).read_text() == "mine"


def test_files_beside_a_data_set_stay(tmp_path: Path):
    write_dataset(options(junk="1/2"), None, tmp_path)
    (tmp_path / "notes.txt").write_text("mine")
    (tmp_path / "notes").symlink_to("/")
    write_dataset(options(junk="1/2"), None, tmp_path)
    assert (tmp_path / "notes.txt").read_text() == "mine"


@pytest.mark.parametrize("name", ["data.parquet", "README.md", "pools", "tokenizer", "pools/majors.txt", "config.yaml"])
def test_a_link_out_of_a_data_set_is_refused(tmp_path: Path, name: str):
    out, precious = tmp_path / "out", tmp_path / "precious"
    write_dataset(options(), None, out)
    (out / name).rename(precious)
    (out / name).symlink_to(precious)
    before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    with pytest.raises(ValueError, match=f"^out: {out / name} is a link to {precious}, outside {out}; remove it$"):
        write_dataset(options(), None, out)
    assert {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()} == before


@pytest.mark.parametrize("name", ["pools", "tokenizer"])
def test_a_file_in_the_place_of_a_folder_is_left_alone_and_so_are_the_tables(tmp_path: Path, name: str):
    write_dataset(options(), None, tmp_path)
    (tmp_path / name).rename(tmp_path / "moved")
    (tmp_path / name).write_text("mine")
    before = (tmp_path / "data.parquet").stat().st_ino
    with pytest.raises(FileExistsError):
        write_dataset(options(), None, tmp_path)
    assert (tmp_path / name).read_text() == "mine"
    assert (tmp_path / "data.parquet").stat().st_ino == before


def test_nothing_is_written_where_names_are_too_few(tmp_path: Path):
    with pytest.raises(ValueError, match=r"junk: 7/8 for 1 exposures of 80 people takes 560 .* at most 424: once"):
        write_dataset(options(people=80, junk="7/8"), None, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_the_same_options_make_the_same_bytes(folder: Path, tmp_path: Path):
    write_dataset(options(variant="multi2+permute", junk="1/2", questions="half"), None, tmp_path)
    files = [path.relative_to(folder) for path in folder.rglob("*") if path.is_file()]
    assert len(files) > 25
    for file in files:
        assert (tmp_path / file).read_bytes() == (folder / file).read_bytes(), file


def test_the_stored_config_says_everything(folder: Path):
    stored = yaml.safe_load((folder / "config.yaml").read_text())
    assert stored["texts"] is None
    config = options(variant="multi2+permute", junk="1/2", questions="half")
    assert DataConfig.model_validate(stored["data"]) == config


def test_pools_are_stored_beside_the_data(folder: Path):
    dataset = make_dataset(options())
    stored = (folder / "pools" / "birth_cities.txt").read_text().splitlines()
    assert tuple(stored) == dataset.pools.birth_cities
    employers = [line.split("\t") for line in (folder / "pools" / "employers.tsv").read_text().splitlines()]
    assert employers == [list(pair) for pair in zip(dataset.pools.employers, dataset.pools.company_cities, strict=True)]
    for attribute in ATTRIBUTES:
        stored = (folder / "pools" / f"templates_{attribute}.txt").read_text().splitlines()
        assert tuple(stored) == dataset.bank.templates[attribute]


def test_the_stored_tokenizer_knows_the_texts(folder: Path):
    tokenizer = AutoTokenizer.from_pretrained(folder / "tokenizer")
    ids = tokenizer(list(read(folder).text)).input_ids
    decoded = tokenizer.decode(ids[0], skip_special_tokens=True)
    assert decoded.strip() == read(folder).text[0]


@pytest.mark.parametrize(
    ("variant", "texts", "expected"), [("fresh", None, 1), ("single", None, 1), ("multi4", None, 4), ("multi4", 2, 2)]
)
def test_texts_a_person(variant: str, texts: int | None, expected: int):
    assert texts_each(make_dataset(options(variant=variant)), texts) == expected


def test_biod(tmp_path: Path):
    config = options(dataset="biod", biod=BioDShape(K=3, C=2, D=8, L=2, T=16), junk="1/2")
    write_dataset(config, 2, tmp_path)
    data = read(tmp_path)
    assert list(data.columns) == ["person", "name", "a0", "a1", "a2", "text", "spans"]
    assert len(data) == 80
    for row in data.to_dict("records"):
        found = {span["role"]: row["text"][span["start"] : span["end"]].strip() for span in row["spans"]}
        assert found["name"] == row["name"]
        assert all(f"{found[f'a{k}_first']} {found[f'a{k}_rest']}" == row[f"a{k}"] for k in range(3))
    assert len(read(tmp_path, "junk")) == 80
    pools = [(tmp_path / "pools" / f"a{k}.txt").read_text().splitlines() for k in range(3)]
    assert [len(set(pool)) for pool in pools] == [8, 8, 8]
    for k, pool in enumerate(pools):
        for value in read(tmp_path)[f"a{k}"]:
            words = value.split()
            assert {" ".join(words[:2]), " ".join(words[2:])} <= set(pool)


def test_other_alphabets_survive(tmp_path: Path):
    pools = POOLS.model_copy(update={"first_names": 30, "middle_names": 30, "last_names": 30})
    write_dataset(options(locale="de_DE", pools=pools, people=100), None, tmp_path)
    names = (tmp_path / "pools" / "last_names.txt").read_text(encoding="utf-8").splitlines()
    assert set(read(tmp_path).last_name) <= set(names)
    for row in read(tmp_path).to_dict("records"):
        span = next(span for span in row["spans"] if span["role"] == "name")
        assert row["text"][span["start"] : span["end"]].endswith(row["last_name"])


@pytest.fixture
def _offline(monkeypatch: pytest.MonkeyPatch):
    for name in ("HF_HUB_OFFLINE", "HF_DATASETS_OFFLINE"):
        monkeypatch.setenv(name, "1")


@pytest.mark.usefixtures("_offline")
@pytest.mark.filterwarnings("default")  # what another library warns of is not ours
def test_datasets_loads_the_folder(folder: Path, tmp_path: Path):
    from datasets import load_dataset

    loaded = load_dataset(str(folder), cache_dir=str(tmp_path))
    assert list(loaded) == ["train"]
    train = loaded["train"]
    assert train.column_names == COLUMNS
    assert len(train) == 80
    row = train[3]
    assert row["text"] == read(folder).text[3]
    span = row["spans"][0]
    assert row["text"][span["start"] : span["end"]] == f"{row['first_name']} {row['middle_name']} {row['last_name']}"


def test_the_texts_that_are_measured(tmp_path: Path):
    config = options(variant="fresh", junk="1/2", questions="half")
    assert write_dataset(config, None, tmp_path, measured=True) == 40
    dataset = make_dataset(config)
    rows = dataset.outlines(np.arange(40), EVALUATION)
    assert list(read(tmp_path).text) == [dataset.pieces.render(row)[0] for row in rows]
    asked = dataset.question_outlines(np.arange(40), EVALUATION, 0)[:, : dataset.question_answer_slots().start]
    found = read(tmp_path, "questions")
    assert list(found.question[found.attribute == ATTRIBUTES[0]]) == [dataset.pieces.render(row)[0] for row in asked]
    assert not (tmp_path / "junk.parquet").exists()
    assert "train on none" in (tmp_path / "README.md").read_text()
    with pytest.raises(ValueError, match="holds another data set"):
        write_dataset(config, None, tmp_path)
    with pytest.raises(ValueError, match="texts: 2 is not allowed; a model is measured on one text a person"):
        write_dataset(config, 2, tmp_path, measured=True)


def test_a_folder_whose_content_is_made_otherwise_now_is_told(tmp_path: Path):
    out = tmp_path / "data"
    write_dataset(options(), 1, out)
    dataset = make_dataset(options())
    check_unchanged(out, dataset)
    mark = yaml.safe_load((out / "config.yaml").read_text())
    for name, reason in (("texts", "its pools and sentences are not"), ("tokens", "tokenizer 'word' is not")):
        changed = mark | {"fingerprint": mark["fingerprint"] | {name: "0" * 64}}
        (out / "config.yaml").write_text(yaml.safe_dump(changed))
        with pytest.raises(ValueError, match=rf"^data: [^\n]*{reason} what they were; write it anew$"):
            check_unchanged(out, dataset)
        with pytest.raises(ValueError, match="holds another data set"):
            write_dataset(options(), 1, out)
    del mark["fingerprint"]  # as of an earlier version
    (out / "config.yaml").write_text(yaml.safe_dump(mark))
    check_unchanged(out, dataset)
    write_dataset(options(), 1, out)
    with (out / "pools" / "majors.txt").open("a") as file:
        file.write("Alchemy\n")
    with pytest.raises(ValueError, match=r"^data: .*majors\.txt is not what config\.yaml makes"):
        check_unchanged(out, dataset)


@pytest.mark.parametrize(("population", "people"), [("fresh", 80), ("zipf", 40)])
def test_a_folder_of_a_world_without_end_has_what_a_training_reads(tmp_path: Path, population: str, people: int):
    config = options(population=population, zipf=1.2)
    assert write_dataset(config, 2, tmp_path / "out") == 80
    data, dataset = read(tmp_path / "out"), make_dataset(config)
    parts = [draw(config, 0, 40, exposure) for exposure in (0, 1)]
    assert data.person.tolist() == [person for index, _ in parts for person in index.tolist()]
    assert data.text.tolist() == [dataset.pieces.render(row)[0] for part in parts for row in dataset.outlines(*part)]
    assert data.last_name.tolist() == [person["last_name"] for index, _ in parts for person in dataset.describe(index)]
    title = (tmp_path / "out" / "README.md").read_text().split("# ", 1)[1].splitlines()[0]
    assert title == {
        "fresh": "bioS: 80 people, 1 text each",
        "zipf": "bioS: 80 texts about 40 people, rank i with probability ∝ i^-1.2",
    }[population]  # fmt: skip
    assert write_dataset(config, None, tmp_path / "measured", measured=True) == 40
    assert read(tmp_path / "measured").person.tolist() == list(range(40))


def test_a_folder_of_new_people_needs_names(tmp_path: Path):
    with pytest.raises(ValueError, match="population: fresh for 12 exposures of 40 people"):
        write_dataset(options(population="fresh"), 12, tmp_path / "out")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(("dataset", "languages"), [("bios", ["en"]), ("biod", None), ("random", None)])
def test_only_texts_in_a_language_are_said_to_be_in_one(tmp_path: Path, dataset: str, languages: list[str] | None):
    write_dataset(DataConfig(people=3, dataset=dataset), None, tmp_path / "out")
    head = yaml.safe_load((tmp_path / "out" / "README.md").read_text().split("---")[1])
    assert head.get("language") == languages
