"""The command line, the sweep, the store of runs, tables and plots: where the other parts meet."""
