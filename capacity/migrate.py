"""`python -m capacity.migrate FOLDER ...`: convert folders that earlier versions wrote to this version."""

import sys
from collections.abc import Sequence
from pathlib import Path

from basis.files import path_argument
from basis.flags import Parser, UserError, run_main
from basis.program import called_as


def main(arguments: Sequence[str] | None = None) -> int:
    """Migrate each folder. Raises UserError for one that cannot be."""
    parser = Parser(called_as("capacity.migrate"), description="Give runs of earlier versions new ids.")
    parser.add_argument("folder", nargs="+", type=path_argument, help="a sweep's folder, or one of published runs")
    folders: list[Path] = parser.parse_args(arguments).folder
    from capacity.store.folders import count_runs
    from capacity.store.migration import migrate

    for folder in folders:
        try:
            count, lines = migrate(folder)
        except (OSError, ValueError, LookupError, TypeError, AttributeError) as error:
            raise UserError([" ".join(str(error).split())]) from None
        print(f"{folder}: new ids for {count_runs(count)}")
        for line in lines:
            print(f"{folder}: {line}", file=sys.stderr)
    return 0


if __name__ == "__main__":
    run_main(main)
