"""What every test may rely on, however the suite was started."""

import signal

# A suite started in the background of a shell inherits that Ctrl-C is ignored, and hands it on to
# the processes it starts; the tests of interruptions mean those that people can interrupt.
if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)
