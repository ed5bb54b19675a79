"""What to run: presets, axes, identity, recipes, plan. Pure: nothing is read, written or timed here."""
