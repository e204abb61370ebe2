"""What a client asks the server about the proxy's contact: it is answered here, and the server does not hear of it."""

from __future__ import annotations

import pytest
from bed.guard_world import DOMAIN, World

from e2eproxy.testing.session_method import SessionMethod
from e2eproxy.xmpp import names

PROXY = "e2eproxy.localhost"
FORM = "<x xmlns='jabber:x:data' type='submit'><field var='FORM_TYPE' type='hidden'><value>{ns}</value></field>{more}</x>"
WITH = "<field var='with'><value>{jid}</value></field>"
PAGE = "<set xmlns='http://jabber.org/protocol/rsm'><max>50</max><before/></set>"


def archive(ns, jid):
    form = FORM.format(ns=ns, more=WITH.format(jid=jid))
    return f"<query xmlns='{ns}' queryid='q1'>{form}{PAGE}</query>"


NAMED = {
    "roster": "<query xmlns='jabber:iq:roster'><item jid='{jid}' name='proxy'><group>x</group></item></query>",
    "roster, removed": "<query xmlns='jabber:iq:roster'><item jid='{jid}' subscription='remove'/></query>",
    "block list": "<block xmlns='urn:xmpp:blocking'><item jid='{jid}'/></block>",
    "privacy list": "<query xmlns='jabber:iq:privacy'><list name='l'><item type='jid' value='{jid}' action='deny' order='1'/></list></query>",
    "archive's rules": "<prefs xmlns='urn:xmpp:mam:2' default='always'><always><jid>{jid}</jid></always></prefs>",
    "old archive": archive("urn:xmpp:mam:0", "{jid}"),
    "private storage": "<query xmlns='jabber:iq:private'><storage xmlns='storage:rosternotes'><note jid='{jid}'>x</note></storage></query>",
}


@pytest.fixture(params=[True, False], ids=["with a method", "without methods"])
def world(request):
    return World(*([SessionMethod()] if request.param else []))


def sent(world, payload, kind="set", to=""):
    """What the client is answered, and whether anything left."""
    romeo = world.sides[0]
    romeo.seen.clear()
    before = len(world.seen)
    romeo.write(f"<iq type='{kind}' id='q1'{to}>{payload}</iq>".encode())
    answers = [one for one in romeo.read() if one.kind == "iq" and one.id == "q1"]
    return answers, len(world.seen) > before or any(b"q1" in raw for raw in romeo.seen)


@pytest.mark.parametrize("jid", [PROXY, "E2EPROXY.localhost", f"{PROXY}/x", f" {PROXY} ", f"x@{PROXY}"])
@pytest.mark.parametrize("ns", ["urn:xmpp:mam:1", "urn:xmpp:mam:2"])
@pytest.mark.parametrize("to", ["", f" to='romeo@{DOMAIN}'"])
def test_a_search_in_the_archive_finds_nothing_and_is_complete(world, jid, ns, to):
    (answer,), left = sent(world, archive(ns, jid), to=to)
    assert not left
    assert answer.type == "result"
    assert answer.from_ == (f"romeo@{DOMAIN}" if to else None)
    fin = answer.tree.child(ns + names.SEPARATOR + "fin")
    assert fin.attributes["complete"] == "true"
    assert b"<count>0</count>" in answer.raw


@pytest.mark.parametrize("name", list(NAMED))
def test_what_would_tell_the_server_comes_back(world, name):
    (answer,), left = sent(world, NAMED[name].format(jid=PROXY))
    assert not left
    assert answer.type == "error"
    assert b"without adding it" in answer.raw


def test_whoever_adds_it_to_the_roster_is_told_in_its_window(world):
    romeo = world.sides[0]
    sent(world, NAMED["roster"].format(jid=PROXY))
    assert "Write to e2eproxy.localhost without adding it" in romeo.notices[-1]


@pytest.mark.parametrize(
    "payload", [archive("urn:xmpp:mam:2", f"nurse@{DOMAIN}"), NAMED["roster"].format(jid=f"nurse@{DOMAIN}")]
)
def test_the_same_about_anybody_else_leaves(world, payload):
    assert sent(world, payload)[1]


def test_a_room_is_not_told_either(world):
    payload = f"<query xmlns='http://jabber.org/protocol/muc#admin'><item affiliation='member' jid='{PROXY}'/></query>"
    (answer,), left = sent(world, payload, to=f" to='hall@rooms.{DOMAIN}'")
    assert not left
    assert answer.type == "error"


def test_a_long_text_that_is_no_address_is_not_looked_at(world):
    photo = "A" * 20_000
    _, left = sent(
        world,
        f"<vCard xmlns='vcard-temp'><NOTE>see {PROXY}</NOTE><PHOTO><BINVAL>{photo}</BINVAL></PHOTO></vCard>",
    )
    assert left
