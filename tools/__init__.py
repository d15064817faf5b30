"""Programs for this repository: its own pictures, endurance runs, and checks of its dependencies.

The endurance runs are `endurance`, with `_weather`, `_jobs`, `_measure` and `_virtual` beside it.
"""
