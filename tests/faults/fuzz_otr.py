"""The fuzzer's part for OTR: one client of ours, in each state of a session, and whatever a peer or the network can send it.

What is sent begins as libotr's recorded messages and those of the conversation itself, and is damaged: bytes of the encoded
messages, their fragments, records inside messages that the right peer sealed, whole sequences. Nothing but RemoteError may
escape, what is kept is bounded, and a text that the right peer sends afterwards opens.
"""

from __future__ import annotations

import base64
import functools
import json
from pathlib import Path

from bed.otr_pair import identity

from e2eproxy.methods import effects as e
from e2eproxy.methods.events import Way
from e2eproxy.methods.otr import conversation, forms, fragments, messages, records
from e2eproxy.methods.otr.account import PATIENCE
from e2eproxy.methods.otr.book import MOST_PARTS, MOST_STRANGERS
from e2eproxy.methods.otr.method import OtrMethod
from e2eproxy.testing import WHO, World
from e2eproxy.xmpp.jid import JID
from e2eproxy.xmpp.stanza import Stanza, build, element, escape_text

VECTORS = Path(__file__).resolve().parent.parent / "vectors" / "otr"
TEXT = "this one opens"
WORDS = [
    "?OTRv23?", "?OTRv2?", "?OTR?", "?OTR?v23?", "?OTRv?", "?OTR", "?OTR Error: no", "?OTR:", "?OTR:AAMD.", "?OTR:AAIC=.",
    "?OTR,1,2,?OTR:AA,", "?OTR,0,0,,", "?OTR,65535,65535,x,", "?OTR,65536,65536,x,", "?OTR|0|0,1,1,?OTR:AAMD.,",
    "hi" + forms.tag_text(frozenset({2, 3})), "hi" + forms.TAG, forms.TAG * 50, "", " ", ".", "?OTR:" + "A" * 3000 + ".",
]  # fmt: skip
STATES = ("none", "asked", "committed", "revealed", "live", "comparing", "answering", "finished")


@functools.cache
def recorded():
    """All messages of the recorded conversations."""
    found = []
    for path in sorted(VECTORS.glob("v*.json")):
        transcript = json.loads(path.read_text("utf-8"))
        found += [one["message"] for one in transcript["log"] if one["ev"] == "msg"]
        found += [one["message"] for one in transcript["messages"]]
    return tuple(dict.fromkeys(found))


