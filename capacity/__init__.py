"""What to run, how it runs, what came out: where the other parts meet."""

import basis  # noqa: F401  # what Ctrl-C does until the program runs
