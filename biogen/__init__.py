"""Synthetic people and what is written about them, as text and as token windows with a role for every token."""

import basis  # noqa: F401  # what Ctrl-C does until the program runs
