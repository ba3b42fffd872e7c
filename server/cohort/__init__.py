"""What the sites of a consortium told of their patients, laid together into a study's contract."""
