"""Language models that write texts for prompts: one behind an OpenAI-compatible address, or one of transformers'.

In: prompts. Out: texts, in the order of the prompts. A model's own code is never run, and a key is sent to the address
alone: redirections are refused.
"""

import json
import math
import os
import re
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from concurrent.futures import FIRST_EXCEPTION, Future, ThreadPoolExecutor, wait
from http.client import HTTPException
from pathlib import Path
from threading import Event
from typing import Any
from urllib.error import HTTPError, URLError
from urllib.parse import urlsplit
from urllib.request import HTTPRedirectHandler, Request, build_opener

from basis.hub import out_of_reach
from basis.reading import parse_json
from basis.text import printable, short
from biogen.saved import reason_of

KEY = "OPENAI_API_KEY"
"""The environment variable that holds the key."""
_MOST_ANSWER = 1 << 20
"""Bytes of an answer, at most."""
_AGAIN = frozenset({408, 409, 425, 429, 500, 502, 503, 504})
"""Statuses of HTTP after which a request is sent again."""
_HUB_NAME = re.compile(r"[\w.-]+(/[\w.-]+)?")
_TRIES = 6
_PAUSE = 1.0
"""Seconds, which double before each repetition."""
_MOST_PAUSE = 60.0
"""Seconds that an answer may ask to wait for before a repetition."""


class WriterFailed(Exception):
    """A model that does not answer; what it wrote before is kept."""


class Writer(ABC):
    """A language model."""

    batch: int
    """Prompts that it takes at a time."""

    @abstractmethod
    def write(self, prompts: Sequence[str]) -> Iterator[tuple[int, str]]:
        """The place of each prompt in the list, and its text.

        Raises WriterFailed, and ValueError for a mistake in the options, after all texts that are there.
        """


class AddressWriter(Writer):
    """A model behind an address that speaks OpenAI's protocol of chat completions."""

    def __init__(
        self,
        url: str,
        model: str,
        *,
        temperature: float,
        most_tokens: int,
        batch: int,
        seconds: float,
    ) -> None:
        """seconds: how long an answer may take. Raises ValueError for the url, and for a key that cannot be sent."""
        if not _is_address(url):
            raise ValueError(f"url: {url!r:.200} is not allowed; must be such as http://localhost:8000/v1")
        self.batch, self._seconds, self._stopped = batch, seconds, Event()
        self._url = f"{url.rstrip('/')}/chat/completions"
        self._request = {"model": model, "temperature": temperature, "max_tokens": most_tokens}
        self._headers = {"Content-Type": "application/json"}
        if key := os.environ.get(KEY):
            if not key.isascii() or not key.isprintable():
                raise ValueError(f"{KEY}: the key in the environment is not allowed; must be printable ASCII")
            self._headers["Authorization"] = f"Bearer {key}"
        self._open = build_opener(_NoRedirections).open

    def write(self, prompts: Sequence[str]) -> Iterator[tuple[int, str]]:
        """The texts for prompts, asked for side by side; a failure or Ctrl-C waits for the answers under way alone."""
        wrong: BaseException | None = None
        answers: list[Future[str]] = []
        with ThreadPoolExecutor(max(1, len(prompts))) as pool:
            try:
                answers.extend(pool.submit(self._write, prompt) for prompt in prompts)
                ended = wait(answers, return_when=FIRST_EXCEPTION).done
                wrong = next((error for answer in ended if (error := answer.exception()) is not None), None)
            except KeyboardInterrupt as error:
                wrong = error
            if wrong is not None:
                self._stopped.set()
        yield from ((place, answer.result()) for place, answer in enumerate(answers) if answer.exception() is None)
        if wrong is not None:
            raise wrong

    def _write(self, prompt: str) -> str:
        reason, pause = "stopped", 0.0
        body = json.dumps(self._request | {"messages": [{"role": "user", "content": prompt}]}).encode()
        for attempt in range(_TRIES):
            if self._stopped.wait(pause):
                break
            pause = _PAUSE * 2.0 ** (attempt + 1)
            try:
                request = Request(self._url, body, self._headers)
                with self._open(request, timeout=self._seconds) as answer:
                    return _content(answer.read(_MOST_ANSWER + 1))
            except HTTPError as error:
                reason = f"HTTP status {error.code}"
                if error.code not in _AGAIN:
                    raise ValueError(f"url: {self._url} answers with {reason} ({_said(error)})") from None
                pause = max(pause, _asked_pause(error))
            except (URLError, OSError, HTTPException) as error:
                reason = reason_of(error)
        raise WriterFailed(f"{self._url} does not answer after {_TRIES} tries ({reason})")


