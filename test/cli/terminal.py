# terminal.py: runs a command on a terminal of its own. What comes in on stdin is typed, what the terminal shows goes to stdout.
import os
import pty
import sys

sys.exit(os.waitstatus_to_exitcode(pty.spawn(sys.argv[1:])))
