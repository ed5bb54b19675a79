"""Synthetic people and what is written about them, as text and as token windows with a role for every token."""
