"""Proof by decoding: a model's probabilities as those of an arithmetic coder, which writes and reads people."""
