"""Small things that serve all folders: flags, files, the Hugging Face hub. Imports nothing of the project."""

import signal
import sys

if sys.argv[:1] == ["-m"] and signal.getsignal(signal.SIGINT) is signal.default_int_handler:
    # A program is being imported, which can take seconds: until it runs (`basis.flags.run_main`), Ctrl-C ends it at
    # once, without a traceback. Packages with programs of their own import this one first.
    signal.signal(signal.SIGINT, signal.SIG_DFL)
