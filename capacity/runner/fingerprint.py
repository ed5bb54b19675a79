"""What decides a run besides its options: the content of what they only name.

In: a run's configuration and its data set. Out: hashes of the texts (pools, sentences, people), of their tokens, and
of the files of a user's own code. They stand in checkpoints and results, and in no id.
"""

import hashlib
import sys
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any

from basis.files import file_state
from basis.registry import Registry
from biogen.config import DataConfig
from biogen.dataset import Dataset, fingerprint, make_dataset
from biogen.datasets import DATASETS
from capacity.spec.config import RunConfig
from train.architectures import ARCHITECTURES
from train.optimizers import OPTIMIZERS


def fingerprint_of(config: RunConfig, dataset: Dataset) -> dict[str, str]:
    """The hashes, by what they are of."""
    names: dict[str, Registry[Any]] = {
        config.data.dataset: DATASETS,
        config.model.architecture: ARCHITECTURES,
        config.training.optimizer: OPTIMIZERS,
    }
    own = sorted(name for name in names if ":" in name)
    return fingerprint(dataset) | {name.partition(":")[0]: _code(name, names[name]) for name in own}


def changes(before: Any, now: dict[str, str], config: RunConfig) -> str:
    """What is no longer as it was, in words; empty if all is."""
    if not isinstance(before, dict):
        return "it is of an earlier version of this project"
    data = config.data
    sources = f"pools, sentences, people{f'; bank {data.bank!r}' if data.bank else ''}"
    if data.dataset == "corpus":
        sources = f"the files of corpus {data.corpus!r}"
    words = {"texts": f"the texts ({sources})", "tokens": f"the tokenizer {data.tokenizer!r}"}
    changed = [words.get(name, f"the code in {name}") for name in now if before.get(name) != now[name]]
    if words["texts"] in changed and words["tokens"] in changed:  # other texts have other tokens
        changed.remove(words["tokens"])
    return f"{' and '.join(changed)} changed since" if changed else ""


def names_files(config: RunConfig) -> bool:
    """Whether the options name files of texts or pools, which may change."""
    return bool(DATASETS[config.data.dataset].carried(config.data))


def changed_since(config: RunConfig, result: Mapping[str, Any]) -> str:
    """What is no longer as it was when a run was done; empty if all is, or if the result does not tell."""
    if "fingerprint" not in result:  # it is of an earlier version
        return ""
    files = DATASETS[config.data.dataset].carried(config.data)
    state = tuple(file_state(path) for paths in files.values() for path in paths.values())
    return changes(result["fingerprint"], _data_fingerprint(config.data.model_dump_json(), state), config)


@lru_cache(maxsize=64)
def _data_fingerprint(data: str, _: tuple[tuple[str, int, int], ...]) -> dict[str, str]:
    """The hashes of texts and tokens, computed again only if a file has changed."""
    return fingerprint(make_dataset(DataConfig.model_validate_json(data)))


def _code(name: str, registry: "Registry[Any]") -> str:
    """The hash of the file of a user's own module; empty for a module without one."""
    _ = registry[name]  # imports it, also from the working folder
    file = getattr(sys.modules[name.partition(":")[0]], "__file__", None)  # what is built in has none
    return hashlib.sha256(Path(file).read_bytes()).hexdigest() if file else ""
