"""What of a DICOM file may be known further in, and nothing else."""
