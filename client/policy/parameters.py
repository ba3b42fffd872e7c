"""How many numbers a study's network has, without making any of them."""

from __future__ import annotations

from functools import lru_cache

from fedvox.common.study import Study, dump_study, parse_study


def count_parameters(study: Study) -> int:
    """Numbers in the network that a study asks for."""
    return _count(dump_study(study))


@lru_cache(maxsize=16)  # a study is not hashable, its text is
def _count(text: str) -> int:
    import torch

    from fedvox.common.tasks.task import task_for

    with torch.device("meta"):
        network = task_for(parse_study(text)).build()
    return sum(tensor.numel() for tensor in network.state_dict().values())
