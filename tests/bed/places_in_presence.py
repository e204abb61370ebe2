"""Places in presence: to everybody, to one contact, to a room, and in requests for a subscription."""

from __future__ import annotations

from bed.place import Place
from e2eproxy.proxy.kinds import Kind

_MUC = "http://jabber.org/protocol/muc"
_CAPS = "http://jabber.org/protocol/caps"

# Children of presence, as (name, element, whether they leave though they have to be rewritten).
CHILDREN = (
    ("status", "<status>$c</status>", False),
    ("second status", "<status>$beside</status><status xml:lang='de'>$c</status>", False),
    ("language of a status", "<status xml:lang='x-$n'>$beside</status>", False),
    ("word of show", "<show>$c</show>", False),
    ("attribute of show", "<show note='$c'>away</show>", False),
    ("priority", "<priority>$c</priority>", False),
    ("nick", "<nick xmlns='http://jabber.org/protocol/nick'>$c</nick>", False),
    ("extension of the capabilities", f"<c xmlns='{_CAPS}' hash='sha-1' node='https://a.test' ver='AAAA' ext='$c'/>", False),
    ("hash's name of the capabilities", f"<c xmlns='{_CAPS}' hash='$c' node='https://a.test' ver='AAAA'/>", False),
    ("node of the capabilities", f"<c xmlns='{_CAPS}' hash='sha-1' node='$c' ver='AAAA'/>", False),
    ("child of the capabilities", f"<c xmlns='{_CAPS}' hash='sha-1' node='https://a.test' ver='AAAA'>$c</c>", False),
    ("program in the capabilities", f"<c xmlns='{_CAPS}' hash='sha-1' node='https://a.test/$n' ver='AAAA'/>", True),
    ("time of idling", "<idle xmlns='urn:xmpp:idle:1' since='$c'/>", False),
    ("last activity", "<query xmlns='jabber:iq:last' seconds='1'>$c</query>", False),
    ("hash of the picture", "<x xmlns='vcard-temp:x:update'><photo>$c</photo></x>", False),
    ("signature", "<x xmlns='jabber:x:signed'>$c</x>", False),
    ("data form", "<x xmlns='jabber:x:data' type='submit'><field var='$c'><value>$c</value></field></x>", False),
    ("unknown child", "<x xmlns='urn:example:unknown'><y>$c</y></x>", False),
    ("ciphertext", "<encrypted xmlns='urn:xmpp:omemo:2'>$c</encrypted>", False),
)  # fmt: skip


def _presence(content, attributes="to='$to'"):
    return f"<presence {attributes} id='$id'>{content}</presence>"


def _to_all():
    for name, child, _ in CHILDREN:
        yield Place(
            name=f"{name} of presence", kind=Kind.PRESENCE, template=_presence(child, ""), visible=True
        )
    for name, attributes in (("going away", "type='unavailable'"), ("being called away", "type='probe'")):
        yield Place(
            name=f"status when {name}",
            kind=Kind.PRESENCE,
            template=_presence("<status>$c</status>", attributes),
            visible=True,
        )
    yield Place(name="text of presence", kind=Kind.PRESENCE, template=_presence("$c", ""), visible=True)


def _to_one():
    for name, child, leaves in CHILDREN:
        yield Place(
            name=f"{name} of directed presence",
            kind=Kind.DIRECTED_PRESENCE,
            template=_presence(child),
            visible=leaves,
        )
    for name, what in (("going away from the contact", "unavailable"), ("probing the contact", "probe")):
        yield Place(
            name=f"status when {name}",
            kind=Kind.DIRECTED_PRESENCE,
            template=_presence("<status>$c</status>", f"to='$to' type='{what}'"),
        )
    yield Place(name="text of directed presence", kind=Kind.DIRECTED_PRESENCE, template=_presence("$c"))
    for name, to in (("oneself", "$me"), ("a server", "$server")):
        yield Place(
            name=f"status of presence to {name}",
            kind=Kind.DIRECTED_PRESENCE,
            template=_presence("<status>$c</status>", f"to='{to}'"),
        )
    yield Place(name="presence of an unknown type", kind=Kind.UNKNOWN, template=_presence("", "type='$c'"))
    yield Place(
        name="status of presence of an unknown type",
        kind=Kind.UNKNOWN,
        template=_presence("<status>$c</status>", "to='$to' type='invisible'"),
    )
    yield Place(
        name="presence with XEP-0033 addresses",
        kind=Kind.MULTICAST,
        template=_presence(
            "<status>$c</status><addresses xmlns='http://jabber.org/protocol/address'>"
            "<address type='to' jid='$peer' desc='$c'/></addresses>"
        ),
    )
    yield Place(
        name="status of presence to the proxy",
        kind=Kind.PROXY,
        template=_presence("<status>$c</status>", "to='e2eproxy.localhost'"),
    )
    yield Place(
        name="status in an error",
        kind=Kind.ERROR,
        template=_presence("<status>$c</status><error type='cancel'/>", "to='$to' type='error'"),
    )


def _subscriptions():
    for what in ("subscribe", "subscribed", "unsubscribe", "unsubscribed"):
        for name, child in (
            ("status", "<status>$c</status>"),
            ("nick", "<nick xmlns='http://jabber.org/protocol/nick'>$c</nick>"),
            ("text", "$c"),
            ("program in the capabilities", f"<c xmlns='{_CAPS}' hash='sha-1' node='https://a.test/$n' ver='AAAA'/>"),
        ):  # fmt: skip
            yield Place(
                name=f"{name} of a {what}",
                kind=Kind.SUBSCRIPTION,
                template=_presence(child, f"to='$to' type='{what}'"),
            )


def _to_rooms():
    join = f"<x xmlns='{_MUC}'/>"
    for name, content, leaves in (
        ("status when joining a room", f"<status>$c</status>{join}", False),
        ("nick element when joining a room", f"<nick xmlns='http://jabber.org/protocol/nick'>$c</nick>{join}", False),
        ("password of a room", f"<x xmlns='{_MUC}'><password>$c</password></x>", True),
        ("attribute beside a room's password", f"<x xmlns='{_MUC}' note='$c'><password>x</password></x>", False),
        ("history when joining a room", f"<x xmlns='{_MUC}'><history since='$c'/></x>", False),
        ("text when joining a room", f"<x xmlns='{_MUC}'>$c</x>", False),
        ("child when joining a room", f"<x xmlns='{_MUC}'><y>$c</y></x>", False),
        ("status in a room", "<status>$c</status>", False),
    ):  # fmt: skip
        yield Place(
            name=name,
            kind=Kind.ROOM_PRESENCE,
            template=_presence(content, "to='$room/romeo'"),
            visible=leaves,
        )
    yield Place(
        name="nick in a room",
        kind=Kind.ROOM_PRESENCE,
        template=_presence(join, "to='$room/$n'"),
        visible=True,
    )
    yield Place(
        name="status when leaving a room",
        kind=Kind.ROOM_PRESENCE,
        template=_presence("<status>$c</status>", "to='$room/romeo' type='unavailable'"),
    )


def places() -> list[Place]:
    """Every place in presence."""
    return [place for group in (_to_all, _to_one, _subscriptions, _to_rooms) for place in group()]
