"""One run, from people to its result: `python -m capacity.worker RUN_FOLDER` (started by `capacity.run`).

In: a folder with a resolved config.yaml. Out, in the same folder: metrics.jsonl while it goes on, the model in
Hugging Face form, and result.json at the end. Stopped by a signal, it leaves a checkpoint to go on from.
"""

import contextlib
import json
import os
import platform
import signal
import subprocess
import sys
import time
import traceback
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import torch

from biogen.config import DataConfig
from biogen.corpus import EVALUATION, Corpus, make_corpus, mean_length
from biogen.windows import Batches
from capacity.config import RunConfig
from capacity.recipes import settings_of
from capacity.store import STOPPED, RunFolder, write_json
from eval.measure import measure, measure_copies
from eval.recall import recall_people
from eval.source import OwnTokens
from train.checkpoint import load_checkpoint, restore_training, save_checkpoint, training_tensors
from train.export import save_pretrained
from train.inference import Inference
from train.loop import Diverged, Settings, Trainer, train
from train.model import GPT, initialize, parameter_counts
from train.native.library import instruction_set
from train.sizes import parse_size

_CURVE_PEOPLE = 2000
"""People measured at each point of a learning curve, at most; the result measures `eval_people`."""
_BATCHES = "batches."


def pick_device(name: str) -> torch.device:
    """The device of that name; `auto` takes CUDA, then MPS, then the CPU."""
    if name != "auto":
        return torch.device(name)
    if torch.cuda.is_available():
        return torch.device("cuda")
    return torch.device("mps" if torch.backends.mps.is_available() else "cpu")


def log_spaced(exposures: int) -> list[int]:
    """1, 2, 5, 10, 20, 50, ... below `exposures`: where a learning curve is measured."""
    marks = [digit * 10**power for power in range(len(str(exposures))) for digit in (1, 2, 5)]
    return [mark for mark in marks if mark < exposures]


class Run:
    """A run in its folder."""

    def __init__(self, folder: RunFolder, device: torch.device) -> None:
        self.folder, self.device = folder, device
        self.config = folder.read_config()
        self.corpus: Corpus = make_corpus(self.config.data)
        self.size = parse_size(self.config.size)
        self.model = GPT(self.size, self.corpus.tokenizer.vocab)
        initialize(self.model, self.config.training.initialization, self.config.data.seed)
        self.settings = settings_of(
            self.config.training, self.config.exposures, width=self.size.width, on_gpu=device.type == "cuda"
        )
        self.trainer = Trainer(self.model, self.settings, device)
        training = self.config.training
        self.batches = Batches(
            self.corpus,
            layout=training.layout,
            context=training.context,
            batch=training.batch,
            exposures=self.config.exposures,
        )
        self.counts = parameter_counts(self.size, self.corpus.tokenizer.vocab)
        self.seconds = 0.0
        self._resume()

    def go(self, stop: Any) -> bool:
        """Train, measure, write; returns False if `stop` said so before the end."""
        self.started = time.monotonic() - self.seconds
        marks = log_spaced(self.config.exposures)
        with self.folder.metrics.open("a") as self._metrics:
            finished = train(
                self.trainer,
                self.batches,
                marks=marks,
                observe=self._observe,
                log=lambda record: self._write({"kind": "train", **record}),
                save=self._save,
                stop=stop,
            )
            if not finished:
                return False
            self.seconds = time.monotonic() - self.started
            self._save(self.batches.state())  # a measurement that fails does not cost the training
            self._finish()
        return True

    def _resume(self) -> None:
        self.folder.clear_leftovers()
        keep = 0
        if self.folder.checkpoint.exists():
            tensors, record = load_checkpoint(self.folder.checkpoint)
            batches = {k.removeprefix(_BATCHES): v.numpy() for k, v in tensors.items() if k.startswith(_BATCHES)}
            restore_training(self.model, self.trainer.optimizers, tensors)
            self.batches.restore(batches)
            self.trainer.steps, self.trainer.tokens = record["steps"], record["tokens"]
            self.trainer.exposures, self.seconds = record["exposures"], record["seconds"]
            keep = record["metrics_bytes"]
        self.folder.metrics.touch()
        os.truncate(self.folder.metrics, min(keep, self.folder.metrics.stat().st_size))

    def _save(self, batches: dict[str, np.ndarray]) -> None:
        tensors = training_tensors(self.model, self.trainer.optimizers)
        tensors |= {_BATCHES + name: torch.from_numpy(array) for name, array in batches.items()}
        self._metrics.flush()
        record = {
            "steps": self.trainer.steps,
            "tokens": self.trainer.tokens,
            "exposures": self.trainer.exposures,
            "seconds": time.monotonic() - self.started,
            "metrics_bytes": self.folder.metrics.stat().st_size,
        }
        save_checkpoint(self.folder.checkpoint, tensors, record)

    def _write(self, record: dict[str, Any]) -> None:
        record["seconds"] = time.monotonic() - self.started
        self._metrics.write(json.dumps(record) + "\n")
        self._metrics.flush()

    def _read(self, model: GPT) -> Inference:
        return Inference(model, self.device, native=self.settings.native)

    def _observe(self, exposures: int) -> None:
        people = min(_CURVE_PEOPLE, self.config.measure.eval_people, self.config.data.people)
        recall = recall_people(self._read(self.model), OwnTokens(self.corpus), np.arange(people), EVALUATION)
        record = measure(recall, self.corpus, sum(self.counts.values()), interval=False)
        self._write({"kind": "recall", "exposures": exposures, **record})

    def _finish(self) -> None:
        options = self.config.measure
        records = measure_copies(
            self.model,
            self._read,
            OwnTokens(self.corpus),
            sum(self.counts.values()),
            schemes=options.quantize,
            quantize_embedding=options.quantize_embedding,
            people=options.eval_people,
        )
        self._write({"kind": "recall", "exposures": self.config.exposures, **records[0]})
        save_pretrained(self.model.cpu(), self.folder.model, context=self.config.training.context, end_id=0)
        self.corpus.tokenizer.save_pretrained(self.folder.model)
        write_json(
            self.folder.result,
            {
                "run_id": self.config.run_id,
                "config": self.config.model_dump(mode="json"),
                "provenance": provenance(self.device, self.settings),
                "rows": [self._description() | record for record in records],
            },
        )
        self.folder.checkpoint.unlink(missing_ok=True)

    def _description(self) -> dict[str, Any]:
        data: DataConfig = self.config.data
        return {
            "run_id": self.config.run_id,
            "size": self.config.size,
            "layers": self.size.layers,
            "width": self.size.width,
            "heads": self.size.heads,
            "params": sum(self.counts.values()),
            **{f"params_{group}": count for group, count in self.counts.items()},
            "vocab": self.corpus.tokenizer.vocab,
            "dataset": data.dataset,
            "people": data.people,
            "exposures": self.config.exposures,
            "junk": str(data.junk),
            "recipe": self.config.training.recipe,
            "steps": self.trainer.steps,
            "tokens": self.trainer.tokens,
            "flops": training_flops(self.config, self.corpus) * self.trainer.tokens,
            "seconds": self.seconds,
            "seed": data.seed,
        }


