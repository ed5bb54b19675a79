"""The folder of a sweep: `OUT/store.json` and, for every run, `OUT/<run id>/` with all that is known of it.

In: an output folder and run ids. Out: paths and records. A run is done when its result.json is there, which is written
last, and holds as many exposures as planned; a run has failed if there is a failed.json; and it belongs to the process
that holds the claim on its folder.
"""

import json
import os
import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError

from basis.files import replace_file, sync
from basis.folders import changed_files, contents, refuse_links
from basis.mistakes import explain
from basis.reading import read_file, read_json
from basis.text import printable, short, shown
from basis.yaml_text import MOST_YAML, parse_yaml
from capacity.spec.config import FORMAT, RunConfig
from capacity.spec.identity import run_id, stored, training_of
from train.checkpoint import Checkpoints

WEIGHTS = "weights"
"""In a folder of published results, the folder of the runs whose weights are kept."""
FAILED, TAKEN, STOPPED = 1, 75, 130
"""Exit codes of a worker besides 0: it wrote a failed.json; another process has the run; it left a checkpoint."""

MOST_METRICS = 1 << 30
"""Bytes of a metrics.jsonl that is read, at most."""

STORE = "store.json"
"""The file that says what layout a store has."""


def count_runs(number: int) -> str:
    """ "1 run", "2 runs"."""
    return f"{number:,} run{'s' if number != 1 else ''}"


@dataclass(frozen=True)
class RunFolder:
    """The files of one run."""

    path: Path

    @property
    def config(self) -> Path:
        """The resolved configuration."""
        return self.path / "config.yaml"

    @property
    def metrics(self) -> Path:
        """JSON lines written while the run goes on."""
        return self.path / "metrics.jsonl"

    @property
    def checkpoints(self) -> Checkpoints:
        """The checkpoints that an interrupted run goes on from; deleted when it is done."""
        return Checkpoints(self.path / "checkpoints")

    @property
    def model(self) -> Path:
        """The trained model and its tokenizer in Hugging Face form."""
        return self.path / "model"

    @property
    def result(self) -> Path:
        """The result, which is written last."""
        return self.path / "result.json"

    @property
    def log(self) -> Path:
        """What the worker printed."""
        return self.path / "worker.log"

    @property
    def failure(self) -> Path:
        """Why the run failed; `--retry-failed` deletes it."""
        return self.path / "failed.json"

    @property
    def done(self) -> bool:
        """Whether the run is finished: its result is there, and is its own."""
        with suppress(ValueError):
            return self.read_result() is not None
        return False

    def read_result(self) -> dict[str, Any] | None:
        """The result of the run; None if there is none yet. Raises ValueError for any other file of this name."""
        try:
            result: dict[str, Any] = read_json(self.result)
            run, config = result["run_id"], result["config"]
            unit, planned = "tokens", config.get("budget")
            if planned is None:
                unit, planned = "exposures", config["exposures"]
            trained = [row[unit] for row in result["rows"]]
        except FileNotFoundError:
            return None
        except OSError as error:
            why = f"is not the result of a run ({error.strerror})"
        except ValueError as error:
            why = f"is not the result of a run ({short(' '.join(str(error).split()))})"
        except (LookupError, TypeError, AttributeError):
            why = "is not the result of a run (its run_id, its exposures or its rows are missing)"
        else:
            if run != self.path.name:
                why = f"is the result of run {run!r:.100}"
            elif not trained or any(found != planned for found in trained):
                why = f"has {trained!r:.100} {unit}, where {planned!r:.100} are planned"
            else:
                return result
        raise ValueError(f"{self.result.name}: {self.result} {why}; delete it to do the run again")

    def check(self) -> None:
        """See that what is written here stays here. Raises ValueError for links that lead out of the folder."""
        if self.path.is_symlink():
            raise ValueError(f"out: {self.path} is a link to {os.readlink(self.path)}; remove it")
        refuse_links(self.path)

    def changed(self, result: Mapping[str, Any], names: str) -> list[str]:
        """The files whose names begin like this and that are missing, or not those that a result was written with."""
        hashes = result.get("files")  # results of earlier versions have none
        ours = hashes if isinstance(hashes, dict) else {}
        return changed_files(self.path, {name: wanted for name, wanted in ours.items() if name.startswith(names)})

    def read_failure(self) -> str | None:
        """The reason why the run failed, in one line; None if it has not."""
        try:
            return short(printable(read_json(self.failure)["reason"]), 500)
        except FileNotFoundError:
            return None
        except (OSError, ValueError, LookupError, TypeError):
            return f"{self.failure} cannot be read"

    def forget_failure(self) -> None:
        """Let a run that failed be tried again. Raises ValueError as `check` does."""
        self.check()
        self.failure.unlink(missing_ok=True)

    def clear_leftovers(self) -> None:
        """Remove the temporary files of a process that was killed; only the folder's one worker may."""
        for path in [*self.path.glob(".*.tmp"), *self.checkpoints.folder.glob(".*.tmp")]:
            if path.is_dir():
                shutil.rmtree(path, ignore_errors=True)
            else:
                path.unlink(missing_ok=True)

    def clear_finished(self) -> None:
        """Remove what a finished run no longer needs."""
        self.checkpoints.clear()
        self.failure.unlink(missing_ok=True)
        with suppress(OSError):
            if self.log.stat().st_size == 0:
                self.log.unlink()

    def write_model(self, write: Callable[[Path], None]) -> None:
        """Make the folder of the model in one step; `write` fills it."""
        temporary = self.path / ".model.tmp"
        shutil.rmtree(temporary, ignore_errors=True)
        write(temporary)
        for path in [*temporary.iterdir(), temporary]:  # before a result.json says that they are there
            sync(path)
        shutil.rmtree(self.model, ignore_errors=True)
        temporary.rename(self.model)

    def write_config(self, config: RunConfig) -> None:
        """Make the folder, in that of its sweep, with the configuration in it. Raises OSError if that is gone."""
        self.path.mkdir(exist_ok=True)
        replace_file(self.config, yaml.safe_dump(stored(config), sort_keys=False).encode())

    def read_config(self) -> RunConfig:
        """The configuration that `write_config` wrote. Raises OSError, and ValueError that names any other file."""
        try:
            return RunConfig.model_validate(parse_yaml(read_file(self.config, MOST_YAML)))
        except ValidationError as error:
            reason = explain(error, RunConfig)[0]
        except ValueError as error:
            reason = short(" ".join(str(error).split()))
        raise ValueError(f"{self.config} is of another version or damaged ({reason})")


