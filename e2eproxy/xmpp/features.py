"""What of a server's ``<stream:features/>`` the client is shown.

Left out is what cannot work through the proxy, or would take stanzas past it; the rest stays byte for byte (law 2).
The mechanism list of SASL is never touched: XEP-0474 hashes it, and clients that see ``-PLUS`` missing say so to a
server that offered it.
"""

from __future__ import annotations

from typing import Final
from xml.parsers import expat

from e2eproxy.errors import StreamError
from e2eproxy.xmpp import names

#: TLS ends at the proxy; compressed stanzas could not be seen; stream management would count stanzas that the proxy
#: takes or adds; SASL2 with Bind 2 and FAST is not for sockets without TLS.
HIDDEN_NAMESPACES: Final = frozenset((names.TLS, names.COMPRESS_FEATURE, names.SM2, names.SM3, names.SASL2))


def shown(root: bytes, raw: bytes) -> bytes:
    """Return the features element *raw* without the hidden ones; *root* is the start tag of its stream.

    Raises StreamError where *raw* is not well-formed; a slice cut by the framer always is.
    """
    starts: list[tuple[int, bool]] = []
    end = 0
    depth = 0
    base = len(root)
    parser = expat.ParserCreate("utf-8", names.SEPARATOR)
    parser.ordered_attributes = True

    def start_element(name: str, _attributes: list[str]) -> None:
        nonlocal depth
        depth += 1
        if depth == 2:
            hidden = names.split_name(name)[0] in HIDDEN_NAMESPACES
            starts.append((parser.CurrentByteIndex - base, hidden))

    def end_element(_name: str) -> None:
        nonlocal depth, end
        depth -= 1
        if depth == 0:
            end = parser.CurrentByteIndex - base

    try:
        parser.Parse(root, False)
        parser.StartElementHandler = start_element
        parser.EndElementHandler = end_element
        parser.Parse(raw, False)
    except expat.ExpatError as error:
        raise StreamError("not-well-formed", f"The server's features are not well-formed: {error}.") from None
    return _without_hidden(raw, starts, end)


def _without_hidden(raw: bytes, starts: list[tuple[int, bool]], end: int) -> bytes:
    """Cut each hidden child out, up to where the next one, or the end tag, begins."""
    if not any(hidden for _, hidden in starts):
        return raw
    edges = [start for start, _ in starts] + [end]
    kept = [raw[: edges[0]]]
    for (start, hidden), following in zip(starts, edges[1:], strict=True):
        if not hidden:
            kept.append(raw[start:following])
    return b"".join(kept) + raw[end:]
