"""The kinds table: what each setting does with each kind of stanza a client can send (law 1).

It is data, so that ``e2eproxy policy``, the documentation and the tests read the same rows. Law 1 in a table: a kind
without a row is refused, and so is every stanza while nobody knows what was set.
"""

from __future__ import annotations

import enum
from typing import Final

from attrs import frozen


class Setting(enum.Enum):
    """When to encrypt; ``UNKNOWN`` is never set by anybody: it is what an unreadable store says."""

    REQUIRE = "require"
    PREFER = "prefer"
    ACCEPT = "accept"
    NEVER = "never"
    UNKNOWN = "unknown"


class Kind(enum.Enum):
    """What an outbound stanza is, as far as policy is concerned."""

    CHAT = "chat"
    SIGNAL = "signal"
    BODYLESS = "bodyless"
    SELF = "self"
    MUC_PRIVATE = "muc-private"
    GROUP_CHAT = "groupchat"
    ROOM_REQUEST = "room-request"
    MULTICAST = "multicast"
    ENCRYPTED = "client-encrypted"
    ERROR = "error"
    PRESENCE = "presence"
    DIRECTED_PRESENCE = "directed-presence"
    SUBSCRIPTION = "subscription"
    ROOM_PRESENCE = "room-presence"
    IQ_HARMLESS = "iq-harmless"
    IQ = "iq"
    IQ_RESULT = "iq-result"
    IQ_RESULT_OF_ITSELF = "iq-result-of-itself"
    KEY_REQUEST = "key-request"
    ROOM_IQ = "room-iq"
    TRANSFER = "transfer"
    UPLOAD = "upload"
    ARCHIVING = "archiving"
    ROSTER = "roster"
    VCARD = "vcard"
    PRIVATE = "private-storage"
    PEP = "pep"
    OWN_IQ = "own-iq"
    OWN_IQ_UNKNOWN = "own-iq-unknown"
    PROXY = "proxy"
    NONZA = "nonza"
    BAD_ADDRESS = "bad-address"
    UNKNOWN = "unknown"


class Treatment(enum.Enum):
    """What a setting does with a kind; what that comes to depends on the contact's methods (``policy.OUTCOMES``)."""

    MUST = "encrypted, else refused"
    SHOULD = "encrypted where possible, else in clear"
    MAY = "encrypted in a session that is there, else in clear"
    REST_MUST = "encrypted, else with what is allowed and no more"
    REST_SHOULD = "encrypted where possible, in clear to contacts without any method, else with what is allowed and no more"
    REST_MAY = "in a session encrypted, or with what is allowed and no more; else in clear"
    INSIDE_OR_TRIM = "encrypted in a session that is there, else with what is allowed and no more"
    INSIDE_OR_PASS = "encrypted in a session that is there, else as it came"  # noqa: S105 - no password
    PASS = "passes"  # noqa: S105 - no password
    TRIM = "passes with what is allowed and no more"
    BARE = "passes as the bare condition"
    REFUSE = "refused"
    TAKE = "taken by the proxy"


class Whose(enum.Enum):
    """Whose setting is asked."""

    CONTACT = "contact"
    ROOM = "room"
    ACCOUNT = "account"
    RECIPIENTS = "strictest of the recipients"
    NOBODY = "nobody"


@frozen(kw_only=True)
class Row:
    """One kind's row.

    *visible*: what the server sees in clear even under ``require`` ("" for nothing of the user's). *sticky*: to a
    contact remembered as encrypted it is treated as under ``require`` until the user says otherwise. *answer*: it answers
    a stanza, so if that one was delivered decrypted it is protected like it or stripped. *condition*: of the error.
    """

    what: str
    whose: Whose
    require: Treatment
    prefer: Treatment
    accept: Treatment
    never: Treatment
    unknown: Treatment
    visible: str
    sticky: bool
    answer: bool
    condition: str

    def treatment(self, setting: Setting) -> Treatment:
        """Return what *setting* does with this kind."""
        by_setting: dict[Setting, Treatment] = {
            Setting.REQUIRE: self.require,
            Setting.PREFER: self.prefer,
            Setting.ACCEPT: self.accept,
            Setting.NEVER: self.never,
            Setting.UNKNOWN: self.unknown,
        }
        return by_setting[setting]


