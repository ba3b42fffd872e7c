"""A `fedvox` command that another one runs, and with which it ends."""

from __future__ import annotations

import sys

from fedvox.common.cli import main
from fedvox.common.supervised import die_with_parent

if __name__ == "__main__":
    die_with_parent()
    sys.exit(main(sys.argv[1:]))
