"""Each entry of the allow-list stays outside in its own shape and in no other; all else goes inside or nowhere."""

from __future__ import annotations

import pytest

from e2eproxy.proxy.allowed_children import OUTSIDE, Carries, split
from e2eproxy.proxy.shapes import NO_IDS, Allowed, Ids, decoded, fits, written
from e2eproxy.xmpp import names
from e2eproxy.xmpp.tree import parse

ROOT = b"<stream:stream xmlns='jabber:client' xmlns:stream='http://etherx.jabber.org/streams' version='1.0'>"
UUID = "1f0ec9a4-7c35-4dbe-8f3b-0a4c6d0f1b2e"
HEX = "0123456789abcdefABCDEF0123456789"
IDS = Ids(outer="outer-1", of_peer={"peer's own id"})

EME_NAMESPACES = [
    "urn:xmpp:otr:0",
    "jabber:x:encrypted",
    "urn:xmpp:openpgp:0",
    "eu.siacs.conversations.axolotl",
    "urn:xmpp:omemo:1",
    "urn:xmpp:omemo:2",
    "urn:ietf:params:xml:ns:xmpp-e2e",
    "urn:ietf:params:xml:ns:xmpp-e2e:6",
]
STATES = "http://jabber.org/protocol/chatstates"
HINTS = "urn:xmpp:hints"
MARKERS = "urn:xmpp:chat-markers:0"

# Written by the client; written by the proxy (None: the same); whether it goes inside where the method carries it.
ALLOWED = [
    (f"<thread>{UUID}</thread>", None, True),
    (f"<thread>{HEX}</thread>", None, True),
    ("<thread>0123456789abcdef</thread>", None, True),
    (f"<thread parent='{UUID}'>{HEX}</thread>", None, True),
    *(
        (f"<{state} xmlns='{STATES}'/>", None, True)
        for state in ("active", "composing", "paused", "inactive", "gone")
    ),
    ("<x xmlns='jabber:x:event'><composing/></x>", None, True),
    (
        f"<x xmlns='jabber:x:event'><offline/><delivered/><displayed/><composing/><id>{UUID}</id></x>",
        None,
        True,
    ),
    ("<request xmlns='urn:xmpp:receipts'/>", None, True),
    (f"<received xmlns='urn:xmpp:receipts' id='{UUID}'/>", None, True),
    (
        '<received xmlns="urn:xmpp:receipts" id="peer\'s own id"/>',
        "<received xmlns='urn:xmpp:receipts' id='peer&apos;s own id'/>",
        True,
    ),
    (f"<markable xmlns='{MARKERS}'/>", None, True),
    *(
        (f"<{one} xmlns='{MARKERS}' id='{UUID}'/>", None, True)
        for one in ("received", "displayed", "acknowledged")
    ),
    *(
        (f"<{hint} xmlns='{HINTS}'/>", None, False)
        for hint in ("no-permanent-store", "no-store", "no-copy", "store")
    ),
    ("<private xmlns='urn:xmpp:carbons:2'/>", None, False),
    *((f"<encryption xmlns='urn:xmpp:eme:0' namespace='{one}'/>", None, False) for one in EME_NAMESPACES),
    (
        "<origin-id xmlns='urn:xmpp:sid:0' id='mine'/>",
        "<origin-id xmlns='urn:xmpp:sid:0' id='outer-1'/>",
        False,
    ),
    ("<x xmlns='http://jabber.org/protocol/muc#user'/>", None, False),
    # Whatever is not compared is not written.
    (f"<h:store xmlns:h='{HINTS}' xmlns:c='canary'> \n </h:store>", f"<store xmlns='{HINTS}'/>", False),
    (f"<thread><![CDATA[{UUID}]]></thread>", f"<thread>{UUID}</thread>", True),
]

