"""Steps that keep every patient private: sampled, clipped, noised, and checked before release."""
