"""From a hospital's files to cases of a dataset."""
