"""Where a server sends us on to: the see-other-host stream error (RFC 6120 section 4.9.3.19).

The proxy follows it itself, since a client that did would reach the server past the proxy.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from e2eproxy.xmpp import names
from e2eproxy.xmpp.tree import parse

if TYPE_CHECKING:
    from e2eproxy.xmpp.pieces import Element

_SEE_OTHER_HOST: Final = names.STREAM_ERRORS + names.SEPARATOR + "see-other-host"
_DEFAULT_PORT: Final = 5222
_LONGEST: Final = 300


def see_other_host(element: Element, root: bytes) -> tuple[str, int] | None:
    """Return host and port that the stream error *element* names, or None if it is another error.

    The host is as the server wrote it, to be checked by whoever connects; port 0 stands for one that is no number.
    """
    if element.name != names.STREAM_ERROR or element.excess is not None:
        return None
    condition = parse(root, element.raw).child(_SEE_OTHER_HOST)
    if condition is None:
        return None
    text = condition.text.strip()[:_LONGEST]
    host, colon, port = text.rpartition(":")
    if not colon or (text.count(":") > 1 and not host.endswith("]")):
        return text, _DEFAULT_PORT
    return host, int(port) if port.isascii() and port.isdigit() and len(port) < 6 else 0
