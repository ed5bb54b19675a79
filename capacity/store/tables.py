"""Tables of runs that anybody made: a file of CSV or Parquet, or folders of runs of this project.

In: paths. Out: a DataFrame, with the columns that the file has.
"""

import io
from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from basis.reading import read_file
from basis.text import printable, short
from capacity.store.records import load

MOST_BYTES = 1 << 28
"""Of a file, at most."""


def read_table(*paths: Path) -> pd.DataFrame:
    """One file, or all runs of some folders as trained (without quantized copies).

    Raises:
        ValueError: a path is not there, is neither a table nor a folder of runs, or there is more than one file.
        OSError: a file cannot be read.

    """
    files = [path for path in paths if not path.is_dir()]
    if not files:
        frame = load(*paths)
        if frame.empty:
            raise ValueError(f"table: {_named(paths)} has no finished run; must be a table, or a folder of runs")
        return frame[frame["quantization"] == "none"].reset_index(drop=True)
    if len(paths) > 1:
        raise ValueError(f"table: {_named(paths)} is not allowed; must be one file, or folders of runs")
    return _of_file(files[0])


def _of_file(path: Path) -> pd.DataFrame:
    try:
        content = read_file(path, MOST_BYTES)
    except FileNotFoundError:
        raise ValueError(f"table: {path} is not there; must be a file of CSV or Parquet, or a folder of runs") from None
    except ValueError as error:
        raise ValueError(f"table: {path} is not allowed; {error}") from None
    try:
        if content.startswith(b"PAR1"):
            return pd.read_parquet(io.BytesIO(content))
        return pd.read_csv(io.BytesIO(content))
    except (ValueError, OSError, OverflowError, MemoryError) as error:
        reason = short(printable(str(error).partition("\n")[0]), 200)
        raise ValueError(f"table: {path} is neither CSV nor Parquet ({reason})") from None


def _named(paths: Sequence[Path]) -> str:
    return short(", ".join(map(str, paths)), 200)
