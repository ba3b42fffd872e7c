"""Where a simulation gets its images."""
