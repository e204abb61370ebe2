"""What is left of a stanza that may only leave with what is allowed: no byte of it was copied unseen."""

from __future__ import annotations

import pytest

from e2eproxy.proxy.classify import Classified, Scene, classify
from e2eproxy.proxy.kinds import Kind
from e2eproxy.proxy.shapes import Ids
from e2eproxy.proxy.stand_down import HINT
from e2eproxy.proxy.trim import bare_result, trimmed
from e2eproxy.xmpp.jid import JID
from e2eproxy.xmpp.stanza import Stanza
from e2eproxy.xmpp.tree import parse

ROOT = b"<stream:stream xmlns='jabber:client' xmlns:stream='http://etherx.jabber.org/streams' version='1.0'>"
SCENE = Scene(own=JID.parse("romeo@example.test/orchard"), rooms={JID.parse("hall@x.test")}, speaks={"omemo"})
IDS = Ids(outer="o1", nodes={"http://c.test#v"})
CLIENT = "xmlns='jabber:client'"
STATES = "http://jabber.org/protocol/chatstates"


def left(text: str, ids: Ids = IDS) -> str | None:
    tree = parse(ROOT, text.encode())
    found = trimmed(tree, classify(tree, SCENE, ids), ids)
    if found is not None:
        Stanza.parse(found)
    return None if found is None else found.decode()


