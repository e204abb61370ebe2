"""Which top-level elements may pass, and what happens to the others: one table for each direction.

Part of law 1: what is not in the table does not go to the server. A client that asks for something it was never
offered gets that protocol's own failure, so that it goes on without it.
"""

from __future__ import annotations

from typing import Final, Literal

from attrs import frozen

from e2eproxy.proxy import client_settings
from e2eproxy.xmpp import names, stream

_FROM = names.SEPARATOR.join


@frozen
class Pass:
    """It goes on as it came."""


@frozen
class Drop:
    """It means nothing without the feature it belongs to, which is hidden: it is left out."""


@frozen
class Answer:
    """It gets ``raw``, in the name of the server; ``ends`` tells whether the stream is over then, ``why`` what the log says of it."""

    raw: bytes
    ends: bool = False
    why: str = ""


@frozen
class Refuse:
    """It ends the client's stream with this stream error."""

    condition: str
    text: str


Verdict = Pass | Drop | Answer | Refuse

PASS: Final = Pass()
DROP: Final = Drop()


def _sm_failed(namespace: str) -> Answer:
    return Answer(
        f"<failed xmlns='{namespace}'><feature-not-implemented xmlns='{names.STANZA_ERRORS}'/></failed>".encode()
    )


def _client_table() -> dict[str, Verdict]:
    table: dict[str, Verdict] = {
        # Most clients read no further than the failure; the error behind it is for those that do.
        _FROM((names.TLS, "starttls")): Answer(
            f"<failure xmlns='{names.TLS}'/>".encode()
            + stream.error("policy-violation", client_settings.STARTTLS),
            ends=True,
            why=client_settings.STARTTLS,
        ),
        _FROM((names.COMPRESS, "compress")): Answer(
            f"<failure xmlns='{names.COMPRESS}'><unsupported-method/></failure>".encode()
        ),
        _FROM((names.SASL2, "authenticate")): Answer(
            f"<failure xmlns='{names.SASL2}'><invalid-mechanism xmlns='{names.SASL}'/></failure>".encode()
        ),
        names.STREAM_ERROR: PASS,
    }
    for name in ("auth", "response", "abort"):
        table[_FROM((names.SASL, name))] = PASS
    for name in ("active", "inactive"):
        table[_FROM((names.CSI, name))] = PASS
    for namespace in (names.SM2, names.SM3):
        table[_FROM((namespace, "enable"))] = table[_FROM((namespace, "resume"))] = _sm_failed(namespace)
        table[_FROM((namespace, "r"))] = table[_FROM((namespace, "a"))] = DROP
    return table


_FROM_CLIENT: Final = _client_table()
_FROM_SERVER: Final = frozenset(
    (
        names.FEATURES,
        names.STREAM_ERROR,
        *(_FROM((names.SASL, name)) for name in ("challenge", "success", "failure")),
    )
)
_STANZA_LOCALS: Final = frozenset(names.split_name(name)[1] for name in names.STANZAS)


def from_client(name: str) -> Verdict:
    """Return what becomes of a client's top-level element *name*, while nobody is bound or if it is no stanza.

    Until an address is bound nobody knows whose policy holds, so no stanza passes but those of the login itself, which
    the caller has to have let pass (RFC 6120 section 4.9.3.12).
    """
    if name in names.STANZAS:
        return Refuse("not-authorized", "A client has to log in before it sends stanzas.")
    verdict = _FROM_CLIENT.get(name)
    if verdict is not None:
        return verdict
    namespace, local = names.split_name(name)
    if local in _STANZA_LOCALS:
        return Refuse("invalid-namespace", f"A client's stanzas are in the namespace {names.CLIENT}.")
    return Refuse("unsupported-stanza-type", f"There is no stanza <{local} xmlns='{namespace}'>.")


def from_server(name: str) -> Literal["pass", "drop"]:
    """Return what becomes of a server's top-level element *name*."""
    return "pass" if name in names.STANZAS or name in _FROM_SERVER else "drop"