def run_folder(out: Path, config: RunConfig) -> RunFolder:
    """The folder of a run."""
    return RunFolder(out / run_id(config))


def trained_alike(folder: RunFolder, config: RunConfig) -> Iterator[tuple[RunFolder, dict[str, Any]]]:
    """The finished runs beside this one that differ in what is measured alone, with their results.

    Runs that trained the model themselves come first.
    """
    ours = training_of(stored(config))
    found = []
    for path in sorted(folder.path.parent.glob(f"{folder.path.name.rpartition('-')[0]}-*")):
        other = RunFolder(path)
        with suppress(OSError, ValueError, KeyError, TypeError, AttributeError):  # it may be moved away meanwhile
            result = other.read_result()
            if result is not None and path != folder.path and training_of(result["config"]) == ours:
                found.append(("training_of" in result["provenance"], other, result))
    yield from ((other, result) for _, other, result in sorted(found, key=lambda one: one[0]))


def holes(out: Path) -> list[str]:
    """A line for each finished run of a sweep's folder whose metrics are not whole, as after a merge of two folders."""
    lines = []
    for path in sorted(out.glob("*/result.json")):
        run = RunFolder(path.parent)
        with suppress(ValueError, OSError):  # not its result
            result = run.read_result() or {}
            large = run.metrics.is_file() and run.metrics.stat().st_size > MOST_METRICS
            if large or run.changed(result, run.metrics.name):
                lines.append(f"{run.metrics}: is not the file that the run wrote; its learning curve may have holes")
            elif lacking := result.get("records_lacking"):
                lines.append(f"{run.metrics}: lacks records, {shown(lacking)} of them; its learning curve has holes")
    return lines


def write_json(path: Path, record: Mapping[str, Any]) -> None:
    """Write a record in one step: the file is whole or as it was before."""
    replace_file(path, (json.dumps(record, indent=1) + "\n").encode())


def fail(folder: RunFolder, reason: str, **details: Any) -> None:
    """Record that a run failed, and why, in one line. Raises OSError where even that cannot be written."""
    write_json(folder.failure, {"reason": " ".join(reason.split()), **details})


def open_store(out: Path) -> None:
    """Make a store, or see that this version can read it. Raises ValueError or OSError."""
    check_store(out)
    if not (out / STORE).exists():
        out.mkdir(parents=True, exist_ok=True)
        write_json(out / STORE, {"format": FORMAT})


def check_store(out: Path) -> None:
    """See that a folder is a store that this version can read, or can become one. Raises ValueError or OSError."""
    refuse_links(out, STORE, "results.csv", "plots")
    file, found = out / STORE, contents(out)
    if file.is_dir():
        raise ValueError(f"out: {file} is a folder, where a sweep has a file; give another folder")
    try:
        written = read_json(file)["format"]
    except FileNotFoundError:
        if any((out / name).exists() for name in ("data.parquet", "metrics.jsonl", "result.json")):
            raise ValueError(f"out: {out} is a data set or a single run; give another folder") from None
        if any(out.glob("*/config.yaml")):
            raise ValueError(
                f"out: {out} was written by an earlier version of this project (it has no {STORE}); give another folder"
            ) from None
        if found:  # listed before, so that another driver's new store is no surprise
            raise ValueError(
                f"out: {out} holds something else than a sweep ({found[0]}); give a new folder, or that of a sweep"
            ) from None
        return
    except (ValueError, LookupError, TypeError):
        raise ValueError(f"out: {file} is damaged; give another folder") from None
    if written == FORMAT - 1:
        raise ValueError(f"out: {out} has the ids of an earlier version; `capacity migrate {out}` gives it today's")
    if written != FORMAT:
        raise ValueError(
            f"out: {out} was written by another version of this project (format {shown(written)}, this one has "
            f"{FORMAT}); give another folder"
        )
