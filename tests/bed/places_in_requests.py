"""Places in IQs: to a contact, in answers to a contact, to the own account and server, to rooms and services."""

from __future__ import annotations

from bed.place import Place
from e2eproxy.proxy.kinds import Kind

_PUBSUB = "http://jabber.org/protocol/pubsub"
_COMMANDS = "http://jabber.org/protocol/commands"
_DISCO = "http://jabber.org/protocol/disco#info"
_FORM = "<x xmlns='jabber:x:data' type='submit'><field var='$c'><value>$c</value></field></x>"
_CONDITION = "<item-not-found xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/>"
_ERROR_TEXT = "<text xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'>$c</text>"


def _iq(content, what="get", to="to='$to'", stanza_id="id='$id'"):
    return f"<iq {to} type='{what}' {stanza_id}>{content}</iq>"


# Requests to a contact that a method would have to carry, as (name, type, payload).
REQUESTS = (
    ("unknown request", "get", "<query xmlns='urn:example:unknown'>$c</query>"),
    ("unknown command to a contact", "set", "<query xmlns='urn:example:unknown' what='$c'><a><b c='$c'/></a></query>"),
    ("name of a request", "get", "<$n xmlns='urn:example:unknown'/>"),
    ("namespace of a request", "get", "<query xmlns='urn:$n'/>"),
    ("form to a contact", "set", _FORM),
    ("command of a contact", "set", f"<command xmlns='{_COMMANDS}' node='$c'>{_FORM}</command>"),
    ("remote call", "set", "<query xmlns='jabber:iq:rpc'><methodCall><methodName>$c</methodName></methodCall></query>"),
    ("vCard request", "get", "<vCard xmlns='vcard-temp'><NOTE>$c</NOTE></vCard>"),
    ("node of a contact's items", "get", f"<pubsub xmlns='{_PUBSUB}'><items node='$c'/></pubsub>"),
    ("item for a contact's node", "set", f"<pubsub xmlns='{_PUBSUB}'><publish node='a'><item>$c</item></publish></pubsub>"),
    ("roster exchange", "set", "<x xmlns='http://jabber.org/protocol/rosterx'><item jid='a@b' name='$c'/></x>"),
    ("private storage of a contact", "set", "<query xmlns='jabber:iq:private'><x xmlns='urn:x'>$c</x></query>"),
    ("node of a discovery", "get", f"<query xmlns='{_DISCO}' node='$c'/>"),
    ("node of a discovery of items", "get", "<query xmlns='http://jabber.org/protocol/disco#items' node='$c'/>"),
    ("content of a discovery", "get", f"<query xmlns='{_DISCO}'><feature var='$c'/></query>"),
    ("text in a request for the version", "get", "<query xmlns='jabber:iq:version'>$c</query>"),
    ("version pushed", "set", "<query xmlns='jabber:iq:version'><name>$c</name></query>"),
    ("attribute of a ping", "get", "<ping xmlns='urn:xmpp:ping' note='$c'/>"),
    ("text in a ping", "get", "<ping xmlns='urn:xmpp:ping'>$c</ping>"),
    ("time of idling in a request", "get", "<query xmlns='jabber:iq:last' seconds='$c'/>"),
    ("key request with a word", "get", (f"<pubsub xmlns='{_PUBSUB}'><items node='eu.siacs.conversations.axolotl.devicelist'>"
     "<item id='$c'/></items></pubsub>")),
)  # fmt: skip

HARMLESS = (
    ("namespace declared on a ping", "<ping xmlns='urn:xmpp:ping' xmlns:q='urn:$n'/>"),
    ("prefix of a ping", "<$n:ping xmlns:$n='urn:xmpp:ping'/>"),
    ("text beside a ping", "$c<ping xmlns='urn:xmpp:ping'/>"),
    ("CDATA beside a ping", "<ping xmlns='urn:xmpp:ping'/><![CDATA[$n]]>"),
)

TRANSFERS = (
    ("name of a Jingle session", "<jingle xmlns='urn:xmpp:jingle:1' action='session-initiate' sid='$c'><content name='$c'/></jingle>"),
    (
        "file offered by Jingle",
        ("<jingle xmlns='urn:xmpp:jingle:1' sid='1'><content><description xmlns='urn:xmpp:jingle:apps:file-transfer:5'>"
        "<file><name>$c</name></file></description></content></jingle>"),
    ),
    (
        "file offered by SI",
        ("<si xmlns='http://jabber.org/protocol/si' id='1'><file xmlns='http://jabber.org/protocol/si/profile/file-transfer' "
        "name='$c' size='1'><desc>$c</desc></file></si>"),
    ),
    ("in-band bytes", "<data xmlns='http://jabber.org/protocol/ibb' sid='1' seq='0'>$c</data>"),
    ("name of a bytestream", "<query xmlns='http://jabber.org/protocol/bytestreams' sid='$c'/>"),
    ("URL sent out of band", "<query xmlns='jabber:iq:oob'><url>$c</url></query>"),
    ("small picture", "<data xmlns='urn:xmpp:bob' cid='$c'/>"),
    ("old call", "<session xmlns='http://www.google.com/session' id='$c'/>"),
)  # fmt: skip

