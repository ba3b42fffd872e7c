"""Consoles and records that listen to the events of a run."""

from fedvox.server.watch.choose import MODES, Mode, many, watch_for

__all__ = ["MODES", "Mode", "many", "watch_for"]
