"""The bytes a stream begins, ends and fails with, where the proxy has to write them itself.

Texts come from errors and may hold what a server or a certificate said, so everything is escaped here.
"""

from __future__ import annotations

from typing import Final
from xml.sax.saxutils import escape, quoteattr

from e2eproxy.xmpp import names

END: Final = b"</stream:stream>"


def header(*, to: str | None = None, sender: str | None = None, stream_id: str | None = None) -> bytes:
    """Return a stream header (RFC 6120 section 4.7) with version 1.0 and the addresses given, domains as text."""
    about = ((" to", to), (" from", sender), (" id", stream_id))
    given = "".join(f"{name}={quoteattr(value)}" for name, value in about if value is not None)
    return (
        f"<?xml version='1.0'?><stream:stream{given} version='1.0'"
        f" xmlns='{names.CLIENT}' xmlns:stream='{names.STREAMS}'>"
    ).encode()


def error(condition: str, text: str) -> bytes:
    """Return a stream error (RFC 6120 section 4.9) without the end of the stream.

    *condition* is the local name of a defined condition; *text* is for people. Characters XML has no place for are
    replaced.
    """
    allowed = "".join(char if char in "\t\n" or char >= " " else "\N{REPLACEMENT CHARACTER}" for char in text)
    return (
        f"<stream:error xmlns:stream='{names.STREAMS}'><{condition} xmlns='{names.STREAM_ERRORS}'/>"
        f"<text xmlns='{names.STREAM_ERRORS}' xml:lang='en'>{escape(allowed)}</text></stream:error>"
    ).encode("utf-8", "replace")
