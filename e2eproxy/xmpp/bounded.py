"""A wait that ends: in time, and cleanly when it is cancelled.

Twisted's connecting Deferreds answer a cancellation with errors of their own, which a caller would take for a network
failure and go on; here a cancelled wait always fails with ``CancelledError``, one that ran out with ``TimeoutError``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

from twisted.internet.defer import Deferred
from twisted.python.failure import Failure

if TYPE_CHECKING:
    from twisted.internet.interfaces import IReactorTime

T = TypeVar("T")


def within(seconds: float, waited_for: Deferred[T], clock: IReactorTime) -> Deferred[T]:
    """Return a Deferred with the result of *waited_for*, which is cancelled with it or after *seconds*.

    It fails with twisted.internet.defer.TimeoutError or CancelledError then, else as *waited_for* does.
    """
    given_up = False

    def give_up(_outer: Deferred[T]) -> None:
        nonlocal given_up
        given_up = True
        waited_for.cancel()

    def forward(result: T | Failure) -> None:
        if given_up:
            return
        if isinstance(result, Failure):
            outer.errback(result)
        else:
            outer.callback(result)

    outer: Deferred[T] = Deferred(give_up)
    waited_for.addBoth(forward)
    if not outer.called:
        outer.addTimeout(seconds, clock)
    return outer
