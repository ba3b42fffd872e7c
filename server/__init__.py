"""The coordinator: rounds, strategies, admission, checkpoints, reports."""
