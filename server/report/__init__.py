"""What the researcher looks at after a run."""
