"""Makes the Python modules of the contract: `python -m fedvox.client.contract.generate FOLDER`."""

from __future__ import annotations

import sys
from pathlib import Path

_PACKAGE = "fedvox/client/contract"
GENERATED = ("trainer_pb2.py", "trainer_pb2.pyi", "trainer_pb2_grpc.py")


def generate(folder: Path) -> None:
    """Writes the modules that trainer.proto stands for into a folder."""
    from tempfile import TemporaryDirectory

    from grpc_tools import protoc

    own = Path(__file__).parent
    with TemporaryDirectory() as scratch:
        outputs = [f"--{kind}_out={scratch}" for kind in ("python", "pyi", "grpc_python")]
        # Under the name by which the package is imported, wherever its folder stands.
        words = ["protoc", f"--proto_path={_PACKAGE}={own}", *outputs, f"{_PACKAGE}/trainer.proto"]
        if protoc.main(words):
            raise SystemExit("trainer.proto could not be compiled; protoc says why above")
        for name in GENERATED:
            (folder / name).write_bytes((Path(scratch) / _PACKAGE / name).read_bytes())


if __name__ == "__main__":
    generate(Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).parent)
