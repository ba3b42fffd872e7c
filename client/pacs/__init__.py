"""Images from a PACS: what it pushes, and what is pulled from it."""
