"""A data set on disk: one row a person and text, for pandas, `datasets.load_dataset` and `python -m eval`.

In: a `DataConfig` and how many texts a person. Out: a folder with data.parquet (and junk.parquet,
questions.parquet where they are configured), the pools, the tokenizer, config.yaml and a data set card.
"""

import itertools
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import yaml

from biogen.biod import BioD
from biogen.bios import BioS
from biogen.config import DataConfig, trained_on_questions
from biogen.corpus import Corpus, make_corpus
from biogen.people import describe
from biogen.pieces import role_name
from biogen.templates import ATTRIBUTES

_BLOCK = 4096
_SPANS = pa.list_(pa.struct([("role", pa.string()), ("start", pa.int32()), ("end", pa.int32())]))


def texts_each(config: DataConfig, texts: int | None) -> int:
    """How many texts a person has on disk: as many as asked for, or as the variant has, or one."""
    fixed = config.parsed_variant.texts if config.dataset == "bios" else None
    return texts or fixed or 1


def write_dataset(config: DataConfig, texts: int | None, out: Path) -> int:
    """Write the folder, again if it holds this data set; returns the number of biographies in data.parquet.

    Raises ValueError as `make_corpus`, for junk that takes more people than there are names, and for a folder
    with something else in it, another data set too.
    """
    count = texts_each(config, texts)
    junk = int(config.junk / (1 - config.junk) * config.people * count)
    config.check_junk(junk, count)
    corpus = make_corpus(config)
    options = {"data": config.model_dump(mode="json"), "texts": texts}
    _clear(out, options)
    _write(out / "data.parquet", _biographies(corpus, range(config.people), count))
    if junk:
        people = range(config.people, config.people + min(junk, config.junk_people or junk))
        rounds = -(-junk // len(people))
        _write(out / "junk.parquet", itertools.islice(_biographies(corpus, people, rounds), junk))
    if isinstance(corpus, BioS) and config.questions == "half":
        _write(out / "questions.parquet", _questions(corpus))
    _write_pools(corpus, out / "pools")
    corpus.tokenizer.save_pretrained(out / "tokenizer")
    (out / "config.yaml").write_text(yaml.safe_dump(options, sort_keys=False), encoding="utf-8")
    (out / "README.md").write_text(_card(corpus, count), encoding="utf-8")
    return config.people * count


def _clear(out: Path, options: dict[str, Any]) -> None:
    """Make the folder, or take away what is left of the same data set. Raises ValueError if it holds another."""
    out.mkdir(parents=True, exist_ok=True)
    if any(out.iterdir()) and not (out / "data.parquet").exists():
        raise ValueError(f"out: {out} holds something else than a data set; give a new folder, or that of a data set")
    if (out / "config.yaml").exists() and yaml.safe_load((out / "config.yaml").read_text(encoding="utf-8")) != options:
        raise ValueError(f"out: {out} holds another data set; give a new folder, or remove that one")
    for name in ("junk.parquet", "questions.parquet"):
        (out / name).unlink(missing_ok=True)


def _biographies(corpus: Corpus, people: range, texts: int) -> Iterator[dict[str, Any]]:
    """One row a person and text, all people's first texts first."""
    for exposure in range(texts):
        for first in range(people.start, people.stop, _BLOCK):
            index = np.arange(first, min(first + _BLOCK, people.stop))
            columns = _columns(corpus, index)
            for person, values, row in zip(index, columns, corpus.plan(index, exposure), strict=True):
                text, spans = corpus.pieces.render(row)
                marked = [{"role": role_name(span.role), "start": span.start, "end": span.end} for span in spans]
                yield {"person": int(person), **values, "text": text, "spans": marked}


def _columns(corpus: Corpus, index: np.ndarray) -> list[dict[str, str]]:
    """The columns that describe each person, in order."""
    if isinstance(corpus, BioS):
        return [asdict(p) for p in describe(corpus.config.seed, corpus.config.pools, corpus.pools, index)]
    assert isinstance(corpus, BioD)
    return corpus.describe(index)


def _questions(corpus: BioS) -> Iterator[dict[str, Any]]:
    """Every attribute of every person, asked once; `trained` says whose questions a training mixes in."""
    border = trained_on_questions(corpus.config.people)
    slots = corpus.question_answer_slots()
    for first in range(0, corpus.config.people, _BLOCK):
        index = np.arange(first, min(first + _BLOCK, corpus.config.people))
        plans = [corpus.question_plan(index, 0, number) for number in range(len(ATTRIBUTES))]
        for i, person in enumerate(index):
            for attribute, plan in zip(ATTRIBUTES, plans, strict=True):
                yield {
                    "person": int(person),
                    "attribute": attribute,
                    "question": corpus.pieces.render(plan[i, : slots.start])[0],
                    "answer": corpus.pieces.render(plan[i, slots])[0].strip(),
                    "trained": bool(person < border),
                }


def _write(path: Path, rows: Iterator[dict[str, Any]]) -> None:
    writer = None
    while block := list(itertools.islice(rows, _BLOCK)):
        schema = None
        if "spans" in block[0]:
            schema = pa.schema(
                [
                    (key, _SPANS if key == "spans" else pa.int64() if key == "person" else pa.string())
                    for key in block[0]
                ]
            )
        table = pa.Table.from_pylist(block, schema=schema)
        writer = writer or pq.ParquetWriter(path, table.schema)
        writer.write_table(table)
    if writer is not None:
        writer.close()


def _write_pools(corpus: Corpus, folder: Path) -> None:
    """What the data are drawn from, an entry a line: values and sentences of bioS, chunks of bioD."""
    folder.mkdir(exist_ok=True)
    if isinstance(corpus, BioD):
        for attribute, strings in corpus.chunk_pools().items():
            (folder / f"{attribute}.txt").write_text("\n".join(strings) + "\n", encoding="utf-8")
        return
    assert isinstance(corpus, BioS)
    pools = asdict(corpus.pools)
    cities = pools.pop("company_cities")
    pools["employers"] = [f"{name}\t{city}" for name, city in zip(pools["employers"], cities, strict=True)]
    for name, values in pools.items():
        suffix = "tsv" if name == "employers" else "txt"
        (folder / f"{name}.{suffix}").write_text("\n".join(values) + "\n", encoding="utf-8")
    for kind, bank in (("templates", corpus.bank.templates), ("questions", corpus.bank.questions)):
        for attribute, lines in bank.items():
            (folder / f"{kind}_{attribute}.txt").write_text("\n".join(lines) + "\n", encoding="utf-8")


def _card(corpus: Corpus, texts: int) -> str:
    config = corpus.config
    name = "bioS" if config.dataset == "bios" else "bioD"
    header = {
        "license": "apache-2.0",
        "language": ["en"],
        "tags": ["synthetic", "knowledge-capacity"],
        "configs": [{"config_name": "default", "data_files": "data.parquet"}],
    }
    size = f"{config.people:,} people, {texts} {'text' if texts == 1 else 'texts'} each"
    lines = [
        "---",
        yaml.safe_dump(header, sort_keys=False).strip(),
        "---",
        f"# {name}: {size}",
        "",
        "Synthetic people whose names and attributes are drawn uniformly and independently, so that the information",
        "in them is known exactly: made for measuring how many bits a language model stores, after Allen-Zhu and Li,",
        '"Physics of Language Models: Part 3.3, Knowledge Capacity Scaling Laws" (arXiv 2404.05405). Nobody is real.',
        "",
        f"- N0, possible names: {corpus.names:,}",
        _information(corpus),
        "- `spans`: where in `text` (characters) the name and the values stand, by role",
        "- `config.yaml`: every option of the generator; the same options make the same bytes",
        "- `tokenizer/`: a Hugging Face tokenizer reduced to the tokens that occur",
        "",
    ]
    return "\n".join(lines)


def _information(corpus: Corpus) -> str:
    if isinstance(corpus, BioS):
        return f"- log2 S0, bits in a person's attributes: {corpus.log2_values:.2f}"
    shape = corpus.config.biod
    values = f"values of C={shape.C} chunks out of D={shape.D} strings of L={shape.L} symbols out of T={shape.T}"
    return f"- K={shape.K} attributes, {values}"
