"""Part ``control``: what a relayed stanza waits while a hundred ask the control socket at the same time.

One client plays ping-pong with the echo server through e2eproxy: a stanza through and back has passed the daemon twice. Three
rows, turn and turn about on the same daemon: nobody asks; a hundred command lines (``e2eproxy status --json``, a process
each) run at the same time, again and again; a hundred connections ask for the status at the same time, each again as soon as it
is answered, which is more than any command line can. The daemon has a core to itself, the load and those who ask share the
others, so the p99 of the rows has in it what the load itself waits for a core; *alone* is the same load with as many
processes that ask nothing (``python -c pass``), and that is what the delay is counted from. Plain TCP on both sides.
"""

from __future__ import annotations

import sys
import threading
from typing import TYPE_CHECKING

from processes import LoadProcess, Process
from report import Verdict, differences, spread
from rows import Bench, alternated

if TYPE_CHECKING:
    from collections.abc import Callable

AT_ONCE = 100
AT_MOST_MS = 5
TLS = "none"
QUIET, CALLS, FLOOD = "nobody asks", "100 command lines", "100 connections"
