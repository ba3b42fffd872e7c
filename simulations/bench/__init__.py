"""Benchmarks: `python -m fedvox.simulations.bench NAME|all`."""
