"""Weights that are kept with published results, and their proofs: anybody can check R without training.

In: finished runs in the folders of sweeps. Out, in FOLDER/weights/RUN: the run's config.yaml and result.json, its model
as float32 and as int8, and a proof of each (`eval.prove`).
"""

import json
import shutil
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pandas as pd

from basis.files import replace_file
from basis.folders import refuse_links
from capacity.laws.capacity import best_over_people
from capacity.laws.groups import kinds
from capacity.store.audit import PROOFS, wrong_in_weights
from capacity.store.folders import WEIGHTS, RunFolder
from capacity.store.options import deciding
from eval.hf import load
from eval.proof.packed import FILE, write_packed
from eval.prove import Options, prove

BEST = "best"
"""In place of ids: the best runs."""


def best_runs(frame: pd.DataFrame) -> list[str]:
    """The run of each size and kind of run whose R is the best over N; of several seeds the best one."""
    kind = kinds(frame, deciding(frame))
    plain = frame[(frame["quantization"] == "none") & frame["bits_per_param"].notna()]
    best = best_over_people(plain, kind)
    found = []
    for _, row in best.iterrows():
        same = plain
        for name in (*kind, "size", "people"):
            same = same[same[name].isna() if pd.isna(row[name]) else same[name] == row[name]]
        found.append(str(same["run_id"].iloc[int(same["bits_per_param"].to_numpy().argmax())]))
    return found


def find_runs(named: Sequence[str], frame: pd.DataFrame, stores: Sequence[Path]) -> dict[str, RunFolder]:
    """The folders of runs by id. named: ids, or `best`. Raises ValueError for one whose model is not there."""
    ids = [run for name in named for run in (best_runs(frame) if name == BEST else [name])]
    found: dict[str, RunFolder] = {}
    for run in dict.fromkeys(ids):
        folders = [RunFolder(store / run) for store in stores]
        there = next((one for one in folders if one.done and (one.model / "config.json").is_file()), None)
        if there is None:
            raise ValueError(f"weights: no store has run {run!r} with its model; train it again, or name others")
        if changed := there.changed(there.read_result() or {}, "model/"):
            raise ValueError(f"weights: {there.path / changed[0]} is not the file that was measured")
        found[run] = there
    return found


def keep(run: RunFolder, folder: Path) -> dict[str, dict[str, Any]]:
    """Copy the model of a run to `folder`/weights, pack it, and prove both; returns the proofs by kind of weights.

    What was kept of the run before is replaced once all is proved. Raises ValueError, and RuntimeError for a model that
    does not know what its record says.
    """
    home = folder / WEIGHTS
    refuse_links(folder, WEIGHTS)
    with TemporaryDirectory() as temporary:
        made = Path(temporary) / run.path.name
        made.mkdir()
        for file in (run.config, run.result):
            shutil.copyfile(file, made / file.name)
        shutil.copytree(run.model, made / run.model.name)
        write_packed(load(str(made / "model"))[0], made / "model" / FILE)
        proofs = {}
        for weights, name in PROOFS.items():
            out = Path(temporary) / weights
            proofs[weights] = prove(Options(model=str(made), out=out, weights=weights))
            replace_file(made / name, (json.dumps(proofs[weights], indent=1) + "\n").encode())
        record = run.read_result() or {}
        if wrong := [
            f"{field}: {found!r}; must be {wanted!r}" for field, found, wanted in wrong_in_weights(made, record)
        ]:
            raise RuntimeError(f"weights: {run.path.name}: {wrong[0]}")
        shutil.rmtree(home / run.path.name, ignore_errors=True)
        shutil.copytree(made, home / run.path.name)
    return proofs
