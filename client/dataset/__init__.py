"""The site's datasets: content-addressed, versioned, memory-mapped."""
