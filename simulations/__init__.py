"""Consortia without hospitals: phantoms, public data, partitions, engines, baselines."""
