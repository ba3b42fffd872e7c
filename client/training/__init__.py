"""The local training loop and what it needs."""
