"""`python -m fedvox.client.trainer`."""

import sys

from fedvox.client.trainer.process import main

if __name__ == "__main__":
    sys.exit(main())