CAPS = "<c xmlns='http://jabber.org/protocol/caps' hash='sha-1' node='http://c.test/' ver='aGk='/>"
VISIBLE = (
    f"<show>away</show><priority>-5</priority>{CAPS}"
    "<idle xmlns='urn:xmpp:idle:1' since='2026-11-23T19:00:00.5+01:00'/>"
    "<query xmlns='jabber:iq:last' seconds='903'/>"
    "<x xmlns='vcard-temp:x:update'><photo>da39a3ee5e6b4b0d3255bfef95601890afd80709</photo></x>"
)
JOIN = "<x xmlns='http://jabber.org/protocol/muc'><password>any &lt; text</password><history maxstanzas='0'/></x>"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (
            (
                "<message to='J@x.test' type='chat' id='mine' xml:lang='hi' from='hi' more='hi' xmlns:p='hi'>hi"
                f"<composing xmlns='{STATES}'/><rtt xmlns='urn:xmpp:rtt:0'>hi</rtt></message>"
            ),
            f"<message {CLIENT} to='J@x.test' type='chat' id='o1'><composing xmlns='{STATES}'/></message>",
        ),
        (
            f"<message to='j@x.test' type='hi'><composing xmlns='{STATES}'/></message>",
            f"<message {CLIENT} to='j@x.test' id='o1'><composing xmlns='{STATES}'/></message>",
        ),
        *(
            (
                f"<message type='{one}' to='j@x.test'><active xmlns='{STATES}'/></message>",
                f"<message {CLIENT} to='j@x.test' type='{one}' id='o1'><active xmlns='{STATES}'/></message>",
            )
            for one in ("chat", "headline", "normal")
        ),
        ("<message to='j@x.test'/>", f"<message {CLIENT} to='j@x.test' id='o1'/>"),
        ("<message to='j@x.test'><rtt xmlns='urn:xmpp:rtt:0'>hi</rtt></message>", None),
        ("<message to='j@x.test'><subject>hi</subject></message>", None),
        (
            (
                "<message to='j@x.test' type='groupchat'><body>?OTRv23?\nThis user has requested an Off-the-Record private "
                "conversation. However, you do not have a plugin to support that. See http://otr.cypherpunks.ca/ for more "
                "information.</body><html xmlns='http://jabber.org/protocol/xhtml-im'/><store xmlns='urn:xmpp:hints'/></message>"
            ),
            f"<message {CLIENT} to='j@x.test' type='groupchat' id='o1'><body>?OTRv23?</body><store xmlns='urn:xmpp:hints'/></message>",
        ),
        (
            f"<presence to='j@x.test' id='x'><status>hi</status>{VISIBLE}<show>dnd</show><x xmlns='hi'/></presence>",
            f"<presence {CLIENT} to='j@x.test' id='o1'>{VISIBLE}</presence>",
        ),
        (
            f"<presence to='j@x.test'><show>hi</show><priority>hi</priority>{CAPS.replace('sha-1', 'hi')}{JOIN}</presence>",
            f"<presence {CLIENT} to='j@x.test' id='o1'/>",
        ),
        (
            (
                f"<presence to='j@x.test'>{CAPS.replace('http://c.test/', 'hi')}{CAPS.replace('aGk=', '!')}"
                "<idle xmlns='urn:xmpp:idle:1' since='hi'/><idle xmlns='urn:xmpp:idle:1'/><query xmlns='jabber:iq:last' seconds='hi'/>"
                "<query xmlns='jabber:iq:last'/><x xmlns='vcard-temp:x:update'><photo>hi</photo></x>"
                "<x xmlns='vcard-temp:x:update'>hi</x><c xmlns='http://jabber.org/protocol/caps'/></presence>"
            ),
            f"<presence {CLIENT} to='j@x.test' id='o1'/>",
        ),
        *(
            (
                f"<presence to='j@x.test'><show>{one}</show></presence>",
                f"<presence {CLIENT} to='j@x.test' id='o1'><show>{one}</show></presence>",
            )
            for one in ("away", "chat", "dnd", "xa")
        ),
        *(
            (
                f"<presence to='j@x.test'>{CAPS.replace('sha-1', one)}</presence>",
                f"<presence {CLIENT} to='j@x.test' id='o1'>{CAPS.replace('sha-1', one)}</presence>",
            )
            for one in ("sha-256", "md5")
        ),
        (
            f"<presence to='hall@x.test/n' type='unavailable'><status>hi</status>{JOIN}</presence>",
            f"<presence {CLIENT} to='hall@x.test/n' type='unavailable' id='o1'>{JOIN}</presence>",
        ),
        (
            (
                "<presence to='hall@x.test/n'><x xmlns='http://jabber.org/protocol/muc'>"
                "<history maxchars='1' seconds='2' since='2026-11-23T19:00:00Z'/></x></presence>"
            ),
            (
                f"<presence {CLIENT} to='hall@x.test/n' id='o1'><x xmlns='http://jabber.org/protocol/muc'>"
                "<history maxchars='1' seconds='2' since='2026-11-23T19:00:00Z'/></x></presence>"
            ),
        ),
        (
            "<presence to='hall@x.test/n'><x xmlns='http://jabber.org/protocol/muc'><history since='hi'/></x></presence>",
            f"<presence {CLIENT} to='hall@x.test/n' id='o1'/>",
        ),
        *(
            (
                f"<presence to='j@x.test' type='{one}'><status>hi</status><nick xmlns='http://jabber.org/protocol/nick'>hi</nick>{VISIBLE}</presence>",
                f"<presence {CLIENT} to='j@x.test' type='{one}' id='o1'/>",
            )
            for one in ("subscribe", "subscribed", "unsubscribe", "unsubscribed")
        ),
        (
            "<presence to='j@x.test' type='probe'/>",
            f"<presence {CLIENT} to='j@x.test' type='probe' id='o1'/>",
        ),
        (
            "<presence><status>hi</status><show>dnd</show></presence>",
            f"<presence {CLIENT} id='o1'><show>dnd</show></presence>",
        ),
        (
            "<iq to='j@x.test/r' type='get' id='hi' xml:lang='hi'><q:query xmlns:q='jabber:iq:version' xmlns:p='hi'> </q:query></iq>",
            f"<iq {CLIENT} to='j@x.test/r' type='get' id='o1'><query xmlns='jabber:iq:version'/></iq>",
        ),
        (
            "<iq to='j@x.test/r' type='get' id='1'><query xmlns='http://jabber.org/protocol/disco#info' node='http://c.test#v'/></iq>",
            f"<iq {CLIENT} to='j@x.test/r' type='get' id='o1'><query xmlns='http://jabber.org/protocol/disco#info' node='http://c.test#v'/></iq>",
        ),
        (
            (
                "<iq to='j@x.test' type='get' id='1'><pubsub xmlns='http://jabber.org/protocol/pubsub'>"
                "<items node='urn:xmpp:omemo:2:devices'/></pubsub></iq>"
            ),
            (
                f"<iq {CLIENT} to='j@x.test' type='get' id='o1'><pubsub xmlns='http://jabber.org/protocol/pubsub'>"
                "<items node='urn:xmpp:omemo:2:devices'/></pubsub></iq>"
            ),
        ),
        ("<iq to='j@x.test' type='get' id='1'><vCard xmlns='vcard-temp'/></iq>", None),
        ("<iq to='j@x.test' type='set' id='1'/>", None),
    ],
)
def test_what_is_left(text, expected):
    assert left(text) == expected


