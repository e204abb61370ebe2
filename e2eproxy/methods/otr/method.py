"""OTR as a method: what it says about itself, and what it recognises."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from e2eproxy.methods.door import DOOR_VERSION, MethodError, Recognition
from e2eproxy.methods.otr import attacks, forms, messages
from e2eproxy.methods.otr.account import EME
from e2eproxy.methods.otr.engine import OtrEngine
from e2eproxy.methods.otr.outgoing import BODY, RESENT
from e2eproxy.methods.otr.own_key import NAME
from e2eproxy.methods.otr.steering import COMMANDS
from e2eproxy.methods.traits import Carries, Claim, Claims, Scope, Traits, Wire

if TYPE_CHECKING:
    from e2eproxy.methods.door import Context, Forgery, Stolen, Transcript
    from e2eproxy.xmpp.stanza import Stanza

TRAITS: Final = Traits(
    name=NAME,
    title="OTR",
    standard="Off-the-Record Messaging Protocol, versions 2 and 3 (XEP-0364)",
    summary="text in the body, a session by handshake between two resources, deniable; its key sizes are of 2004",
    carries=Carries.BODY,
    scope=Scope.PEER,
    kinds=frozenset({"chat"}),
    wire=Wire(body_prefixes=(forms.PREFIX,), body_marks=(forms.TAG,), eme=EME),
    survives_offline="Nothing: a session lives while both clients are online, and nothing can be written to one that is away.",
    resent=RESENT,
    commands=COMMANDS,
    claims=Claims(
        authenticity=Claim(True, "DSA signatures in the handshake, SMP"),
        integrity=Claim(True, "HMAC-SHA-1"),
        encryption=Claim(True, "body only, AES-128"),
        forward_secrecy=Claim(True, "new keys with each change of direction"),
        malleable_encryption=Claim(True, "anybody, once MAC keys are published"),
        one_to_one=Claim(True),
        group_chat=Claim(False),
        online_chats=Claim(True),
        offline_messages=Claim(False),
        multiple_resources=Claim(False, "one resource has the session"),
        discovery_of_support=Claim(False, "it has to ask: a query, or white space in a text"),
        replay_protection=Claim(True, "counters"),
        recovery=Claim(True, "after a round trip"),
    ),
)


class OtrMethod:
    """The method; see the module."""

    traits = TRAITS
    door_version = DOOR_VERSION

    def engine(self, context: Context) -> OtrEngine:
        """Make an account's engine."""
        return OtrEngine(context)

    def recognise(self, stanza: Stanza) -> Recognition:
        """One query, fragment or encoded message alone is complete; damaged ones, and offers in plain text, are marked."""
        to_one = stanza.kind == "message" and stanza.type != "groupchat"
        body = stanza.child(BODY) if to_one else None
        if body is None:
            return Recognition.NONE
        try:
            form = forms.form_of(body.node.text)
            if isinstance(form, forms.Encoded):
                messages.decode(form.value)
        except MethodError:
            return Recognition.MARKED
        if form is None:
            return Recognition.NONE
        whole = isinstance(form, forms.Query | forms.Fragment | forms.Encoded)
        return Recognition.COMPLETE if whole else Recognition.MARKED

    def open_recorded(self, stolen: Stolen, transcript: Transcript) -> tuple[str, ...]:
        """Try every stolen key on everything."""
        return attacks.open_recorded(stolen, transcript)

    def forge(self, transcript: Transcript, accomplice: Stolen | None) -> Forgery | None:  # noqa: ARG002 - anybody can
        """Alter a message whose MAC key was published."""
        return attacks.forge(transcript)
