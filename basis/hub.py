"""The Hugging Face hub, from a machine that may not reach it."""

from pathlib import Path

_SECONDS = 5.0


def out_of_reach(name: str) -> bool:
    """Whether `name` would have to come from the hub, and the hub does not answer.

    The hub's own client finds that out too, after 20 seconds and as many lines.
    """
    if Path(name).exists():
        return False
    from huggingface_hub import constants, snapshot_download  # slow to import
    from huggingface_hub.utils import HFValidationError, get_session

    try:
        snapshot_download(name, local_files_only=True)
        return False
    except HFValidationError:  # no name of the hub's, as whoever wants it will say
        return False
    except (OSError, ValueError):
        pass
    try:
        get_session().head(constants.ENDPOINT, timeout=_SECONDS)
    except Exception:  # of whichever client it uses
        return True
    return False
