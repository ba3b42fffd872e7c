"""`python -m fedvox.server.coordinator`: what the supervisor of a coordinator keeps running."""

import sys

from fedvox.common.errors import FedvoxError
from fedvox.server.coordinator.process import main

try:
    sys.exit(main(sys.argv[1:]))
except FedvoxError as error:
    print(error, file=sys.stderr, flush=True)
    sys.exit(error.exit_status)
