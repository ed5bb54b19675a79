"""What a trained model recalls: losses by role, bits, question answering, quantized copies."""

import basis  # noqa: F401  # what Ctrl-C does until the program runs
