"""Where a simulation gets its images."""

from fedvox.simulations.sources.opening import open_source
from fedvox.simulations.sources.source import CaseRef, Source

__all__ = ["CaseRef", "Source", "open_source"]
