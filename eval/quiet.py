"""Imports and loads of other libraries without their messages.

torchao reports at its import every kernel that is made for another machine, and torch's pytree warns about
torchao; transformers draws a progress bar and prints a table of weights. None of it concerns a measurement whose
output is JSON. What goes wrong is raised all the same.
"""

import contextlib
import logging
import warnings
from collections.abc import Iterator

_TALKATIVE = ("torchao", "torch.utils._pytree", "transformers")


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Silence warnings, and the loggers of the talkative libraries below errors."""
    loggers = [logging.getLogger(name) for name in _TALKATIVE]
    levels = [logger.level for logger in loggers]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for logger in loggers:
            logger.setLevel(logging.ERROR)
        try:
            yield
        finally:
            for logger, level in zip(loggers, levels, strict=True):
                logger.setLevel(level)


@contextlib.contextmanager
def no_progress_bars() -> Iterator[None]:
    """Hide transformers' progress bars."""
    from transformers.utils import logging

    shown = logging.is_progress_bar_enabled()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        if shown:
            logging.enable_progress_bar()