def training_flops(config: RunConfig, corpus: Corpus) -> int:
    """Floating-point operations a token, forward and backward."""
    from train.model import flops_per_token

    packed = config.training.layout == "packed"
    context = config.training.context if packed else round(mean_length(corpus))
    return flops_per_token(parse_size(config.size), corpus.tokenizer.vocab, context)


def provenance(device: torch.device, settings: Settings) -> dict[str, Any]:
    """What a number must carry: when, with which code and kernels, on which machine."""
    record = {
        "finished": datetime.now(UTC).isoformat(timespec="seconds"),
        "commit": _commit(),
        "device": torch.cuda.get_device_name(device) if device.type == "cuda" else device.type,
        "processor": _processor(),
        "threads": torch.get_num_threads(),
        "kernels": f"native {instruction_set(settings.bf16)}" if settings.native else "pytorch",
        "precision": "bf16" if settings.bf16 else "fp32",
        "python": platform.python_version(),
        "torch": torch.__version__,
    }
    return record


def _commit() -> str | None:
    """The commit of this code, with `+` if the working tree has changes; None outside a checkout."""
    try:
        asked = subprocess.run(
            ["git", "describe", "--always", "--dirty=+", "--abbrev=12", "--exclude=*"],
            cwd=Path(__file__).parent,
            capture_output=True,
            text=True,
            timeout=10,
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return asked.stdout.strip() or None


def _processor() -> str:
    with contextlib.suppress(OSError, StopIteration):
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        return next(line for line in lines if line.startswith("model name")).partition(":")[2].strip()
    return platform.processor() or platform.machine()


def main(arguments: list[str]) -> int:
    """Do the run of a folder on a device; 0 done, 130 stopped with a checkpoint, 1 failed."""
    path, device_name = arguments
    parent, stopped = os.getppid(), False

    def on_signal(*_: Any) -> None:
        nonlocal stopped
        stopped = True

    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, on_signal)
    device = pick_device(device_name)
    if device.type == "cpu":
        torch.set_num_threads(1)
    try:
        run = Run(RunFolder(Path(path)), device)
        # A driver that was killed leaves its workers to somebody else: they stop too.
        finished = run.go(lambda: stopped or os.getppid() != parent)
    except (Diverged, ValueError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    except Exception as error:  # the driver shows the last line of this process
        traceback.print_exc()
        print(f"error: {type(error).__name__}: {' '.join(str(error).split())[:300]}", file=sys.stderr)
        return 1
    return 0 if finished else STOPPED


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
