"""Synthetic people and what is written about them, as text and as token windows with a role for every token."""

import signal
import sys

if sys.argv[:1] == ["-m"] and signal.getsignal(signal.SIGINT) is signal.default_int_handler:
    # A program is being imported, which can take seconds: until it runs (`biogen.flags.run_main`), Ctrl-C ends it at
    # once, without a traceback. Packages with programs of their own import this one first.
    signal.signal(signal.SIGINT, signal.SIG_DFL)
