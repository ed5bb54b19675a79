"""The command line, the sweep, the store of runs, tables and plots: where the other parts meet."""

import biogen  # noqa: F401  # what Ctrl-C does until the program runs
