"""Every place where a client can put text: those of messages, presence and IQs, of their own tags, and of no stanza.

Data, so that the leak test, the test of the kinds table and the threat model read the same list.
"""

from __future__ import annotations

from bed import places_in_messages, places_in_presence, places_in_requests
from bed.place import Place
from bed.places_in_messages import CHAT_STATES
from e2eproxy.proxy.kinds import KINDS, Kind

_PING = "<ping xmlns='urn:xmpp:ping'/>"
_VERSION = "<query xmlns='jabber:iq:version'><name>a</name></query>"
_ERROR = "<error type='cancel'><gone xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></error>"

# A stanza of each sort that has a way out, as (name, kind, local name, attributes, content, whether all of it leaves).
_STANZAS = (
    ("message", Kind.CHAT, "message", "to='$to' type='chat'", "<body>$beside</body>", False),
    ("signal", Kind.SIGNAL, "message", "to='$to' type='chat'", f"<active xmlns='{CHAT_STATES}'/>", False),
    ("message to a room", Kind.GROUP_CHAT, "message", "to='$room' type='groupchat'", "<body>$beside</body>", False),
    ("error", Kind.ERROR, "message", "to='$to' type='error'", _ERROR, False),
    ("presence", Kind.PRESENCE, "presence", "", "<show>away</show>", True),
    ("directed presence", Kind.DIRECTED_PRESENCE, "presence", "to='$to'", "<show>away</show>", False),
    ("request for a subscription", Kind.SUBSCRIPTION, "presence", "to='$to' type='subscribe'", "", False),
    ("joining a room", Kind.ROOM_PRESENCE, "presence", "to='$room/romeo'",
     "<x xmlns='http://jabber.org/protocol/muc'/>", False),
    ("ping", Kind.IQ_HARMLESS, "iq", "to='$to' type='get'", _PING, False),
    ("ping of the server", Kind.OWN_IQ, "iq", "type='get'", _PING, True),
    ("result", Kind.IQ_RESULT, "iq", "to='$to' type='result'", "<query xmlns='urn:x'/>", False),
    ("version", Kind.IQ_RESULT_OF_ITSELF, "iq", "to='$to' type='result'", _VERSION, True),
    ("error of a request", Kind.ERROR, "iq", "to='$to' type='error'", _ERROR, False),
)  # fmt: skip

# What can be put into a stanza's own tag, as (name, attributes).
_TAGS = (
    ("language", "id='$id' xml:lang='x-$n'"),
    ("unknown attribute", "id='$id' note='$c'"),
    ("name of an unknown attribute", "id='$id' $n='1'"),
    ("attribute in a namespace", "id='$id' xmlns:q='urn:q' q:note='$c'"),
    ("declared namespace", "id='$id' xmlns:q='urn:$n'"),
    ("declared prefix", "id='$id' xmlns:$n='urn:q'"),
    ("from", "id='$id' from='$me/$n'"),
    ("id", "id='$c'"),
)


def _tags():
    for stanza, kind, local, attributes, content, leaves in _STANZAS:
        for name, more in _TAGS:
            if "id='$c'" in more and kind in {Kind.IQ_RESULT, Kind.ERROR}:
                continue  # among the answers
            yield Place(
                name=f"{name} of a {stanza}",
                kind=kind,
                template=f"<{local} {attributes} {more}>{content}</{local}>",
                visible=leaves,
            )
    for local, whom, kind, attributes, content, leaves in (
        ("message", "the contact", Kind.CHAT, "to='$to'", "<$n:body>$beside</$n:body>", False),
        ("presence", "everybody", Kind.PRESENCE, "", "", True),
    ):
        yield Place(
            name=f"prefix of a {local} to {whom}",
            kind=kind,
            template=f"<$n:{local} xmlns:$n='jabber:client' {attributes} id='$id'>{content}</$n:{local}>",
            visible=leaves,
        )
    for name, content, kind in (
        ("message", "<body>$beside</body>", Kind.CHAT),
        ("signal", f"<active xmlns='{CHAT_STATES}'/>", Kind.SIGNAL),
    ):
        yield Place(
            name=f"type of a {name}",
            kind=kind,
            template=f"<message to='$to' id='$id' type='$c'>{content}</message>",
        )


def _no_stanzas():
    for name, template, visible in (
        ("text in a client state", "<active xmlns='urn:xmpp:csi:0'>$c</active>", True),
        ("attribute of a client state", "<inactive xmlns='urn:xmpp:csi:0' note='$c'/>", True),
        ("text of a stream error", "<stream:error><text xmlns='urn:ietf:params:xml:ns:xmpp-streams'>$c</text></stream:error>", True),
        ("attribute of an acknowledgement", "<a xmlns='urn:xmpp:sm:3' h='1' note='$c'/>", False),
        ("text in a request for an acknowledgement", "<r xmlns='urn:xmpp:sm:3'>$c</r>", False),
        ("resumption", "<resume xmlns='urn:xmpp:sm:3' previd='$c' h='1'/>", False),
        ("login after the login", "<authenticate xmlns='urn:xmpp:sasl:2' mechanism='PLAIN'><initial-response>$c</initial-response></authenticate>", False),
        ("unknown element", "<x xmlns='urn:example:unknown'>$c</x>", False),
        ("stanza of a server", "<message xmlns='jabber:server' to='$to'><body>$c</body></message>", False),
        ("text between stanzas", "$c", False),
        ("comment between stanzas", "<!-- $n --><presence/>", False),
        ("comment in a body", "<message to='$to'><body>a<!-- $n -->b</body></message>", False),
        ("comment in a command", "<message to='$to'><body>/e2e help<!-- $n --></body></message>", False),
        ("processing instruction", "<?$n $n?>", False),
        ("document type", "<!DOCTYPE $n>", False),
        ("entity", "<message to='$to'><body>&$n;</body></message>", False),
    ):  # fmt: skip
        yield Place(name=name, kind=Kind.NONZA, template=template, visible=visible, no_stanza=True)


