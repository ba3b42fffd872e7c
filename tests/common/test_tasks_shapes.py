import subprocess
import sys

from torch import nn

from fedvox.common.tasks.shapes import walk_through


def shapes(edge: int) -> list[tuple[int, ...]]:
    seen: list[tuple[int, ...]] = []

    def make() -> nn.Module:
        return nn.Sequential(nn.Conv3d(1, 2, 3, stride=2, padding=1), nn.ConvTranspose3d(2, 3, 4))

    def watch(network: nn.Module) -> None:
        for layer in network.children():
            layer.register_forward_hook(lambda _, __, output: seen.append(tuple(output.shape)))

    walk_through(make, (1, edge, edge, edge), watch)
    return seen


def test_shapes_of_small_and_large_images() -> None:
    assert shapes(8) == [(1, 2, 4, 4, 4), (1, 3, 7, 7, 7)]
    assert shapes(2000) == [(1, 2, 1000, 1000, 1000), (1, 3, 1003, 1003, 1003)]


def test_building_a_network_loads_neither_the_compiler_nor_all_of_monai() -> None:
    code = (
        "import sys\n"
        "from fedvox.client.training.learner import Learner\n"
        "from fedvox.common.study import Study\n"
        "from fedvox.simulations.memory import needed_bytes\n"
        "study = Study.model_validate({'task': {'classes': ('a', 'b')}})\n"
        "Learner(study); needed_bytes(study, 1)\n"
        "heavy = {'torch._dynamo', 'sympy', 'matplotlib', 'pandas', 'scipy.stats', 'monai.apps.tcia'}\n"
        "print(sorted(heavy & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
