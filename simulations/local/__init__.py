"""A whole consortium on one machine: real processes, real TLS, phantoms for patients."""