def test_an_encrypted_stanza_keeps_its_envelope_and_what_is_allowed():
    envelope = "<encrypted xmlns='urn:xmpp:omemo:2'><header sid='1'><keys jid='j@x.test'><key rid='2'>aGk=</key></keys></header></encrypted>"
    text = f"<message to='j@x.test' type='chat'><body>hi</body>{envelope}<subject>hi</subject><active xmlns='{STATES}'/></message>"
    assert left(text) == (
        f"<message {CLIENT} to='j@x.test' type='chat' id='o1'>{envelope}<body>{HINT}</body><active xmlns='{STATES}'/></message>"
    )
    other = f"<iq to='j@x.test/r' type='set' id='x'>{envelope}</iq>"
    assert left(other) == f"<iq {CLIENT} to='j@x.test/r' type='set' id='o1'>{envelope}</iq>"


@pytest.mark.parametrize("missing", ["hash='sha-1'", "node='http://c.test/'", "ver='aGk='"])
def test_capabilities_are_whole(missing):
    assert (
        left(f"<presence to='j@x.test'>{CAPS.replace(missing, '')}</presence>")
        == f"<presence {CLIENT} to='j@x.test' id='o1'/>"
    )


def test_several_children_follow_each_other():
    two = f"<active xmlns='{STATES}'/><request xmlns='urn:xmpp:receipts'/>"
    assert (
        left(f"<message to='j@x.test'>{two}</message>")
        == f"<message {CLIENT} to='j@x.test' id='o1'>{two}</message>"
    )
    envelope = "<encrypted xmlns='urn:xmpp:omemo:2'><header sid='1'><keys jid='j@x.test'><key rid='2'>aGk=</key></keys></header></encrypted>"
    assert left(f"<message to='j@x.test'>{envelope}{two}</message>") == (
        f"<message {CLIENT} to='j@x.test' id='o1'>{envelope}{two}</message>"
    )
    presence = f"<presence to='j@x.test'>{envelope}<show>dnd</show><status>hi</status>{two}</presence>"
    assert left(presence) == f"<presence {CLIENT} to='j@x.test' id='o1'>{envelope}<show>dnd</show></presence>"
    assert (
        left(f"<message to='j@x.test'>{envelope}</message>")
        == f"<message {CLIENT} to='j@x.test' id='o1'>{envelope}</message>"
    )


def test_of_several_requests_none_is_left():
    two = "<ping xmlns='urn:xmpp:ping'/><ping xmlns='urn:xmpp:ping'/>"
    tree = parse(ROOT, f"<iq to='j@x.test' type='get' id='1'>{two}</iq>".encode())
    assert trimmed(tree, Classified(kind=Kind.IQ_HARMLESS), IDS) is None


def test_without_an_outer_id_there_is_none():
    assert left("<message to='j@x.test' id='hi'/>", Ids()) == f"<message {CLIENT} to='j@x.test'/>"


def test_an_error_is_made_bare_and_not_trimmed():
    tree = parse(ROOT, b"<message to='j@x.test' type='error'><body>hi</body></message>")
    found = classify(tree, SCENE)
    assert found.kind is Kind.ERROR
    with pytest.raises(ValueError, match="made bare"):
        trimmed(tree, found, IDS)


def test_a_result_that_says_nothing():
    assert (
        bare_result(to="j@x.test/r", stanza_id="7")
        == b"<iq xmlns='jabber:client' to='j@x.test/r' id='7' type='result'/>"
    )
    assert bare_result(to=None, stanza_id="7") == b"<iq xmlns='jabber:client' id='7' type='result'/>"
