"""The options of runs: presets, axes, identity, recipes, plan. Nothing is written or timed here."""
