"""Converts stores of earlier versions to this one: the same runs with new ids.

In: a sweep's folder of format 2, whose ids were hashes of whole configurations, or a folder `runs` of published
results (RESULT.json beside RESULT.metrics.jsonl). Out: the same folder, with new ids and configurations.
"""

import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from basis.reading import read_file, read_json
from basis.text import short, shown
from basis.yaml_text import MOST_YAML, parse_yaml
from capacity.spec.config import FORMAT, RunConfig
from capacity.spec.identity import run_id, stored
from capacity.store.folders import STORE, RunFolder, write_json
from eval.quantizers.schemes import parse_scheme


def _full_name(scheme: str, embedding: bool) -> str:
    """A scheme of format 2, whose name said its numbers alone, by its name of today."""
    return str(parse_scheme(scheme)._replace(embedding=embedding))


def new_config(content: Mapping[str, Any]) -> RunConfig:
    """The configuration of format 2 as one of today. Raises pydantic's ValidationError for an invalid one."""
    content = {name: value for name, value in content.items() if name != "format"}
    measure = dict(content["measure"])
    embedding = measure.pop("quantize_embedding", True)
    measure["quantize"] = [_full_name(scheme, embedding) for scheme in measure["quantize"]]
    return RunConfig.model_validate({**content, "measure": measure})


def new_record(record: Mapping[str, Any], ids: Mapping[str, str]) -> dict[str, Any]:
    """A result.json of format 2 as one of today. ids: the new id of each run by its old one."""
    config = new_config(record["config"])
    name = run_id(config)
    embedding = record["config"]["measure"].get("quantize_embedding", True)
    rows = []
    for row in record["rows"]:
        scheme = row["quantization"]
        full = scheme if scheme == "none" else _full_name(scheme, embedding)
        rows.append({**row, "run_id": name, "quantization": full})
    provenance = dict(record["provenance"])
    if "training_of" in provenance:
        provenance["training_of"] = ids.get(provenance["training_of"], provenance["training_of"])
    return {**record, "run_id": name, "config": stored(config), "provenance": provenance, "rows": rows}


def migrate(folder: Path) -> tuple[int, list[str]]:
    """Migrate a folder; returns how many runs have a new id, and a line for each unchanged run.

    Raises ValueError for a folder that is neither a store of format 2 nor one of published results, and for links that
    lead out of a run.
    """
    if (folder / STORE).is_file():
        return _migrate_store(folder)
    if any(folder.glob("*.metrics.jsonl")):
        return _migrate_published(folder)
    raise ValueError(f"folder: {folder} holds no runs of an earlier version; give the folder of a sweep")


def _migrate_store(folder: Path) -> tuple[int, list[str]]:
    try:
        written = read_json(folder / STORE)["format"]
    except (ValueError, LookupError, TypeError):
        raise ValueError(f"folder: {folder / STORE} is damaged") from None
    if written == FORMAT:
        return 0, []
    if written != 2:
        raise ValueError(f"folder: {folder} has format {shown(written)}; allowed is 2")
    for path in folder.glob("*/config.yaml"):
        RunFolder(path.parent).check()
    configs = {
        path.parent.name: parse_yaml(read_file(path, MOST_YAML)) for path in sorted(folder.glob("*/config.yaml"))
    }
    ids, lines = _new_ids(configs)
    for old, new in ids.items():
        run = RunFolder(folder / old)
        run.write_config(new_config(configs[old]))
        if run.done:
            write_json(run.result, new_record(read_json(run.result), ids))
        shutil.rmtree(run.checkpoints.folder, ignore_errors=True)  # this version's code cannot go on from them
        run.path.rename(folder / new)
    write_json(folder / STORE, {"format": FORMAT})
    return len(ids), lines


def _migrate_published(folder: Path) -> tuple[int, list[str]]:
    records = {path.stem: read_json(path) for path in sorted(folder.glob("*.json"))}
    ids, lines = _new_ids({name: record["config"] for name, record in records.items() if "format" in record["config"]})
    for old, new in ids.items():
        write_json(folder / f"{old}.json", new_record(records[old], ids))
        (folder / f"{old}.json").rename(folder / f"{new}.json")
        (folder / f"{old}.metrics.jsonl").rename(folder / f"{new}.metrics.jsonl")
    return len(ids), lines


def _new_ids(configs: Mapping[str, Any]) -> tuple[dict[str, str], list[str]]:
    """The new id of each run by its old one; and a line for each whose new id is taken."""
    ids: dict[str, str] = {}
    lines = []
    for old, content in configs.items():
        try:
            new = run_id(new_config(content))
        except (ValueError, LookupError, TypeError, AttributeError) as error:
            raise ValueError(f"config: that of {old} is not one of format 2 ({short(str(error))})") from None
        if new in ids.values():
            lines.append(f"{old}: is the same run as {next(name for name, one in ids.items() if one == new)}; left")
        else:
            ids[old] = new
    return ids, lines
