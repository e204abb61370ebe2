"""What a place is: somewhere in a stanza where a client can put text, as a template that a canary is put into."""

from __future__ import annotations

import base64
import re
import urllib.parse
from string import Template

from attrs import field, frozen

from e2eproxy.proxy.kinds import KINDS, Kind, Whose
from e2eproxy.testing.canary import Canary

_TO_CONTACT = re.compile(r"to='\$(?:to|peer)|jid='\$peer")
#: A text without the canary, for places that need one beside it.
BESIDE = "well met by moonlight"


@frozen(kw_only=True)
class Writing:
    """What a place is written with.

    *canary* is the token, *c* the token as this client writes it; *to* is the contact as this client spells it, *peer* its
    prepared bare JID. *opened_id* is the id of the message that is answered, *opened* its children as they were shown;
    *request_id* and *request* are the same of a request.
    """

    canary: str
    to: str
    c: str = ""
    peer: str = "juliet@example.test"
    own: str = "romeo@example.test/garden"
    me: str = "romeo@example.test"
    server: str = "example.test"
    room: str = "garden@rooms.example.test"
    id: str = "c1"
    opened_id: str = "o1"
    opened: str = ""
    request_id: str = "q1"
    request: str = ""

    def stanza(self, template: str) -> bytes:
        """Fill *template* in: ``$n`` is the bare token, which may be a name, ``$beside`` a text without it."""
        return (
            Template(template)
            .substitute(
                c=self.c or self.canary,
                n=self.canary,
                to=self.to,
                peer=self.peer,
                own=self.own,
                me=self.me,
                server=self.server,
                room=self.room,
                id=self.id,
                opened_id=self.opened_id,
                opened=self.opened,
                request_id=self.request_id,
                request=self.request,
                beside=BESIDE,
            )
            .encode()
        )


@frozen(kw_only=True)
class Place:
    """Somewhere a client can put text.

    *template*: the stanza; see ``Writing``. *kind*: what policy has to take it for. *visible*: under ``require`` the server
    sees the canary there, as the kind's row says. *beyond*: why no table can hide it, for what is told about a stanza by
    its being sent at all. *answers*: it answers a stanza of the contact's that was opened and shown. *no_stanza*: it is
    none, so it passes, ends the stream or is swallowed before policy is asked. *header*: it is the stream's header.
    """

    name: str
    kind: Kind
    template: str = field(repr=False)
    visible: bool = False
    beyond: str = ""
    answers: bool = False
    no_stanza: bool = False
    header: bool = False

    def stanza(self, writing: Writing) -> bytes:
        """The bytes the client writes."""
        return writing.stanza(self.template)

    @property
    def of_contact(self) -> bool:
        """Whether the contact's own setting is asked, because it goes to him, or to him among others."""
        whose = KINDS[self.kind].whose
        return whose in {Whose.CONTACT, Whose.RECIPIENTS} and _TO_CONTACT.search(self.template) is not None

    @property
    def needs(self) -> str:
        """What a method has to carry so that the canary can be there: a kind of stanza, "id" for an inner id, or ""."""
        if "$request" in self.template:
            return "iq"
        only_in_id = "$opened_id" in self.template and not re.search(r"\$(c|n|opened)\b", self.template)
        return "id" if only_in_id else ""

    @property
    def seen(self) -> str:
        """What the kinds table says the server sees."""
        return KINDS[self.kind].visible


def _entities(text: str, form: str) -> str:
    return "".join(form.format(ord(character)) for character in text)


def _coded(before: bytes, coder=base64.b64encode):
    return lambda token: coder(before + Canary(token).text().encode()).decode()


#: How a client may write the token where text or a value is expected: all well-formed XML.
SPELLINGS = {
    "raw": lambda token: token,
    "in capitals": str.upper,
    "a sentence": lambda token: f"The canary &amp; &lt;its&gt; &quot;cage&quot;: {token} &#252;",
    "decimal": lambda token: _entities(token, "&#{};"),
    "hexadecimal": lambda token: _entities(token, "&#x{:X};"),
    "percent-encoded": lambda token: _entities(token, "%{:02X}"),
    "in a URL": lambda token: "https://files.example.test/" + urllib.parse.quote(f"{token} ü") + ".png",
    "base64 at offset 0": _coded(b""),
    "base64 at offset 1": _coded(b"x"),
    "base64 at offset 2": _coded(b"xy"),
    "base64url": _coded(b"\xff\xfe", base64.urlsafe_b64encode),
}

#: Other ways to write the contact's address that reach the same person.
OTHER_SPELLINGS = (
    "juliet@example.test",
    "JULIET@EXAMPLE.TEST/balcony",
    "Juliet@Example.Test",
    "ｊｕｌｉｅｔ@example.test/balcony",  # noqa: RUF001 - full-width letters
    "juliet@example.test./balcony",
    "jul&#105;et@example.test/balcony",
    "ju\u00adliet@example.test",
)
