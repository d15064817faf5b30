"""Batches: their sources, the runner and its executors, the files of results."""
