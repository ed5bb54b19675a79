"""What a trained model recalls: losses by role, bits, question answering, quantized copies."""

from runpy import run_path

run_path(f"{__path__[0]}/../basis/start.py")["start"]()  # before anything is imported
