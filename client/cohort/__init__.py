"""What this site tells of its patients before a study, as far as its policy allows."""
