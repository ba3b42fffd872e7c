"""What a study spends of its patients' privacy: (sampling rate, noise, steps) -> epsilon."""
