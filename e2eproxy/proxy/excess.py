"""What takes the place of a server's stanza that is over the limits and that something has to look into.

Ending the stream over it would let any contact lock a user out with one offline message; looking into it is what the
limits forbid. So law 4 applies: a readable placeholder, or an error that answers whoever asked.
"""

from __future__ import annotations

from typing import Final
from xml.sax.saxutils import quoteattr

from attrs import frozen

from e2eproxy.xmpp import names
from e2eproxy.xmpp.pieces import Element, Part

_SHOWN: Final = ("from", "to", "id", "type")
_WHY: Final = {
    "bytes": "it is too large",
    "depth": "its XML is nested too deep",
    "attributes": "one of its elements has too many attributes",
}


@frozen
class Replacement:
    """What goes to the client instead, and what goes to the server; either may be nothing."""

    to_client: bytes = b""
    to_server: bytes = b""


def replacement(stanza: Element | Part) -> Replacement:
    """Return what stands for *stanza*, which must be a message, presence or IQ."""
    why = _WHY[(stanza.excess or "bytes") if isinstance(stanza, Element) else "bytes"]
    given = {name: value for name in _SHOWN if (value := stanza.attribute(name)) is not None}
    if stanza.name == names.IQ:
        return _instead_of_iq(given, why)
    tag = names.split_name(stanza.name)[1]
    start = f"<{tag} xmlns='{names.CLIENT}'{_written(given)}"
    if stanza.name == names.MESSAGE and given.get("type") != "error":
        return Replacement(f"{start}><body>[A message could not be shown: {why}.]</body></message>".encode())
    return Replacement(f"{start}/>".encode())


def _instead_of_iq(given: dict[str, str], why: str) -> Replacement:
    kind = given.pop("type", "")
    given["type"] = "error"
    asked = kind in {"get", "set"}
    if asked:
        # The error goes back to whoever asked; the server fills in whom it is from.
        given["to"] = given.pop("from", "")
        given = {name: value for name, value in given.items() if value}
    raw = (
        f"<iq xmlns='{names.CLIENT}'{_written(given)}><error type='modify' code='406'>"
        f"<not-acceptable xmlns='{names.STANZA_ERRORS}'/>"
        f"<text xmlns='{names.STANZA_ERRORS}' xml:lang='en'>The stanza was refused: {why}.</text></error></iq>"
    ).encode()
    return Replacement(to_server=raw) if asked else Replacement(to_client=raw)


def _written(attributes: dict[str, str]) -> str:
    return "".join(f" {name}={quoteattr(value)}" for name, value in attributes.items())
