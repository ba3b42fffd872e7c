"""A hospital: what trains on images that never leave, and what answers the coordinator."""