REFUSED = [
    "<thread>hi there</thread>",
    "<thread>hi</thread>",
    "<thread/>",
    "<thread>0123456789abcde</thread>",
    f"<thread>{'0' * 65}</thread>",
    f"<thread>{UUID}\n</thread>",
    f"<thread>{UUID} hi</thread>",
    f"<thread>{UUID[:-1]}g</thread>",
    f"<thread parent='hi'>{UUID}</thread>",
    f"<thread parent='{UUID}' more='hi'>{UUID}</thread>",
    f"<thread xml:lang='hi'>{UUID}</thread>",
    f"<thread>{UUID}<x/></thread>",
    f"<thread xmlns='jabber:server'>{UUID}</thread>",
    f"<composing xmlns='{STATES}'>hi</composing>",
    f"<composing xmlns='{STATES}' a='hi'/>",
    f"<composing xmlns='{STATES}'><x/></composing>",
    f"<typing xmlns='{STATES}'/>",
    "<composing/>",
    "<x xmlns='jabber:x:event'>hi</x>",
    "<x xmlns='jabber:x:event'><id>hi</id></x>",
    "<x xmlns='jabber:x:event'><composing>hi</composing></x>",
    "<x xmlns='jabber:x:event'><composing/><composing/></x>",
    "<x xmlns='jabber:x:event'><hi/></x>",
    "<received xmlns='urn:xmpp:receipts' id='hi'/>",
    "<received xmlns='urn:xmpp:receipts'/>",
    "<received xmlns='urn:xmpp:receipts' id=''/>",
    "<request xmlns='urn:xmpp:receipts' id='hi'/>",
    f"<displayed xmlns='{MARKERS}' id='hi'/>",
    f"<displayed xmlns='{MARKERS}'/>",
    f"<displayed xmlns='{MARKERS}' id='{UUID}' sender='hi'/>",
    f"<store xmlns='{HINTS}'>hi</store>",
    "<encryption xmlns='urn:xmpp:eme:0' namespace='hi'/>",
    "<encryption xmlns='urn:xmpp:eme:0'/>",
    f"<encryption xmlns='urn:xmpp:eme:0' namespace='{EME_NAMESPACES[0]}' name='hi'/>",
    "<origin-id xmlns='urn:xmpp:sid:0'/>",
    "<origin-id xmlns='urn:xmpp:sid:0' id='x'>hi</origin-id>",
    "<x xmlns='http://jabber.org/protocol/muc#user'><invite><reason>hi</reason></invite></x>",
    "<private xmlns='urn:xmpp:carbons:2'>hi</private>",
    "<subject>hi</subject>",
    "<html xmlns='http://jabber.org/protocol/xhtml-im'>hi</html>",
    "<rtt xmlns='urn:xmpp:rtt:0'/>",
    "<reply xmlns='urn:xmpp:reply:0' to='x' id='y'/>",
    "<fallback xmlns='urn:xmpp:fallback:0' for='x'/>",
    "<replace xmlns='urn:xmpp:message-correct:0' id='x'/>",
    "<x xmlns='jabber:x:oob'><url>hi</url></x>",
    "<reactions xmlns='urn:xmpp:reactions:0' id='x'/>",
    "<nick xmlns='http://jabber.org/protocol/nick'>hi</nick>",
    "<x xmlns='jabber:x:conference' jid='a@b'/>",
]

SERVERS_ONLY = [
    "<delay xmlns='urn:xmpp:delay' stamp='x'/>",
    "<x xmlns='jabber:x:delay'/>",
    "<stanza-id xmlns='urn:xmpp:sid:0' id='x' by='y'/>",
    "<origin-id xmlns='urn:xmpp:sid:0'/>",
    "<sent xmlns='urn:xmpp:carbons:2'/>",
    "<received xmlns='urn:xmpp:carbons:2'/>",
    "<private xmlns='urn:xmpp:carbons:2'>hi</private>",
    "<result xmlns='urn:xmpp:mam:2'/>",
    "<addresses xmlns='http://jabber.org/protocol/address'/>",
    "<amp xmlns='http://jabber.org/protocol/amp'/>",
    "<encryption xmlns='urn:xmpp:eme:0'/>",
    "<error/>",
    *(f"<{hint} xmlns='{HINTS}' a='x'/>" for hint in ("no-permanent-store", "no-store", "no-copy", "store")),
]


def children(*texts: str):
    return parse(ROOT, f"<message>{''.join(texts)}</message>".encode()).children


@pytest.mark.parametrize(("text", "out", "rather_inside"), ALLOWED)
def test_what_is_allowed_stays_outside_and_is_written_anew(text, out, rather_inside):
    expected = (out or text).encode()
    for carries in (Carries.NOTHING, Carries.BODY):
        found = split(children(text), carries, IDS)
        assert found.outside == (expected,)
        assert found.inside == found.dropped == ()
    for carries in (Carries.CHILDREN, Carries.STANZA):
        found = split(children(text), carries, IDS)
        if rather_inside:
            assert found.outside == ()
            assert found.inside == (0,)
        else:
            assert found.outside == (expected,)
            assert found.inside == ()
        assert found.dropped == ()


@pytest.mark.parametrize("text", REFUSED)
def test_what_is_not_allowed_never_stays_outside(text):
    for carries in Carries:
        found = split(children(text), carries, IDS)
        assert found.outside == ()
        assert len(found.inside) + len(found.dropped) == 1
        if carries in {Carries.NOTHING, Carries.BODY}:
            assert found.inside == ()


