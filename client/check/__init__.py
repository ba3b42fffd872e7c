"""Whether this site is ready for a study."""