# What the own server keeps or serves, as (name, kind, type, payload).
OWN = (
    ("private XML storage", Kind.PRIVATE, "set", "<query xmlns='jabber:iq:private'><n xmlns='urn:x'>$c</n></query>"),
    ("roster: a contact's name", Kind.ROSTER, "set", "<query xmlns='jabber:iq:roster'><item jid='$peer' name='$c'/></query>"),
    ("roster: a contact's group", Kind.ROSTER, "set",
     "<query xmlns='jabber:iq:roster'><item jid='$peer'><group>$c</group></item></query>"),
    ("vCard", Kind.VCARD, "set", "<vCard xmlns='vcard-temp'><FN>$c</FN></vCard>"),
    ("vCard, version 4", Kind.VCARD, "set", "<vcard xmlns='urn:ietf:params:xml:ns:vcard-4.0'><note><text>$c</text></note></vcard>"),
    ("PEP item", Kind.PEP, "set", f"<pubsub xmlns='{_PUBSUB}'><publish node='urn:x'><item id='$c'>$c</item></publish></pubsub>"),
    ("PEP node", Kind.PEP, "set", f"<pubsub xmlns='{_PUBSUB}'><create node='$c'/></pubsub>"),
    ("PEP node's settings", Kind.PEP, "set", f"<pubsub xmlns='{_PUBSUB}#owner'><configure node='a'>{_FORM}</configure></pubsub>"),
    ("block list", Kind.OWN_IQ, "set", "<block xmlns='urn:xmpp:blocking'><item jid='$n@a.test'/></block>"),
    ("report of abuse", Kind.OWN_IQ, "set",
     "<block xmlns='urn:xmpp:blocking'><item jid='a@a.test'><report xmlns='urn:xmpp:reporting:1'><text>$c</text></report></item></block>"),
    ("privacy list", Kind.OWN_IQ, "set", "<query xmlns='jabber:iq:privacy'><list name='$c'/></query>"),
    ("command of the server", Kind.OWN_IQ, "set", f"<command xmlns='{_COMMANDS}' node='announce'>{_FORM}</command>"),
    ("account's registration", Kind.OWN_IQ, "set", "<query xmlns='jabber:iq:register'><password>$c</password></query>"),
    ("search for people", Kind.OWN_IQ, "set", "<query xmlns='jabber:iq:search'><nick>$c</nick></query>"),
    ("search in the archive", Kind.OWN_IQ, "set", f"<query xmlns='urn:xmpp:mam:2' queryid='$c'>{_FORM}</query>"),
    ("push service", Kind.OWN_IQ, "set", f"<enable xmlns='urn:xmpp:push:0' jid='push.a.test' node='$c'>{_FORM}</enable>"),
    ("node of the server", Kind.OWN_IQ, "get", f"<query xmlns='{_DISCO}' node='$c'/>"),
    ("unknown request to the server", Kind.OWN_IQ_UNKNOWN, "set", "<query xmlns='urn:example:unknown'>$c</query>"),
    ("namespace of a request to the server", Kind.OWN_IQ_UNKNOWN, "get", "<query xmlns='urn:$n'/>"),
    ("name of a file to upload", Kind.UPLOAD, "get", "<request xmlns='urn:xmpp:http:upload:0' filename='$c' size='1'/>"),
    ("old upload", Kind.UPLOAD, "get", "<request xmlns='urn:xmpp:http:upload'><filename>$c</filename></request>"),
    ("archived collection", Kind.ARCHIVING, "set",
     "<save xmlns='urn:xmpp:archive'><chat with='a@b' subject='$c'><from secs='0'><body>$c</body></from></chat></save>"),
    ("archiving's settings", Kind.ARCHIVING, "set", "<pref xmlns='http://www.xmpp.org/extensions/xep-0136.html#ns'>$c</pref>"),
)  # fmt: skip

