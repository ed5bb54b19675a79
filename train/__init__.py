"""A model, an optimizer, a loop over windows, a checkpoint. Sees arrays of tokens, never people."""
