"""Fits and other pure functions of tables of runs."""
