"""What coordinator, sites and simulations share: the study, the tasks, named tensors, the wire."""

__version__ = "0.1.0"
