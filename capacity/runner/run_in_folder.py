"""A run in its folder: trains, measures and writes it.

In: a folder with a resolved config.yaml. Out, in the same folder: metrics.jsonl during the run, the model in
Hugging Face form, and result.json at the end. If a finished run in the same store trained the same model and measured
it in another way, it takes over that training. It works under a claim (claim.py), and writes nothing once it has lost
it. Several processes may train one model together; the first of them does everything else.
"""

import math
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch

from basis.files import replace_file
from basis.folders import hash_files
from basis.reading import parse_json, read_file
from biogen.config import DataConfig
from biogen.dataset import EVALUATION, Dataset, make_dataset
from biogen.population import measured_people
from capacity.runner.claim import Claim
from capacity.runner.fingerprint import changes, fingerprint_of
from capacity.runner.heldout import HeldOut
from capacity.runner.metrics import Metrics
from capacity.runner.saved import read_saved
from capacity.spec.build import build_batches, build_model, counts_per_token
from capacity.spec.config import MeasureOptions, RunConfig
from capacity.spec.identity import run_id, stored
from capacity.spec.recipes import settings_of
from capacity.store.folders import MOST_METRICS, RunFolder, trained_alike, write_json
from capacity.store.provenance import provenance
from eval.lora import lora_record
from eval.recall import recall_people
from eval.record import make_record, measure_copies
from eval.source import OwnTokens
from train.architectures.causal_lm import CausalLM
from train.checkpoint import Checkpoint, check_alike, restore_training, training_tensors
from train.export import load_weights, save_pretrained
from train.inference import Inference
from train.loop import Trainer, read_progress, train
from train.ranks import ALONE, Ranks
from train.sizes import parse_size

_CURVE_PEOPLE = 2000
"""People measured at each point of a learning curve, at most; the result measures `eval_people`."""
_RECORDS = 500
"""Approximate number of training losses in a run's metrics."""
_BATCHES, _RANDOM = "batches.", "random"


def log_spaced(exposures: int | float) -> list[int]:
    """1, 2, 5, 10, 20, 50, ... below `exposures`: where a learning curve is measured."""
    marks = [digit * 10**power for power in range(len(str(int(exposures)))) for digit in (1, 2, 5)]
    return [mark for mark in marks if mark < exposures]