# What a client answers a request with, as (name, kind, payload, whether it leaves).
RESULTS = (
    ("unknown result", Kind.IQ_RESULT, "<query xmlns='urn:example:unknown'>$c</query>", False),
    ("form as a result", Kind.IQ_RESULT, _FORM, False),
    ("vCard as a result", Kind.IQ_RESULT, "<vCard xmlns='vcard-temp'><NOTE>$c</NOTE></vCard>", False),
    ("result beside another", Kind.IQ_RESULT, "<query xmlns='jabber:iq:version'/><x xmlns='urn:x'>$c</x>", False),
    ("result of a call", Kind.IQ_RESULT, "<jingle xmlns='urn:xmpp:jingle:1' sid='$c'/>", False),
    ("identity of the client", Kind.IQ_RESULT_OF_ITSELF, f"<query xmlns='{_DISCO}'><identity name='$c'/></query>", True),
    ("operating system of the client", Kind.IQ_RESULT_OF_ITSELF, "<query xmlns='jabber:iq:version'><os>$c</os></query>", True),
    ("reason of being idle", Kind.IQ_RESULT_OF_ITSELF, "<query xmlns='jabber:iq:last' seconds='1'>$c</query>", True),
    ("time zone of the client", Kind.IQ_RESULT_OF_ITSELF, "<time xmlns='urn:xmpp:time'><tzo>$c</tzo></time>", True),
)  # fmt: skip


def _to_contact():
    for name, what, payload in REQUESTS:
        yield Place(name=name, kind=Kind.IQ, template=_iq(payload, what))
    for name, payload in HARMLESS:
        yield Place(name=name, kind=Kind.IQ_HARMLESS, template=_iq(payload))
    for name, payload in TRANSFERS:
        yield Place(name=name, kind=Kind.TRANSFER, template=_iq(payload, "set"))
    upload = "<request xmlns='urn:xmpp:http:upload:0' filename='$c' size='1'/>"
    yield Place(
        name="name of a file for an upload service",
        kind=Kind.UPLOAD,
        template=_iq(upload, to="to='upload.$server'"),
    )
    ping = "<ping xmlns='urn:xmpp:ping'/>"
    for name, template in (
        ("second child of a request", _iq(f"{ping}<x xmlns='urn:x'>$c</x>")),
        ("request of an unknown type", _iq(f"{ping}", "$c")),
        ("request without a type", "<iq to='$to' id='$id'><query xmlns='urn:x'>$c</query></iq>"),
        ("request without an id", _iq("<query xmlns='urn:x'>$c</query>", stanza_id="")),
        ("text of a request without children", _iq("$c")),
    ):
        yield Place(name=name, kind=Kind.UNKNOWN, template=template)
    yield Place(
        name="request to oneself",
        kind=Kind.IQ,
        template=_iq("<query xmlns='urn:x'>$c</query>", to="to='$own'"),
    )
    yield Place(
        name="request to the proxy",
        kind=Kind.PROXY,
        template=_iq("<query xmlns='urn:x'>$c</query>", to="to='e2eproxy.localhost'"),
    )
    yield Place(
        name="request to a room",
        kind=Kind.ROOM_IQ,
        template=_iq("<query xmlns='http://jabber.org/protocol/muc#admin'><item nick='a' role='none'><reason>$c</reason>"
                     "</item></query>", "set", "to='$room'"),
    )  # fmt: skip
    yield Place(
        name="room's settings",
        kind=Kind.ROOM_IQ,
        template=_iq(
            f"<query xmlns='http://jabber.org/protocol/muc#owner'>{_FORM}</query>", "set", "to='$room'"
        ),
    )


def _to_own_server():
    for name, kind, what, payload in OWN:
        visible = kind in {Kind.PRIVATE, Kind.ROSTER, Kind.VCARD, Kind.PEP, Kind.OWN_IQ}
        yield Place(name=name, kind=kind, template=_iq(payload, what, to=""), visible=visible)
    unknown = "<query xmlns='urn:example:unknown'>$c</query>"
    for name, to in (("own account", "to='$me'"), ("own server", "to='$server'")):
        template = _iq(unknown, to=to)
        yield Place(name=f"unknown request to the {name}", kind=Kind.OWN_IQ_UNKNOWN, template=template)


def _answers():
    for name, kind, payload, leaves in RESULTS:
        yield Place(name=name, kind=kind, template=_iq(payload, "result"), visible=leaves)
    for name, content in (
        (
            "error that echoes a request",
            f"<query xmlns='urn:x'>$c</query><error type='cancel'>{_CONDITION}</error>",
        ),
        ("text of a request's error", f"<error type='cancel'>{_CONDITION}{_ERROR_TEXT}</error>"),
        ("request's error that is none", "$c"),
    ):
        yield Place(name=name, kind=Kind.ERROR, template=_iq(content, "error"))
    for name, what, kind, content in (
        ("id of a result", "result", Kind.IQ_RESULT, "<query xmlns='urn:x'/>"),
        ("id of a request's error", "error", Kind.ERROR, f"<error type='cancel'>{_CONDITION}</error>"),
    ):
        template = _iq(content, what, stanza_id="id='$c'")
        yield Place(name=name, kind=kind, template=template)


def places() -> list[Place]:
    """Every place in an IQ."""
    return [place for group in (_to_contact, _to_own_server, _answers) for place in group()]
