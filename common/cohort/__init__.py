"""What a site may tell of its patients before a study, and how it is written down."""