@pytest.mark.parametrize("text", SERVERS_ONLY)
def test_what_only_servers_may_say_is_carried_by_nobody(text):
    for carries in Carries:
        assert split(children(text), carries, IDS).dropped == (0,)


def test_a_body_goes_inside_whatever_the_method_carries():
    body = "<body>hi</body>"
    assert split(children(body), Carries.NOTHING).dropped == (0,)
    for carries in (Carries.BODY, Carries.CHILDREN, Carries.STANZA):
        assert split(children(body), carries).inside == (0,)
    both = split(children(body, "<subject>hi</subject>", f"<active xmlns='{STATES}'/>"), Carries.BODY)
    assert (both.inside, both.dropped) == ((0,), (1,))
    assert both.outside == (f"<active xmlns='{STATES}'/>".encode(),)


def test_what_is_allowed_once_is_not_allowed_twice():
    found = split(children(f"<thread>{UUID}</thread>", f"<thread>{HEX}</thread>"), Carries.BODY)
    assert found.outside == (f"<thread>{UUID}</thread>".encode(),)
    assert found.dropped == (1,)
    after_refusal = split(children("<thread>hi</thread>", f"<thread>{HEX}</thread>"), Carries.BODY)
    assert after_refusal.outside == (f"<thread>{HEX}</thread>".encode(),)


def test_an_origin_id_needs_an_outer_id():
    assert split(children("<origin-id xmlns='urn:xmpp:sid:0' id='x'/>"), Carries.BODY, NO_IDS).dropped == (0,)


def test_an_id_of_the_peer_counts_only_if_it_was_seen():
    receipt = children("<received xmlns='urn:xmpp:receipts' id='tell juliet'/>")
    assert split(receipt, Carries.BODY, Ids(of_peer={"tell juliet"})).outside
    assert not split(receipt, Carries.BODY, Ids(of_peer={"tell"})).outside


@pytest.mark.parametrize(
    ("text", "plain", "url"),
    [
        ("aGk=", b"hi", b"hi"),
        (" a\tG\r\nk = ", b"hi", b"hi"),
        ("aGk", None, b"hi"),
        ("aGk==", None, b"hi"),
        ("aGk====", None, b"hi"),
        ("aGkh", b"hi!", b"hi!"),
        ("aGkx", b"hi1", b"hi1"),
        ("-_-_", None, b"\xfb\xff\xbf"),
        ("+/+/", b"\xfb\xff\xbf", None),
        ("a", None, None),
        ("=", None, None),
        ("", None, None),
        ("a\u00a0Gk=", None, None),
        ("aG=k", None, None),
        ("aGkhYQ", None, b"hi!a"),
    ],
)
def test_base64_is_read_strictly(text, plain, url):
    assert decoded(text) == plain
    assert decoded(text, url=True) == url


def test_order_is_kept():
    found = split(
        children(f"<store xmlns='{HINTS}'/>", "<body>x</body>", f"<active xmlns='{STATES}'/>"),
        Carries.CHILDREN,
    )
    assert found.outside == (f"<store xmlns='{HINTS}'/>".encode(),)
    assert found.inside == (1, 2)


def test_each_entry_has_a_reason_and_is_tried():
    tried = {child.name for text, _, _ in ALLOWED for child in children(text)}
    assert {one.element for one in OUTSIDE} == tried
    assert len(tried) == len(OUTSIDE)
    for one in OUTSIDE:
        assert one.why.startswith(("XEP-", "RFC "))
        assert one.required <= one.attributes.keys()


def test_values_of_traits_name_what_is_carried():
    from e2eproxy.methods import traits

    assert {one.value for one in Carries} == {one.value for one in traits.Carries} | {"nothing"}


def test_an_element_is_compared_to_its_last_leaf():
    leaf = Allowed(element="n" + names.SEPARATOR + "leaf", most=2)
    root = Allowed(element="n" + names.SEPARATOR + "root", children=(leaf,))
    two = children("<root xmlns='n'><leaf/> <leaf/></root>")[0]
    assert fits(two, root)
    assert written(two, root) == b"<root xmlns='n'><leaf/><leaf/></root>"
    assert not fits(children("<root xmlns='n'><leaf/><leaf/><leaf/></root>")[0], root)
    assert not fits(children("<root xmlns='n'><leaf><leaf/></leaf></root>")[0], root)
    assert not fits(children("<leaf xmlns='n'/>")[0], root)
    other = children("<root xmlns='n'><leaf xmlns='m'/></root>")[0]
    assert not fits(other, root)
