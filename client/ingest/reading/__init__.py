"""Image files of every kind as scans with their geometry."""
