"""OTR version 2 with python-potr, which has no line in common with libotr: what both agree on is the protocol."""

from __future__ import annotations

import pytest
from bed.otr_pair import end
from bed.potr_peer import PotrPeer

from e2eproxy.methods.otr import conversation as talk
from e2eproxy.methods.otr import forms, fragments
from e2eproxy.methods.otr.identity import Party
from e2eproxy.methods.otr.key_files import read
from e2eproxy.xmpp.jid import JID

TEXTS = ["one", "zwei ä ♥", "x" * 3000, "<b>four</b> &amp;"]


class Ours:
    """Our machines, on the other side of potr. *size*: our longest message, 0: any."""

    def __init__(self, size=0):
        self.end, self.size = end("bob", 0x200), size

    def take(self, text):
        form = forms.form_of(text)
        if isinstance(form, forms.Query | forms.Tagged):
            return self.cut(self.end.do(talk.offered(self.end.now, 2, self.end.party)))
        return self.cut(self.end.take(text))

    def say(self, text):
        return self.cut(self.end.say(text.encode()))

    def cut(self, texts):
        return [
            one for text in texts for one in (fragments.cut(text, self.size, None) if self.size else (text,))
        ]


def carry(ours, theirs, *, to_us=(), to_them=()):
    """Carry texts until nobody has more to say."""
    queue = [(True, one) for one in to_us] + [(False, one) for one in to_them]
    for _ in range(500):
        if not queue:
            return
        ours_next, text = queue.pop(0)
        queue += [(not ours_next, one) for one in (ours if ours_next else theirs).take(text)]
    raise AssertionError("they do not come to rest")


def start(who, ours, theirs):
    if who == "we":
        carry(ours, theirs, to_them=[forms.query_text(frozenset({2, 3}), "")])
    elif who == "they":
        carry(ours, theirs, to_us=[theirs.query()])
    else:
        carry(ours, theirs, to_us=theirs.say("by white space"))


@pytest.fixture(params=[(0, 0), (200, 200)], ids=["whole", "fragments"])
def both(request):
    ours, theirs = request.param
    return Ours(ours), PotrPeer(theirs)


@pytest.mark.parametrize("who", ["we", "they", "white space"])
def test_a_session_started_by_each_side_and_texts_both_ways(who, both):
    ours, theirs = both
    start(who, ours, theirs)
    assert (theirs.state, ours.end.now.state) == ("encrypted", talk.State.ENCRYPTED)
    assert theirs.session == ours.end.now.ssid
    assert theirs.key_of_peer() == ours.end.party.identity.public.fingerprint
    assert str(theirs.talk.user.getPrivkey()).upper() == ours.end.now.identity.fingerprint
    for text in TEXTS * 2:
        carry(ours, theirs, to_them=ours.say(text))
        carry(ours, theirs, to_us=theirs.say(text))
    wanted = [one.encode() for one in TEXTS * 2]
    assert ours.end.heard == wanted
    assert theirs.heard == wanted
    assert theirs.unread == 0


def test_fragments_are_cut_by_both(both):
    ours, theirs = both
    start("we", ours, theirs)
    sizes = {len(one) for texts in (ours.say("x" * 3000), theirs.say("x" * 3000)) for one in texts}
    assert (max(sizes) <= 200) is (ours.size > 0)


@pytest.mark.parametrize("who", ["we", "they"])
def test_the_end_of_a_session_and_a_new_one(who, both):
    ours, theirs = both
    start("we", ours, theirs)
    if who == "we":
        turn = talk.ended(ours.end.now)
        carry(ours, theirs, to_them=ours.cut(ours.end.do(turn)))
        assert (theirs.state, ours.end.now.state) == ("finished", talk.State.PLAINTEXT)
    else:
        carry(ours, theirs, to_us=theirs.end())
        assert (theirs.state, ours.end.now.state) == ("plaintext", talk.State.FINISHED)
    start("they", ours, theirs)
    carry(ours, theirs, to_us=theirs.say("again"))
    assert ours.end.heard[-1:] == [b"again"]


def test_its_key_file_is_read_and_ours_is_its_own():
    theirs = PotrPeer()
    raw = theirs.talk.user.getPrivkey().serializePrivateKey()
    found = read(raw, "potr", JID.parse("alice@example.org"), bytes)
    assert found.key.encoded() == raw
    assert isinstance(Party(identity=found.key, random=bytes).identity.public.fingerprint, str)