class Case:
    """Two devices in one of the states; what Bob would get is delivered, what Alice gets is the round's."""

    def __init__(self, rng):
        self.rng = rng
        self.versions = rng.choice(["2", "3", "2,3"])
        self.state = rng.choice(STATES)
        self.sealed = False
        settings = {"versions": self.versions}
        self.world = World(rng.randrange(2**32))
        self.alice, self.bob = (
            self.world.device(who, OtrMethod(), settings=settings) for who in (WHO.alice, WHO.bob)
        )
        for device, name in ((self.alice, "alice"), (self.bob, "bob")):
            key = identity(name)
            made = e.PersistIdentity(name="dsa", public=key.public.encoded(), secret=key.encoded())
            device.store.commit((made,))
        self.world.start(self.alice, self.bob)
        self._begin()
        self.own = [body_of(raw) for raw in self.world.seen]

    def _begin(self):
        alice, bob = self.alice, self.bob
        steps = {"asked": 0, "committed": 1, "revealed": 3}
        if self.state in steps:
            # The wire is cut off after so many packets of the handshake.
            before, route = len(self.world.seen), self.world.route
            self.world.route = lambda packet: (
                route(packet) if packet.number - before < steps[self.state] else None
            )
            bob.command(WHO.alice, "start")
            self.world.run()
            self.world.route = route
        elif self.state != "none":
            alice.command(WHO.bob, "start")
            alice.say(WHO.bob, "one")
            bob.say(WHO.alice, "two")
        if self.state == "comparing":
            alice.command(WHO.bob, "verify", "secret", "")
        elif self.state == "answering":
            bob.command(WHO.alice, "verify", "secret", "which?")
        elif self.state == "finished":
            bob.command(WHO.alice, "end")

    @property
    def live(self):
        return self.state in {"live", "comparing", "answering"}

    def entry(self, device, peer):
        return device.harness.engine.account.book.find(device.jid, peer)

    def attack(self):
        """Give Alice a text of the worst peer."""
        text = self._hostile()
        peer = self.rng.choice(
            [WHO.bob] * 6 + [WHO.bob_too, WHO.carol, JID.parse(f"bob@two.test/{self.rng.random()}")]
        )
        raw = build(
            "message",
            {"from": str(peer), "to": str(WHO.alice), "type": "chat"},
            element("body", {}, escape_text(clean(text)).encode()),
        )
        way = self.rng.choice([Way.LIVE] * 20 + list(Way))
        self.alice.receive(Stanza.parse(raw), peer, way=way, sent_at=None, author=None)
        self.world.run()
        if self.rng.random() < 0.05:
            self.world.wait(self.rng.choice([1, 11, PATIENCE + 1]))
        if self.rng.random() < 0.05:
            self.alice.command(
                WHO.bob, self.rng.choice(["answer", "verify", "code", "fingerprint"]), "secret", ""
            )

    def _hostile(self):
        match self.rng.randrange(8):
            case 0:
                return self.rng.choice(WORDS)
            case 1 | 2:
                return damaged_message(self.rng, self.rng.choice(recorded()))
            case 3 | 4:
                return damaged_message(self.rng, self.rng.choice(self.own or WORDS))
            case 5:
                return self._fragment()
            case 6:
                return self._sealed()
            case _:
                return damaged_text(self.rng, self.rng.choice([*WORDS, *recorded()]))

    def _fragment(self):
        text = self.rng.choice([*recorded(), *self.own, *WORDS])
        entry = self.entry(self.alice, WHO.bob)
        tags = (self.rng.choice([0x100, 0, 0xFFFFFFFF]), entry.now.own_tag if entry else 0)
        try:
            pieces = fragments.cut(text, self.rng.choice([40, 200, 1000]), self.rng.choice([None, tags]))
        except ValueError:
            return text
        piece = self.rng.choice(pieces)
        return damaged_text(self.rng, piece) if self.rng.random() < 0.5 else piece

    def _sealed(self):
        """What Bob's own client would not say, but could: records of any kind in a message that opens."""
        entry = self.entry(self.bob, WHO.alice)
        if entry is None or not entry.live:
            return self.rng.choice(WORDS)
        plain = records.join(
            self.rng.choice([b"", b"text", "\u202e\ufdd0".encode(), b"\xff\xfe"]),
            [
                records.Record(self.rng.randrange(10), self._value())
                for _ in range(self.rng.choice([0, 1, 2, 70]))
            ],
        )
        plain = damaged(self.rng, plain) if self.rng.random() < 0.5 else plain
        self.sealed = True
        entry.now, message = conversation._seal(entry.now, plain, self.rng.choice([0, 1, 255]))
        return forms.encoded_text(messages.encode(message))

    def _value(self):
        numbers = [0, 1, 2, 2**1535, 2**1536 - 1, self.rng.getrandbits(1536)]
        count = self.rng.choice([0, 1, 3, 6, 8, 11, 2**32 - 1])
        body = count.to_bytes(4, "big") + b"".join(
            messages.enc.mpi(self.rng.choice(numbers)) for _ in range(min(count, 11))
        )
        return self.rng.choice([b"", b"which?\0" + body, body, body, self.rng.randbytes(30)])

    def check(self):
        """Nothing escaped, and what is kept is bounded."""
        assert self.alice.bugs == [], self.alice.bugs
        assert self.bob.bugs == [], self.bob.bugs
        entries = [entry for _, _, entry in self.alice.harness.engine.account.book.all()]
        assert len(entries) <= MOST_STRANGERS
        assert sum(len(one.partial.text) for one in entries) <= MOST_PARTS
        assert self.alice.errands.waiting == 0

    def end(self):
        """The right peer's next text opens: in the session there was, or else in one that is made now."""
        if not self.live or self.sealed:
            self.world.wait(3 * PATIENCE)
            for device, peer in ((self.alice, WHO.bob), (self.bob, WHO.alice)):
                device.command(peer, "end")
            self.bob.command(WHO.alice, "start")
            self.world.wait(1)
        self.bob.say(WHO.alice, TEXT)
        assert self.alice.texts[-1:] == [TEXT], (self.state, self.versions, self.sealed)


def fuzz_otr(rng):
    """One client, in one state, and up to thirty texts of the worst peer."""
    case = Case(rng)
    for _ in range(rng.choice([1, 3, 10, 30])):
        case.attack()
        case.check()
    case.end()
    case.check()


def body_of(raw):
    return Stanza.parse(raw).tree.children[0].text


def clean(text):
    """*Text* without what XML cannot hold: it would end with its stanza, long before OTR."""
    return "".join(
        one for one in text if one in "\t\n\r" or " " <= one <= "\ud7ff" or "\ue000" <= one <= "\ufffd"
    )


def damaged(rng, raw):
    """*Raw* with some damage."""
    data = bytearray(raw)
    for _ in range(rng.choice([1, 1, 2, 5])):
        at = rng.randrange(len(data) + 1)
        match rng.randrange(6):
            case 0 if at < len(data):
                data[at] = rng.randrange(256)
            case 1:
                del data[at : at + rng.randint(1, 40)]
            case 2:
                del data[at:]
            case 3:
                data[at : at + 4] = rng.choice(
                    [b"\0\0\0\0", b"\xff\xff\xff\xff", b"\0\0\0\1", b"\x7f\xff\xff\xff"]
                )
            case 4:
                data[at:at] = rng.randbytes(rng.choice([1, 4, 20, 600]))
            case _:
                data[at:at] = data[rng.randrange(len(data) + 1) :][: rng.randint(1, 200)]
    return bytes(data)


def damaged_message(rng, text):
    """An encoded message whose bytes are damaged; other texts as texts are. Some are left as they are."""
    if rng.random() < 0.15:
        return text
    try:
        form = forms.form_of(text)
    except forms.MethodError:
        form = None
    if not isinstance(form, forms.Encoded):
        return damaged_text(rng, text)
    return forms.encoded_text(damaged(rng, form.value))


def damaged_text(rng, text):
    """A text with damage; what is no UTF-8 any more becomes something else."""
    if rng.random() < 0.2:
        return text + base64.b64encode(rng.randbytes(9)).decode() + "."
    return damaged(rng, text.encode()).decode("utf-8", "replace")