def _is_address(url: str) -> bool:
    """Whether a text is the address of a server, to which a path can be added."""
    try:
        parts = urlsplit(url)
        well_formed = parts.port != 0  # reading a port that is none raises
    except ValueError:
        return False
    plain = url.isascii() and url.isprintable() and not set(" ?#") & set(url)
    return bool(well_formed and plain and parts.scheme in ("http", "https") and parts.hostname and not parts.username)


def _said(error: HTTPError) -> str:
    """The beginning of what an answer of failure says; empty if it breaks off."""
    try:
        said = error.read(2000).decode("utf-8", "replace")
    except (OSError, HTTPException):
        return ""
    key = os.environ.get(KEY)
    return short(printable(said.replace(key, "***") if key else said))


def _asked_pause(error: HTTPError) -> float:
    """The seconds that an answer asks to wait for before the request is sent again, at most `_MOST_PAUSE`."""
    asked = error.headers.get("Retry-After", "")
    return min(float(asked), _MOST_PAUSE) if asked.isascii() and asked.isdigit() else 0.0


class _NoRedirections(HTTPRedirectHandler):
    def redirect_request(self, *_: Any, **__: Any) -> None:
        """No request: the redirection is the answer, and an error."""
        return


def _content(answer: bytes) -> str:
    """The text of an answer. Raises ValueError for another answer than of this protocol."""
    try:
        if len(answer) > _MOST_ANSWER:
            raise ValueError
        content = parse_json(answer)["choices"][0]["message"]["content"]
        if content is not None and not isinstance(content, str):
            raise TypeError
    except (ValueError, LookupError, TypeError):
        said = printable(answer[:200].decode("utf-8", "replace")) or "it is empty"
        raise ValueError(f"url: its answer is not of the protocol of chat completions ({said})") from None
    return content or ""  # a model that refuses may say nothing


class LocalWriter(Writer):
    """A model of transformers' on this machine."""

    def __init__(self, name: str, *, temperature: float, most_tokens: int, batch: int, seed: int, device: str) -> None:
        """name: a folder, or a name on the hub. Raises ValueError with the reason in one line."""
        if not Path(name).is_dir() and not _HUB_NAME.fullmatch(name):
            raise ValueError(f"model: {name!r} is not a folder; must be one, or a name on the Hugging Face hub")
        if out_of_reach(name):
            raise ValueError(f"model: {name!r} is not on this machine, and the Hugging Face hub does not answer")
        from transformers import AutoModelForCausalLM, AutoTokenizer, set_seed  # slow to import

        try:
            safe: dict[str, Any] = {"trust_remote_code": False}
            self._tokenizer: Any = AutoTokenizer.from_pretrained(name, padding_side="left", **safe)
            self._model: Any = (
                AutoModelForCausalLM.from_pretrained(name, use_safetensors=True, **safe).eval().to(device)
            )
        except Exception as error:  # transformers raises many kinds for a bad folder
            raise ValueError(f"model: {name!r} cannot be loaded ({reason_of(error)})") from None
        if self._tokenizer.pad_token is None:
            if self._tokenizer.eos_token is None:
                raise ValueError(f"model: {name!r} is not allowed; its tokenizer must have an eos_token")
            self._tokenizer.pad_token = self._tokenizer.eos_token
        set_seed(seed % 2**32)
        self.batch = batch
        context = getattr(self._model.config, "max_position_embeddings", None) or math.inf
        self._most_prompt = context - most_tokens
        sampling = {"do_sample": True, "temperature": temperature} if temperature > 0 else {"do_sample": False}
        self._options = {"max_new_tokens": most_tokens, "pad_token_id": self._tokenizer.pad_token_id, **sampling}

    def write(self, prompts: Sequence[str]) -> Iterator[tuple[int, str]]:
        """The texts for prompts, in one batch."""
        if self._tokenizer.chat_template:
            say = [[{"role": "user", "content": prompt}] for prompt in prompts]
            prompts = self._tokenizer.apply_chat_template(say, tokenize=False, add_generation_prompt=True)
        tokens = self._tokenizer(list(prompts), return_tensors="pt", padding=True, return_token_type_ids=False)
        tokens = tokens.to(self._model.device)
        length = tokens["input_ids"].shape[1]
        if length > self._most_prompt:
            raise ValueError(
                f"model: its context is too short; a prompt of {length} tokens and the answer need "
                f"{length + self._options['max_new_tokens']}"
            )
        written = self._model.generate(**tokens, **self._options)[:, length:]
        texts: list[str] = self._tokenizer.batch_decode(written, skip_special_tokens=True)
        yield from enumerate(texts)
