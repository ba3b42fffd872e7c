"""Where a simulation gets its images."""

from fedvox.simulations.sources.source import CaseRef, Source, open_source

__all__ = ["CaseRef", "Source", "open_source"]
