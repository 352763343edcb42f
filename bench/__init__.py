"""Measures rbee side by side with what a user would pick instead. `python -m bench [names…] [--rounds N] [--quick]`.

Every scenario is a file in `bench/scenarios/` and a line in its table. Each starts what it needs on loopback, in a temporary
folder, and ends it. Medians and ratios go to `RESULTS.md`, every number to `results.json`; a run of some scenarios leaves the
rest as they were.
"""
