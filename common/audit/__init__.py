"""Signed logs of what happened, kept on both sides and checked offline."""
