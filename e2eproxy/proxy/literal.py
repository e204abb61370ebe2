"""A line that is meant as text though it looks like a word to the proxy: ``//e2e x`` is sent as ``/e2e x``.

The stanza is changed before anything is decided about it, so it passes policy like any other text (law 1); all else of it
stays as it was (law 2).
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from e2eproxy.proxy.allowed_children import BODY
from e2eproxy.proxy.classify import command
from e2eproxy.xmpp.stanza import escape_text

if TYPE_CHECKING:
    from e2eproxy.xmpp.stanza import Stanza

_ESCAPED: Final = re.compile(r"(\s*/*)/(/e2e(?:\s.*)?)", re.IGNORECASE | re.DOTALL)


def unescaped(text: str) -> str | None:
    """Return the literal line that *text* escapes, None if it escapes none: ``//e2e x`` is the text ``/e2e x``.

    One slash is taken off, so that ``///e2e`` is the text ``//e2e``.
    """
    found = _ESCAPED.fullmatch(text)
    return None if found is None else found[1] + found[2]


def literal(stanza: Stanza) -> Stanza | None:
    """Return the message *stanza* with the text that its bodies escape in their place, None if they escape nothing.

    One that has a command as well, in another body, is a command.
    Raises BadElement if it cannot be read.
    """
    if stanza.kind != "message" or stanza.type == "error" or command(stanza.tree) is not None:
        return None
    changed = {
        body: body.raw[: len(body.start_tag)] + escape_text(text).encode() + _end_tag(body.raw)
        for body in stanza.all(BODY)
        if (text := unescaped(body.text)) is not None
    }
    return stanza.changed(stanza.replaced(changed)) if changed else None


def _end_tag(raw: bytes) -> bytes:
    return raw[raw.rindex(b"</") :]
