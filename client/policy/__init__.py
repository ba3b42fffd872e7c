"""What this site allows, and which studies a person here has approved."""
