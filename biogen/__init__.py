"""Synthetic people and what is written about them, as text and as token windows with a role for every token."""

from runpy import run_path

run_path(f"{__path__[0]}/../basis/start.py")["start"]()  # before anything is imported