def _row(
    what: str,
    whose: Whose,
    treatments: str,
    *,
    visible: str = "",
    sticky: bool = False,
    answer: bool = False,
    condition: str = "policy-violation",
) -> Row:
    """Make a row; *treatments* names those of require, prefer, accept, never and unknown, in this order."""
    require, prefer, accept, never, unknown = (Treatment[name] for name in treatments.split())
    return Row(
        what=what,
        whose=whose,
        require=require,
        prefer=prefer,
        accept=accept,
        never=never,
        unknown=unknown,
        visible=visible,
        sticky=sticky,
        answer=answer,
        condition=condition,
    )


_TO_ITSELF: Final = "what the user keeps at the own server: the server has to read it to serve it"

KINDS: Final[dict[Kind, Row]] = {
    Kind.CHAT: _row(
        "a message with a body, to a contact or a service",
        Whose.CONTACT,
        "MUST SHOULD MAY PASS REFUSE",
        sticky=True,
    ),
    Kind.SIGNAL: _row(
        "a message with nothing but children of the allow-list: chat states, receipts, markers",
        Whose.CONTACT,
        "INSIDE_OR_TRIM INSIDE_OR_PASS INSIDE_OR_PASS PASS TRIM",
        answer=True,
    ),
    Kind.BODYLESS: _row(
        "any other message without a body: real-time text, reactions, a subject, direct invitations",
        Whose.CONTACT,
        "REST_MUST REST_SHOULD REST_MAY PASS REFUSE",
        sticky=True,
    ),
    Kind.SELF: _row(
        "a message to one's own address, or without `to`",
        Whose.CONTACT,
        "MUST SHOULD MAY PASS REFUSE",
        sticky=True,
    ),
    Kind.MUC_PRIVATE: _row(
        "a private message to an occupant of a room",
        Whose.ROOM,
        "MUST SHOULD MAY PASS REFUSE",
        sticky=True,
    ),
    Kind.GROUP_CHAT: _row(
        "a message to all of a room", Whose.ROOM, "MUST SHOULD MAY PASS REFUSE", sticky=True
    ),
    Kind.ROOM_REQUEST: _row(
        "a message to a room itself: mediated invitations, requests for voice",
        Whose.ROOM,
        "REFUSE PASS PASS PASS REFUSE",
    ),
    Kind.MULTICAST: _row(
        "a stanza with XEP-0033 addresses",
        Whose.RECIPIENTS,
        "REFUSE PASS PASS PASS REFUSE",
        sticky=True,
    ),
    Kind.ENCRYPTED: _row(
        "a stanza that the client encrypted itself",
        Whose.NOBODY,
        "TRIM TRIM TRIM TRIM TRIM",
    ),
    Kind.ERROR: _row(
        "an error the client answers with, which may echo what was delivered to it",
        Whose.CONTACT,
        "BARE PASS PASS PASS BARE",
        sticky=True,
        answer=True,
    ),
    Kind.PRESENCE: _row(
        "presence to everybody",
        Whose.ACCOUNT,
        "PASS PASS PASS PASS TRIM",
        visible="the status text and all else in it",
    ),
    Kind.DIRECTED_PRESENCE: _row(
        "presence to one contact",
        Whose.CONTACT,
        "TRIM PASS PASS PASS TRIM",
        visible="availability, priority and capabilities, but no status text",
    ),
    Kind.SUBSCRIPTION: _row(
        "a request for a presence subscription, or an answer to one",
        Whose.CONTACT,
        "TRIM PASS PASS PASS TRIM",
    ),
    Kind.ROOM_PRESENCE: _row(
        "presence to a room: joining, leaving, changing the nick",
        Whose.ROOM,
        "TRIM PASS PASS PASS TRIM",
        visible="the nick (it is the address), availability and the room's password, but no status text",
    ),
    Kind.IQ_HARMLESS: _row(
        "a disco, version, ping, time or last activity request without anything in it",
        Whose.CONTACT,
        "TRIM PASS PASS PASS TRIM",
    ),
    Kind.IQ: _row("any other request to a contact or a service", Whose.CONTACT, "MUST MAY MAY PASS REFUSE"),
    Kind.IQ_RESULT: _row(
        "the result of a contact's request",
        Whose.CONTACT,
        "BARE PASS PASS PASS BARE",
        sticky=True,
        answer=True,
    ),
    Kind.IQ_RESULT_OF_ITSELF: _row(
        "the result of a contact's disco, version, ping, time or last activity request",
        Whose.CONTACT,
        "PASS PASS PASS PASS BARE",
        visible="what the client's software says of itself",
        answer=True,
    ),
    Kind.KEY_REQUEST: _row(
        "a request for a contact's public keys, from a client that is known to encrypt itself",
        Whose.CONTACT,
        "TRIM PASS PASS PASS TRIM",
    ),
    Kind.ROOM_IQ: _row(
        "any other request to a room or its occupants", Whose.ROOM, "REFUSE PASS PASS PASS REFUSE"
    ),
    Kind.TRANSFER: _row(
        "Jingle, SI, IBB, bytestreams: files, calls and streams past any method",
        Whose.CONTACT,
        "REFUSE PASS PASS PASS REFUSE",
        sticky=True,
    ),
    Kind.UPLOAD: _row("a request for an upload slot", Whose.ACCOUNT, "REFUSE PASS PASS PASS REFUSE"),
    Kind.ARCHIVING: _row("XEP-0136 archiving", Whose.ACCOUNT, "REFUSE PASS PASS PASS REFUSE"),
    Kind.ROSTER: _row(
        "the roster",
        Whose.ACCOUNT,
        "PASS PASS PASS PASS REFUSE",
        visible=f"contacts, their names and groups; {_TO_ITSELF}",
    ),
    Kind.VCARD: _row(
        "the own vCard", Whose.ACCOUNT, "PASS PASS PASS PASS REFUSE", visible=f"the vCard; {_TO_ITSELF}"
    ),
    Kind.PRIVATE: _row(
        "private XML storage",
        Whose.ACCOUNT,
        "PASS PASS PASS PASS REFUSE",
        visible=f"bookmarks, notes and settings; {_TO_ITSELF}",
    ),
    Kind.PEP: _row(
        "publishing and reading at the own account (PEP)",
        Whose.ACCOUNT,
        "PASS PASS PASS PASS REFUSE",
        visible=f"the items; {_TO_ITSELF}",
    ),
    Kind.OWN_IQ: _row(
        "a request to the own account or server, of a known purpose",
        Whose.ACCOUNT,
        "PASS PASS PASS PASS REFUSE",
        visible="the request: forms of the server's commands, searches in the archive, block lists",
    ),
    Kind.OWN_IQ_UNKNOWN: _row(
        "any other request to the own account or server",
        Whose.ACCOUNT,
        "REFUSE PASS PASS PASS REFUSE",
    ),
    Kind.PROXY: _row(
        "anything to the proxy's own address, requests that name it (the archive, the roster, block lists), and lines that begin with /e2e",
        Whose.NOBODY,
        "TAKE TAKE TAKE TAKE TAKE",
    ),
    Kind.NONZA: _row(
        "an element that is no stanza and that the table of nonzas lets pass",
        Whose.NOBODY,
        "PASS PASS PASS PASS PASS",
        visible="the login, stream management, client state",
    ),
    Kind.BAD_ADDRESS: _row(
        "a stanza to what is no JID",
        Whose.NOBODY,
        "REFUSE REFUSE REFUSE REFUSE REFUSE",
        condition="jid-malformed",
    ),
    Kind.UNKNOWN: _row(
        "whatever is none of the above",
        Whose.NOBODY,
        "REFUSE REFUSE REFUSE REFUSE REFUSE",
    ),
}

METHOD_KINDS: Final[dict[Kind, str]] = {
    Kind.CHAT: "chat",
    Kind.SELF: "chat",
    Kind.BODYLESS: "bodyless",
    Kind.SIGNAL: "bodyless",
    Kind.GROUP_CHAT: "groupchat",
    Kind.MUC_PRIVATE: "muc-private",
    Kind.DIRECTED_PRESENCE: "directed-presence",
    Kind.IQ: "iq",
    Kind.IQ_RESULT: "iq",
    Kind.IQ_RESULT_OF_ITSELF: "iq",
}
"""The kinds that a method may carry, as methods call them in their traits."""
