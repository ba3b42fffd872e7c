"""One strategy a file: pure functions over a frozen state."""
