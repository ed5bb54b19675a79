"""What to run, how it runs, what came out: where the other parts meet."""

from runpy import run_path

run_path(f"{__path__[0]}/../basis/start.py")["start"]()  # before anything is imported