class Run:
    """A run in its folder."""

    def __init__(
        self,
        folder: RunFolder,
        device: torch.device,
        claim: Claim | None = None,
        save_seconds: float = 60.0,
        ranks: Ranks = ALONE,
    ) -> None:
        self.folder, self.device, self.claim, self.save_seconds = folder, device, claim, save_seconds
        self.ranks = ranks
        self.measuring = False
        self.config = self._read_config()
        self.dataset: Dataset = make_dataset(self.config.data)
        self.fingerprint = fingerprint_of(self.config, self.dataset)
        self.metrics = Metrics(folder.metrics)
        self.size = parse_size(self.config.size)
        self.model = build_model(self.config, self.dataset.tokenizer.vocab)
        self.model.initialize(self.config.training.initialization, self.config.data.seed)
        self.batches = build_batches(self.dataset, self.config)
        self.exposures = self.batches.expected_exposures
        self.settings = settings_of(
            self.config.training,
            self.exposures,
            tokens=self.config.budget,
            form=self.model.kernel_form(),
            on_gpu=device.type == "cuda",
            processes=ranks.size,
        )
        self.trainer = Trainer(self.model, self.settings, device, ranks)
        self.marks = log_spaced(self.exposures if self.config.budget is None else 0.9 * self.exposures)
        self.heldout = HeldOut(self.dataset, self.config, self.exposures)
        self.log_steps = max(1, self.batches.expected_steps() // _RECORDS)
        self.counts = self.model.parameter_counts()
        self.seconds = 0.0
        self.parts: list[dict[str, Any]] = []
        """The provenance of each part of an interrupted training."""
        self.training_of: str | None = None
        """The finished run whose training this one has taken over."""
        self._resume()

    def go(self, stop: Any) -> bool:
        """Train, measure, write; returns False if `stop` ended it early."""
        self.started = time.monotonic() - self.seconds
        if not self.ranks.first:
            return self._train_along()
        with self.metrics:
            if not self._trained:
                finished = train(
                    self.trainer,
                    self.batches,
                    marks=[*self.marks, *self.heldout.marks],
                    observe=self._observe,
                    log=lambda record: self._write({"kind": "train", **record}),
                    log_steps=self.log_steps,
                    show=self._report,
                    save=self._save,
                    save_seconds=self.save_seconds,
                    stop=stop,
                )
                if not finished:
                    return False
                self.seconds = time.monotonic() - self.started
            self.measuring = True
            if stop():
                return False
            self._finish()
        return True

    def _train_along(self) -> bool:
        """Train along with the first process, which does everything else."""
        if self._trained:
            return True
        quiet: dict[str, Any] = {"observe": lambda mark: None, "log": lambda record: None, "save": lambda state: None}
        return train(self.trainer, self.batches, marks=[], log_steps=self.log_steps, **quiet)

    def _read_config(self) -> RunConfig:
        """The configuration of this run. Raises ValueError if the folder has that, or the result, of another run."""
        name = self.folder.path.name
        try:
            config = self.folder.read_config()
        except ValueError as error:
            raise ValueError(f"config.yaml: {error}") from None
        if (found := run_id(config)) != name:
            raise ValueError(f"config.yaml: {self.folder.config} is that of run {found}; must be that of {name}")
        self.folder.read_result()
        return config

    def _resume(self) -> None:
        checkpoints = self.folder.checkpoints
        found = None
        if self.ranks.first:
            self.folder.clear_leftovers()
            found = checkpoints.load()  # also deletes damaged ones, before the other processes read
        self.ranks.agree(0)
        if not self.ranks.first:
            found = checkpoints.load()
        if found is not None:
            self._check_origin(found.record)
            try:
                self._restore(found)
            except (ValueError, TypeError) as error:  # TypeError: types that numpy lacks
                told = f"checkpoint: {found.path.name} is none of this run's ({error})"
                raise ValueError(f"{told}; delete the run's {checkpoints.folder.name} to train anew") from None
        elif self.ranks.first:
            self._take_over()
        self._trained = bool(self.ranks.agree(self.training_of is not None))
        if not self.ranks.first:
            return
        self.parts = [*self.parts[-99:], {"from": self.trainer.exposures, **self._where()}]
        for line in checkpoints.damaged:
            print(f"warning: {line}; going on from {self.trainer.exposures:.1f} exposures", file=sys.stderr)
        self._check_claim()
        if found is not None:
            self._restore_metrics(found.record)
        elif self.training_of is None:
            replace_file(self.folder.metrics, b"")

    def _check_origin(self, record: dict[str, Any]) -> None:
        """Refuse the checkpoint of another run, or one of other texts, tokens or code. Raises ValueError."""
        where, name = f"checkpoint: {self.folder.checkpoints.folder}", run_id(self.config)
        if (found := record.get("run_id", name)) != name:
            raise ValueError(f"{where} is of run {found!r:.100}; must be of {name}; delete it to train anew")
        if why := changes(record.get("fingerprint"), self.fingerprint, self.config):
            raise ValueError(f"{where}: {why}; undo that, or delete it to train anew")

    def _restore(self, checkpoint: Checkpoint) -> None:
        """Go on from a checkpoint. Raises ValueError for one that `_save` did not write."""
        tensors, saved = checkpoint.tensors, read_saved(checkpoint.record)
        batches = {k.removeprefix(_BATCHES): v.numpy() for k, v in tensors.items() if k.startswith(_BATCHES)}
        check_alike({k: v for k, v in tensors.items() if k == _RANDOM}, {_RANDOM: torch.get_rng_state()})
        self.trainer.restore(saved.training)
        exposures = self.batches.restore(batches)
        if self.trainer.exposures != exposures:
            raise ValueError(
                f"exposures: {self.trainer.exposures} is not allowed; must be {exposures}, as of the batches"
            )
        restore_training(self.model, self.trainer.optimizers, tensors)
        torch.set_rng_state(tensors[_RANDOM])
        self.seconds, self.parts = saved.seconds, saved.parts

    def _restore_metrics(self, record: dict[str, Any]) -> None:
        trainer = self.trainer
        if self.metrics.restore(record, trainer.exposures):
            return
        marks = [mark for mark in self.marks if mark <= trainer.exposures + 1e-9]
        lacking = self.metrics.lacking(range(self.log_steps, trainer.steps + 1, self.log_steps), marks)
        print(
            f"warning: {self.folder.metrics} is not the file of the checkpoint (were folders merged?); "
            f"records lacking up to {trainer.exposures:.1f} exposures: {lacking}",
            file=sys.stderr,
        )

    def _take_over(self) -> None:
        """Take over a finished training that was measured in another way, if there is one."""
        for other, result in trained_alike(self.folder, self.config):
            try:
                row, made = result["rows"][0], result["provenance"]
                measured = RunConfig.model_validate(result["config"]).measure
                *curve, end = read_file(other.metrics, MOST_METRICS).splitlines(keepends=True)
                last = parse_json(end)
                if (last["kind"], last["exposures"]) != ("recall", row["exposures"]):
                    continue
                if not self._same_curve(measured):
                    continue
                counts = {name: row[name] for name in ("steps", "tokens", "exposures")} | {"loss_since": [0, 0.0]}
                parts = made["parts"][:-1] if "training_of" in made else made.get("parts") or [{"from": 0.0, **made}]
                seconds = float(row["seconds"])
                if why := self._other_model(other, result):
                    print(f"warning: {other.path.name}: {why}; its training is not taken over", file=sys.stderr)
                    continue
                read_progress(counts)
                load_weights(self.model, other.model)
            except (OSError, ValueError, LookupError, TypeError, RuntimeError):  # damaged, or its model is gone
                continue
            self._check_claim()
            replace_file(self.folder.metrics, b"".join(curve))
            self.trainer.restore(counts)
            self.seconds, self.parts = seconds, parts
            self.training_of = made.get("training_of", other.path.name)
            print(f"trained already, as {other.path.name}; it is only measured", file=sys.stderr)
            return

    def _other_model(self, other: RunFolder, result: dict[str, Any]) -> str | None:
        """Why the model of a finished run is not the one that this run would train; None if it is."""
        if why := changes(result.get("fingerprint"), self.fingerprint, self.config):
            return why
        if changed := other.changed(result, other.model.name):
            return f"{changed[0]} is not the file that was measured"
        return None

    def _same_curve(self, measured: MeasureOptions) -> bool:
        """Whether a training that was measured in this way has the learning curve of this run."""
        both = (measured, self.config.measure)
        theirs, ours = ((self._curve_people(one.eval_people), one.heldout_tokens, one.heldout_points) for one in both)
        return theirs == ours

    def _curve_people(self, eval_people: int) -> int:
        """People measured at each point of the learning curve."""
        return min(_CURVE_PEOPLE, eval_people, self.config.data.people)

    def _save(self, batches: dict[str, np.ndarray]) -> None:
        self._check_claim()
        tensors = training_tensors(self.model, self.trainer.optimizers)
        tensors |= {_BATCHES + name: torch.from_numpy(array) for name, array in batches.items()}
        tensors[_RANDOM] = torch.get_rng_state()
        record = {
            "run_id": run_id(self.config),
            "fingerprint": self.fingerprint,
            "training": self.trainer.state(),
            "seconds": time.monotonic() - self.started,
            "parts": self.parts,
            **self.metrics.save(),
        }
        self.folder.checkpoints.save(self.trainer.steps, tensors, record)

    def _check_claim(self) -> None:
        if self.claim is not None:
            self.claim.check()

    def _report(self, record: dict[str, Any]) -> None:
        if self.claim is not None:
            self.claim.notice = record

    def _write(self, record: dict[str, Any]) -> None:
        if self.claim is not None and self.claim.lost:
            return
        record["seconds"] = time.monotonic() - self.started
        self.metrics.write(record)

    def _inference(self, model: CausalLM) -> Inference:
        return Inference(model, self.device, native=self.settings.native)

    def _reader(self, model: CausalLM) -> Inference:
        """Reads a model with adapters, which the kernels do not know."""
        return Inference(model, self.device)

    def _observe(self, mark: int | float) -> None:
        """Measure at a number of exposures: recall at whole ones, the held-out loss at its own."""
        if mark in self.marks:
            self._measure_recall(int(mark))
        if mark in self.heldout.marks:
            self._measure_heldout()

    def _measure_heldout(self) -> dict[str, float]:
        """The held-out loss now; empty if none is measured."""
        record = self.heldout.measure(self._inference(self.model), self.trainer)
        if record:
            self._write({"kind": "heldout", **record})
        return record

    def _measure_recall(self, exposures: int) -> None:
        people = measured_people(self.config.data, self._curve_people(self.config.measure.eval_people))
        recall = recall_people(self._inference(self.model), OwnTokens(self.dataset), people, EVALUATION)
        record = make_record(recall, self.dataset, sum(self.counts.values()), interval=False)
        self._write({"kind": "recall", "exposures": exposures, **record})

    def _finish(self) -> None:
        options, trainer = self.config.measure, self.trainer
        planned, reached = self.config.exposures, trainer.exposures
        if planned is not None and not math.isclose(reached, planned):
            raise ValueError(f"exposures: the training ended at {reached} of {planned}")
        if planned is None and not trainer.trained:
            raise ValueError(f"tokens: the training ended at {trainer.tokens} of {self.config.budget}")
        exposures = planned or self.exposures
        self._report({"exposures": exposures, "measuring": True})
        records = measure_copies(
            self.model,
            self._inference,
            OwnTokens(self.dataset),
            sum(self.counts.values()),
            schemes=options.quantize,
            people=options.eval_people,
        )
        if self.config.data.questions == "lora":
            records[0] |= lora_record(self.model, self._reader, OwnTokens(self.dataset), self.device)
        self._check_claim()
        records[0] |= self.heldout.of_the_end(self._measure_heldout())
        self._write({"kind": "recall", "exposures": exposures, **records[0]})
        self.metrics.save()
        self.folder.write_model(self._write_model)
        logged = {*range(self.log_steps, self.trainer.steps, self.log_steps), self.trainer.steps}
        write_json(
            self.folder.result,
            {
                "run_id": run_id(self.config),
                "config": stored(self.config),
                "fingerprint": self.fingerprint,
                "files": hash_files(self.folder.path, self.folder.model.name, self.folder.metrics.name),
                "records_lacking": self.metrics.lacking(logged, self.marks),
                "provenance": self._provenance(),
                "rows": [self._description() | record for record in records],
            },
        )
        self.folder.clear_finished()
        if self.claim is not None:
            self.claim.finished = True

    def _write_model(self, folder: Path) -> None:
        save_pretrained(self.model.cpu(), folder, context=self.config.training.context, end_id=0)
        self.dataset.tokenizer.save_pretrained(folder)

    def _where(self) -> dict[str, Any]:
        return provenance(self.device, self.settings) | {"processes": self.ranks.size}

    def _provenance(self) -> dict[str, Any]:
        """How the run ended; and its earlier parts, where they differ or another run did them."""
        last = self._where()
        if self.training_of is not None:
            return last | {"training_of": self.training_of, "parts": self.parts}
        same = [{key: value for key, value in part.items() if key not in ("from", "finished")} for part in self.parts]
        return last if all(part == same[-1] for part in same) else last | {"parts": self.parts}

    def _description(self) -> dict[str, Any]:
        data: DataConfig = self.config.data
        counts = counts_per_token(self.model, self.config.training, self.dataset)
        return {
            "run_id": run_id(self.config),
            "size": self.config.size,
            "layers": self.size.layers,
            "width": self.size.width,
            "heads": self.size.heads,
            "params": sum(self.counts.values()),
            **{f"params_{group}": count for group, count in self.counts.items()},
            "params_non_embedding": counts.kaplan_parameters,
            "vocab": self.dataset.tokenizer.vocab,
            "dataset": data.dataset,
            "people": data.people,
            "exposures": self.config.exposures or self.exposures,
            "junk": str(data.junk),
            "recipe": self.config.training.recipe,
            "steps": self.trainer.steps,
            "tokens": self.trainer.tokens,
            "flops": counts.flops * self.trainer.tokens,
            "flops_kaplan": counts.kaplan_flops * self.trainer.tokens,
            "flops_chinchilla": counts.chinchilla_flops * self.trainer.tokens,
            "seconds": self.seconds,
            "seed": data.seed,
        }
