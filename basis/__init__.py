"""Small things that serve all folders: flags, files, registries, the hub. Imports nothing of the project."""

from runpy import run_path

run_path(f"{__path__[0]}/start.py")["start"]()
