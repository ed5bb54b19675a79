"""A model, an optimizer, a loop over windows, a checkpoint. Sees arrays of tokens, never people."""

from runpy import run_path

run_path(f"{__path__[0]}/../basis/start.py")["start"]()  # before anything is imported
