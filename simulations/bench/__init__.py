"""What fedvox must reach, measured."""
