"""The one tree of errors.

``LocalError``: we or our own user did it; its text says what to do about it.
``RemoteError``: a peer or a server did it; only these may leave a parser that reads remote input (law 6).
"""

from __future__ import annotations


class E2EProxyError(Exception):
    """The root; never raised itself. ``str()`` is a sentence for the user, without secrets or message text."""


class LocalError(E2EProxyError):
    """Our own, or our user's, doing: a bad setting, a port that is taken, a file that cannot be read."""


class RemoteError(E2EProxyError):
    """The other side's doing: a server that cannot be reached, bytes that are not a stream."""


class StreamError(RemoteError):
    """A stream has to end, with an RFC 6120 section 4.9.3 condition (``not-well-formed``) and a text for people."""

    def __init__(self, condition: str, text: str) -> None:
        """Keep *condition* (a defined-condition element's name) and *text* (a sentence, plain text)."""
        super().__init__(text)
        self.condition = condition
        self.text = text
