"""Training on one CPU core by compiled kernels, behind the interface of the PyTorch path."""
