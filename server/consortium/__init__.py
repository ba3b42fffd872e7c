"""The authority of a consortium: who belongs to it."""
