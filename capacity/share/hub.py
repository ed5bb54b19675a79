"""The upload of folders to the Hugging Face hub, or to another server that speaks its interface (HF_ENDPOINT).

In: folders that `capacity.share.bundle` made, and an account. Out: a repository for each, with its address.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from huggingface_hub import HfApi, constants, get_token
from huggingface_hub.errors import HfHubHTTPError, HFValidationError
from huggingface_hub.utils import disable_progress_bars

from basis.text import printable, short
from capacity.share.bundle import Made, Places

HUB = "hub"
_ERRORS: Any = HfHubHTTPError.__bases__
"""The errors of the HTTP library of huggingface_hub, whichever it is, and OSError."""


def places_of(owner: str) -> Places:
    """What things are called in an account."""
    return Places(
        model=lambda name: f"{owner}/{name}",
        data=lambda name: f"{owner}/{name}",
        link=lambda name: f"{constants.ENDPOINT}/datasets/{owner}/{name}",
    )


def owner_of(to: str) -> str:
    """The account that `hub` or `hub:OWNER` means.

    Raises ValueError where nobody is logged in or the owner is no name, and RuntimeError where the hub does not answer.
    """
    if get_token() is None:
        raise ValueError("to: the hub needs a login first: `hf auth login`, or set HF_TOKEN")
    owner = to.removeprefix(HUB).removeprefix(":")
    if to == HUB:
        with _one_line():
            owner = str(HfApi().whoami()["name"])
    if not owner or "/" in owner:
        raise ValueError(f"to: {to!r} is not allowed; must be {HUB}, {HUB}:OWNER or a folder")
    return owner


def upload(made: Made, owner: str, *, private: bool = False) -> str:
    """Put a folder into the repository of its name; returns the address.

    A new repository is public unless `private`; one that is there keeps what it is. Raises ValueError for a name that
    the hub doesn't take, and RuntimeError where it refuses or does not answer.
    """
    api = HfApi()
    disable_progress_bars()
    with _one_line():
        repo = f"{owner}/{made.name}"
        address = api.create_repo(repo, repo_type=made.kind, private=private or None, exist_ok=True)
        api.upload_folder(
            repo_id=repo, repo_type=made.kind, folder_path=made.folder, commit_message="Written by capacity publish"
        )
    return str(address)


@contextmanager
def _one_line() -> Iterator[None]:
    """Errors of the hub in one line."""
    try:
        yield
    except HFValidationError as error:
        raise ValueError(f"to: {short(printable(error))}") from None
    except _ERRORS as error:
        raise RuntimeError(f"to: {constants.ENDPOINT} refused the upload: {_reason(error)}") from None


def _reason(error: Exception) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return short(printable(" ".join(lines) or type(error).__name__), 300)
