"""Whether an unfinished token is finished now, read once and byte by byte.

expat scans an unfinished token (a tag, an entity reference, a comment) again from its start each time bytes
arrive, so one long tag in small pieces costs time quadratic in its length. The framer therefore holds such
bytes back; what it needs to know is only whether the token ends in what has come. Each byte is looked at once,
however it was cut (law 6: a peer cannot buy our time).
"""

from __future__ import annotations

import re

_QUOTE_OR_END = re.compile(rb"[>'\"]")
_ENDS = (
    (b"<!--", b"-->"),
    (b"<![CDATA[", b"]]>"),
    (b"<?", b"?>"),
    (b"</", b">"),
    (b"<!", b">"),
    (b"&", b";"),
)


class UnfinishedToken:
    """A token whose end has not been seen.

    ``seen`` is the number of bytes looked at; ``feed`` takes the next ones.
    """

    __slots__ = ("_end", "_quote", "_tail", "seen")

    def __init__(self, start: bytes) -> None:
        """Take the bytes there are so far, from the token's first one; at least nine of them, to tell its kind."""
        self._end: bytes | None = None
        for opening, end in _ENDS:
            if start.startswith(opening):
                self._end = end
                break
        self._quote = b""
        self._tail = b""
        self.seen = 0
        self.feed(start if self._end is None else start[2:])

    def feed(self, data: bytes) -> bool:
        """Look at the next bytes; return whether the token ends in them. Not to be called after it did."""
        self.seen += len(data)
        return self._start_tag_ends(data) if self._end is None else self._delimiter_ends(data, self._end)

    def _delimiter_ends(self, data: bytes, end: bytes) -> bool:
        window = self._tail + data
        self._tail = window[1 - len(end) :] if len(end) > 1 else b""
        return end in window

    def _start_tag_ends(self, data: bytes) -> bool:
        # In a start tag ">" ends it only outside quotes; "<" cannot occur in either.
        at = 0
        while True:
            if self._quote:
                at = data.find(self._quote, at) + 1
                if not at:
                    return False
                self._quote = b""
            found = _QUOTE_OR_END.search(data, at)
            if found is None:
                return False
            if found[0] == b">":
                return True
            self._quote = found[0]
            at = found.end()