def _headers():
    """What a client says before anybody knows who it is: the server has to read it to let it in."""
    header = "<stream:stream to='$server' version='1.0' xmlns='jabber:client' xmlns:stream='http://etherx.jabber.org/streams' {}>"
    for name, attributes in (
        ("language of the stream", "xml:lang='x-$n'"),
        ("sender of the stream", "from='$me/$n'"),
        ("attribute of the stream", "note='$c'"),
        ("declared namespace of the stream", "xmlns:q='urn:$n'"),
    ):
        yield Place(
            name=name,
            kind=Kind.NONZA,
            template=header.format(attributes),
            visible=True,
            no_stanza=True,
            header=True,
        )


def _echoes():
    """What a client answers to a message that was opened and shown to it."""
    error = "<error type='cancel'><service-unavailable xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></error>"
    to = "to='$peer/balcony'"
    for name, kind, template in (
        ("error that echoes an opened message", Kind.ERROR,
         f"<message {to} type='error' id='$opened_id'>$opened{error}</message>"),
        ("error that quotes an opened message", Kind.ERROR,
         (f"<message {to} type='error' id='$id'><error type='cancel'><text xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'>$c</text>"
         "</error></message>")),
        ("error with an opened text as its id", Kind.ERROR, f"<message {to} type='error' id='$c'>{error}</message>"),
        ("presence's error that echoes an opened message", Kind.ERROR,
         f"<presence {to} type='error' id='$opened_id'>$opened{error}</presence>"),
        ("request's error that echoes an opened message", Kind.ERROR,
         f"<iq {to} type='error' id='$opened_id'>$opened{error}</iq>"),
        ("result that holds an opened message", Kind.IQ_RESULT, f"<iq {to} type='result' id='$opened_id'>$opened</iq>"),
        ("error that echoes an opened request", Kind.ERROR,
         f"<iq {to} type='error' id='$request_id'>$request{error}</iq>"),
        ("result that echoes an opened request", Kind.IQ_RESULT,
         f"<iq {to} type='result' id='$request_id'>$request</iq>"),
        ("result with an opened request's id", Kind.IQ_RESULT_OF_ITSELF, f"<iq {to} type='result' id='$request_id'/>"),
        ("version for an opened request", Kind.IQ_RESULT_OF_ITSELF,
         f"<iq {to} type='result' id='$request_id'><query xmlns='jabber:iq:version'><os>$c</os></query></iq>"),
        ("receipt for an opened message", Kind.SIGNAL,
         f"<message {to} id='$id'><received xmlns='urn:xmpp:receipts' id='$opened_id'/></message>"),
        ("marker for an opened message", Kind.SIGNAL,
         f"<message {to} id='$id'><displayed xmlns='urn:xmpp:chat-markers:0' id='$opened_id'/></message>"),
        ("receipt with an opened text as its id", Kind.BODYLESS,
         f"<message {to} id='$id'><received xmlns='urn:xmpp:receipts' id='$c'/></message>"),
        ("old event for an opened message", Kind.SIGNAL,
         f"<message {to} id='$id'><x xmlns='jabber:x:event'><displayed/><id>$opened_id</id></x></message>"),
        ("reply to an opened message", Kind.CHAT,
         f"<message {to} type='chat' id='$id'>$opened<reply xmlns='urn:xmpp:reply:0' id='$opened_id'/></message>"),
        ("opened message forwarded", Kind.BODYLESS,
         (f"<message {to} id='$id'><forwarded xmlns='urn:xmpp:forward:0'><message xmlns='jabber:client'>$opened</message>"
         "</forwarded></message>")),
    ):  # fmt: skip
        visible = name == "version for an opened request"
        yield Place(name=name, kind=kind, template=template, answers=True, visible=visible)


def _unique(places):
    by_name = {}
    for place in places:
        assert by_name.setdefault(place.name, place) is place, f"two places are called {place.name}"
    return tuple(by_name.values())


PLACES: tuple[Place, ...] = _unique(
    [
        *places_in_messages.places(),
        *places_in_presence.places(),
        *places_in_requests.places(),
        *_tags(),
        *_no_stanzas(),
        *_headers(),
        *_echoes(),
    ]
)
BY_NAME = {place.name: place for place in PLACES}


def rows() -> list[tuple[str, str, list[str]]]:
    """What the server sees under ``require``, as the threat model lists it: (kind, the table's words, names of places).

    The last rows are what no table can hide: their kind is ``any``.
    """
    found = []
    for kind in Kind:
        names = [place.name for place in PLACES if place.kind is kind and place.visible]
        if names:
            found.append((kind.value, KINDS[kind].visible, names))
    whys = dict.fromkeys(place.beyond for place in PLACES if place.beyond)
    return found + [("any", why, [place.name for place in PLACES if place.beyond == why]) for why in whys]
