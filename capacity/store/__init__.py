"""Results: the folders of runs, their records, and one reader over any number of stores."""
