"""Checks whether the Hugging Face hub can have a name, and can be reached."""

from pathlib import Path

_SECONDS = 5.0


def may_be_on_hub(name: str) -> bool:
    """Whether `name` follows the hub's rules for names, and is nothing on this machine."""
    from huggingface_hub.utils import HFValidationError, validate_repo_id  # slow to import

    try:
        validate_repo_id(name)
    except HFValidationError:
        return False
    return not Path(name).exists()


def out_of_reach(name: str) -> bool:
    """Whether `name` must be downloaded from the hub while the hub does not answer.

    The hub's own client needs 20 seconds and 20 lines of output to find that out.
    """
    if Path(name).exists():
        return False
    from huggingface_hub import constants, snapshot_download  # slow to import
    from huggingface_hub.utils import HFValidationError, get_session

    try:
        snapshot_download(name, local_files_only=True)
        return False
    except HFValidationError:  # not a valid name; the caller reports it
        return False
    except (OSError, ValueError):
        pass
    try:
        get_session().head(constants.ENDPOINT, timeout=_SECONDS)
    except Exception:  # the kind depends on the HTTP client
        return True
    return False
