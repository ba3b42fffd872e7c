"""The process that sees images and has no network."""
