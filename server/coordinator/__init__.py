"""Studies from proposal to result, and the processes that conduct them."""
