"""miller-e2e as a method: what it says about itself, and what it recognises."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from e2eproxy.errors import RemoteError
from e2eproxy.methods.door import DOOR_VERSION, MethodError, Recognition
from e2eproxy.methods.miller import attacks, headers, wire
from e2eproxy.methods.miller.engine import MillerEngine
from e2eproxy.methods.miller.keys import NAME, PrivateKey, new_key
from e2eproxy.methods.miller.steering import COMMANDS
from e2eproxy.methods.traits import Carries, Claim, Claims, Scope, Traits, Wire
from e2eproxy.xmpp.names import SEPARATOR

if TYPE_CHECKING:
    from collections.abc import Callable

    from e2eproxy.methods.door import Context, Forgery, Stolen, Transcript
    from e2eproxy.xmpp.stanza import Stanza

_OURS: Final = frozenset({(headers.OWN, "keypush"), (headers.OWN, "vouch")})

TRAITS: Final = Traits(
    name=NAME,
    title="miller-e2e",
    standard="draft-miller-xmpp-e2e-07, with the JOSE of RFC 7515 to 7518",
    summary="whole stanzas, signed and encrypted under keys that each device asks for",
    carries=Carries.STANZA,
    scope=Scope.CONTACT,
    kinds=frozenset({"chat", "bodyless", "directed-presence", "iq"}),
    wire=Wire(
        elements=frozenset({(wire.NAMESPACE, "e2e")}) | _OURS,
        iq_elements=frozenset({(wire.NAMESPACE, "keyreq")}),
        at_once=frozenset({(wire.NAMESPACE, "keyreq")}),
        eme=wire.NAMESPACE,
    ),
    features=(wire.ENCRYPTION, wire.SIGNATURES, headers.OWN),
    survives_offline=(
        "What was sent can be read for 30 days, if its author's program is online then or has handed the key over before."
    ),
    commands=COMMANDS,
    claims=Claims(
        authenticity=Claim(True, "signature"),
        integrity=Claim(True, "HMAC-SHA-512 and signature"),
        encryption=Claim(True, "whole stanza"),
        forward_secrecy=Claim(False),
        malleable_encryption=Claim(False, "signed"),
        one_to_one=Claim(True),
        group_chat=Claim(False),
        online_chats=Claim(True),
        offline_messages=Claim(True, "if the author is online, or handed the key over"),
        multiple_resources=Claim(True, "each device asks for the key"),
        discovery_of_support=Claim(True, "service discovery"),
        replay_protection=Claim(True, "time, and what was opened is remembered"),
        recovery=Claim(False),
    ),
)


def _new_key(_random: Callable[[int], bytes]) -> PrivateKey:
    """A new key; OpenSSL takes no randomness from outside for it."""
    return new_key()


class MillerMethod:
    """The method; see the module. *make* makes a key out of randomness: tests have theirs made beforehand."""

    traits = TRAITS
    door_version = DOOR_VERSION

    def __init__(self, make: Callable[[Callable[[int], bytes]], PrivateKey] = _new_key) -> None:
        """Keep *make*."""
        self._make = make

    def engine(self, context: Context) -> MillerEngine:
        """Make an account's engine."""
        return MillerEngine(context, self._make)

    def recognise(self, stanza: Stanza) -> Recognition:
        """One encrypted or signed part that can be taken apart is complete, and so are requests for keys; damaged ones are marked."""
        try:
            return _recognised(stanza)
        except RemoteError:
            return Recognition.NONE

    def open_recorded(self, stolen: Stolen, transcript: Transcript) -> tuple[str, ...]:
        """Unwrap every key that went over the wire, and try all keys on everything."""
        return attacks.open_recorded(stolen, transcript)

    def forge(self, transcript: Transcript, accomplice: Stolen | None) -> Forgery | None:  # noqa: ARG002 - nobody can
        """There is no way: every text is signed."""
        return None


def _recognised(stanza: Stanza) -> Recognition:
    if stanza.kind == "iq" and stanza.type == "get" and stanza.child(wire.KEY_REQUEST) is not None:
        return Recognition.COMPLETE
    if stanza.kind == "message" and any(
        stanza.child(space + SEPARATOR + name) is not None for space, name in _OURS
    ):
        return Recognition.COMPLETE
    found = stanza.all(wire.E2E)
    if not found:
        return Recognition.NONE
    try:
        wire.layer_of(found[0])
    except MethodError:
        return Recognition.MARKED
    return Recognition.COMPLETE if len(found) == 1 else Recognition.MARKED
