"""A process that changes a store until it is killed, and says on standard output what it was told to be durable.

``python -m bed.store_child DATA URL FIRST``: change number i (from FIRST) writes two records and the counter, and a line
"i" appears only after its Deferred has fired.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from twisted.internet import reactor
from twisted.python.threadpool import ThreadPool

from bed.stores import ROMEO, Place
from e2eproxy.trust.values import MethodRecord
from e2eproxy.trust.writer import Writer

if TYPE_CHECKING:
    from e2eproxy.trust.transaction import Transaction

IN_FLIGHT = 5
METHOD = "kill"


def change(work: Transaction, number: int) -> int:
    """What has to be there as a whole or not at all."""
    for key, data in (
        (f"a {number}", b"1"),
        ("counter", b"%d" % number),
        (f"b {number}", bytes(number % 3000)),
    ):
        work.records.put(MethodRecord(account=ROMEO, method=METHOD, key=key, data=data))
    return number


def main(data: str, url: str, first: str) -> None:
    """Run until somebody kills it."""
    threads = ThreadPool(1, 3)
    writer = Writer(Place(Path(data), url or None).open(), threads, reactor.callFromThread)
    numbers = iter(range(int(first), 10**9))

    def fail(failure: object) -> None:
        os.write(2, f"{failure}\n".encode())
        os._exit(1)

    def go_on(told: int | None = None) -> None:
        if told is not None:
            os.write(1, b"%d\n" % told)
        number = next(numbers)
        writer.run(lambda work: change(work, number)).addCallbacks(go_on, fail)

    def begin(_: object) -> None:
        for _number in range(IN_FLIGHT):
            go_on()

    reactor.callWhenRunning(threads.start)
    writer.open_account(ROMEO, 1.0).addCallbacks(begin, fail)
    reactor.run()


if __name__ == "__main__":
    main(*sys.argv[1:])
