"""A tokenizer of Hugging Face's as it was saved: no class of its own, none of its code, no truncation.

In: a folder or a name. Out: a fast tokenizer of transformers', and its rules alone (`plain`).
"""

import json
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from tokenizers import Tokenizer as Backend

from basis.files import user_path
from basis.hub import out_of_reach
from basis.reading import check_file
from basis.text import shown
from biogen.encoding import one_line
from biogen.pieces import MOST_TOKENS

FILE = "tokenizer.json"
_READ = ("*.json", "*.jinja", "*.model", "*.txt")
"""Files of a folder that transformers reads as a whole."""
_MOST_BYTES = 1 << 28
"""Bytes of such a file, at most."""
_GROWTH = 64
"""How many times as long a normalizer may make a text: more would take the memory of the machine."""


def load_saved(name: str, *, local: bool = False) -> Any:
    """The tokenizer of a folder or name, as transformers' `PreTrainedTokenizerFast`.

    Its tokenizer.json is read as it stands: for some types of models transformers has a class that makes tokens of its
    own. A folder without one is converted by transformers, from all the files that the tokenizer's class asks for.

    local: don't use the network. Raises ValueError with the reason in one line.
    """
    try:
        user_path(name)
    except ValueError as error:
        raise ValueError(f"{shown(name)} {error}") from None
    if not local and out_of_reach(name):
        raise ValueError(f"{name!r} is not on this machine, and the Hugging Face hub does not answer")
    from transformers import AutoTokenizer, PreTrainedTokenizerFast  # slow to import

    converted = True
    try:
        check_files(Path(name))
        found = _find(name, FILE, local)
        converted = found is None
        if found is not None:
            _check_numbers(Backend.from_file(found))
        kind = AutoTokenizer if converted else PreTrainedTokenizerFast
        loaded = kind.from_pretrained(name, trust_remote_code=False, local_files_only=local)
    except Exception as error:  # transformers and tokenizers raise many kinds for a bad folder
        needs = "" if not converted or find_spec("sentencepiece") else "; SentencePiece's files need sentencepiece"
        raise ValueError(f"{name!r} cannot be loaded ({reason_of(error)}{needs})") from None
    if not converted:
        return loaded
    files = {file for kind, file in loaded.vocab_files_names.items() if kind != "tokenizer_file"}
    if not files or not all(_find(name, file, local) for file in files):  # transformers makes up the rest
        raise ValueError(f"{name!r} has no {FILE}" + (f", nor {' and '.join(sorted(files))}" if files else ""))
    return loaded


def check_files(folder: Path) -> None:
    """See that what transformers reads of a folder ends, in bounded memory: no pipe, nothing huge.

    A name on the hub is no folder, and passes. Raises OSError and ValueError.
    """
    for pattern in _READ if folder.is_dir() else ():
        for path in folder.glob(pattern):
            check_file(path, _MOST_BYTES)


def plain(tokenizer: Any) -> Backend:
    """The rules of a tokenizer: nothing is put around a text, cut off or filled up, and nothing is drawn at random.

    Raises ValueError for a tokenizer that is not a fast one of transformers'.
    """
    backend = _uncut(tokenizer)
    backend.post_processor = None
    return backend


def beginning(tokenizer: Any, text: str) -> list[int]:
    """The tokens that a tokenizer itself puts before a text, such as <s>. Raises ValueError as `plain` does."""
    backend = _uncut(tokenizer)
    with one_line():
        encoding = backend.encode(text)
    own = [place for place, sequence in enumerate(encoding.sequence_ids) if sequence is not None]
    return encoding.ids[: own[0]] if own else []


def reason_of(error: Exception) -> str:
    """What an error says, in one line of at most 200 characters, cut after a whole sentence if possible."""
    reason = " ".join(str(error).split()) or type(error).__name__
    return reason if len(reason) <= 200 else reason[:200].rpartition(". ")[0] or reason[:200]


def _uncut(tokenizer: Any) -> Backend:
    backend = getattr(tokenizer, "backend_tokenizer", None)
    if not isinstance(backend, Backend):
        raise ValueError(f"tokenizer: {type(tokenizer).__name__} is not a fast one; must have a {FILE}")
    state = json.loads(backend.to_str()) | {"truncation": None, "padding": None}
    if (growth := _growth(state["normalizer"])) > _GROWTH:
        raise ValueError(
            f"tokenizer: its normalizer makes texts {growth:.3g} times as long; at most {_GROWTH} is allowed"
        )
    if "dropout" in state["model"]:
        state["model"]["dropout"] = None
    return Backend.from_str(json.dumps(state))


def _growth(normalizer: dict[str, Any] | None) -> float:
    """How many times as long a normalizer can make a text, as far as its replacements tell.

    From the last step to the first, each character gets the length that the later steps make of it, so that
    replacements of different characters do not multiply.
    """
    known: dict[str, float] = {}
    others = 1.0
    for step in reversed(_steps(normalizer)):
        longest = max(others, *known.values(), 1.0)
        if step["type"] != "Replace":  # it may make any character of any other, as small letters of large ones
            known, others = {}, longest
            continue
        made = sum(known.get(character, others) for character in step["content"])
        if pattern := step["pattern"].get("String"):
            known |= {one: max(known.get(one, others), made / len(pattern)) for one in pattern}
        else:  # a regular expression may match any single character
            known, others = {}, max(longest, made)
    return max(others, *known.values(), 1.0)


def _steps(normalizer: dict[str, Any] | None) -> list[dict[str, Any]]:
    """The steps of a normalizer, in order."""
    if normalizer is None:
        return []
    if normalizer["type"] == "Sequence":
        return [step for part in normalizer["normalizers"] for step in _steps(part)]
    return [normalizer]


def _check_numbers(backend: Backend) -> None:
    """Raises ValueError for a token of a large number: what writes a tokenizer fills up all numbers below it."""
    if (largest := max(backend.get_vocab().values(), default=0)) >= MOST_TOKENS:
        raise ValueError(f"it has a token number {largest}; must be below {MOST_TOKENS}")


def _find(name: str, file: str, local: bool) -> str | None:
    """The path of a file of a folder, or of a name on the hub; None if it has none."""
    from transformers.utils import cached_file

    folder = Path(name)
    if folder.is_dir():
        return str(folder / file) if (folder / file).is_file() else None
    found: str | None = cached_file(name, file, local_files_only=local, _raise_exceptions_for_missing_entries=False)
    return found
