"""A recorded conversation of libotr, played again by our machines with the recorded secrets put in.

What is random in our machines comes from the record: `Recorded` answers each question for random bytes with what makes
the recorded number. Two numbers of the comparison of secrets cannot be found out from it (the blinding of P and Q);
where they show, the recorded record is put in the place of ours, after the parts that can be compared were compared.
"""

from __future__ import annotations

import hashlib
import hmac
import json
from collections import deque
from pathlib import Path

from attrs import define, evolve, field
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

from e2eproxy.methods.otr import conversation as talk
from e2eproxy.methods.otr import forms, fragments, messages, records, smp
from e2eproxy.methods.otr.arithmetic import P, Q
from e2eproxy.methods.otr.encoding import Reader
from e2eproxy.methods.otr.identity import Party, PrivateKey, PublicKey

PLACE = Path(__file__).resolve().parents[1] / "vectors" / "otr"
NAMES = tuple(sorted(one.stem for one in PLACE.glob("*.json")))
LIMIT = 199
"""The most characters of a message where libotr was told 200: it counts a byte behind the end."""


def load(name):
    return json.loads((PLACE / f"{name}.json").read_text())


def private_key(identity):
    p, q, g, y, x = (int(identity[part], 16) for part in "pqgyx")
    return PrivateKey(PublicKey(p, q, g, y), x)


def smp_numbers(value):
    reader = Reader(value)
    count = reader.integer()
    return [reader.mpi() for _ in range(count)]


def mpi(number):
    digits = number.to_bytes((number.bit_length() + 7) // 8, "big")
    return len(digits).to_bytes(4, "big") + digits


class Recorded:
    """The random bytes of one side, by how many are asked for."""

    def __init__(self):
        self.queues = {16: deque(), 28: deque(), 40: deque(), 200: deque()}

    def __call__(self, length):
        return self.queues[length].popleft()

    def number(self, value):
        """Have the next secret exponent of a comparison be *value*."""
        self.queues[200].append(((value - 1) % Q).to_bytes(200, "big"))


@define
class Side:
    """One side of the play."""

    name: str
    party: Party
    random: Recorded
    now: talk.Conversation
    partial: fragments.Partial = field(factory=fragments.Partial)
    heard: list = field(factory=list)
    happened: list = field(factory=list)


class Play:
    """The play of one transcript; `run` asserts at every step."""

    def __init__(self, name, monkeypatch):
        self.record = load(name)
        self.secrets = self.all_secrets()
        self.sides = {who: self.side(who) for who in ("alice", "bob")}
        self.log = deque(self.record["log"])
        self.whole = deque(self.record["messages"])
        self.comparisons = deque()
        self.sent = 0
        self.smp_sent = deque(
            records.Record(tlv["type"], bytes.fromhex(tlv["value"]))
            for one in self.record["messages"]
            for tlv in one.get("tlvs", [])
            if 2 <= tlv["type"] <= 7
        )
        texts = [one["message"] for one in self.record["log"] if one["ev"] == "msg"]
        self.size = LIMIT if any(text.startswith(("?OTR,", "?OTR|")) for text in texts) else 1 << 20
        self.versions = frozenset(
            int(digit)
            for digit in next((text[5:].split("?")[0] for text in texts if text.startswith("?OTRv")), "3")
        )
        self.put_in(monkeypatch)

    # ---- the secrets ----

    def side(self, who):
        identity = self.record["identities"][who]
        random = Recorded()
        party = Party(identity=private_key(identity), random=random)
        tag = int(identity["instance_tag"], 16)
        self.exponents(who, random)
        self.nonces(who, party, random)
        return Side(name=who, party=party, random=random, now=talk.Conversation(own_tag=tag))

    def exponents(self, who, random):
        encoded = {one["message"]: one for one in self.record["messages"]}
        publics = []
        for one in self.record["log"]:
            if one.get("who") == who and one["ev"] == "auth":
                publics.append(one["dh_pub"])
                if bytes.fromhex(one["r"]) != bytes(16):
                    random.queues[16].append(bytes.fromhex(one["r"]))
            elif one.get("who") == who and one["ev"] == "ctx":
                publics += [one["our_old_dh_pub"], one["our_dh_pub"]]
            elif one.get("from") == who and one["ev"] == "msg" and one["message"] in encoded:
                content = messages.decode(forms.form_of(one["message"]).value).content
                if isinstance(content, messages.Data):
                    publics.append(f"{content.next_public:x}")
        for public in dict.fromkeys(one.zfill(384)[:40] for one in publics):
            secret = bytes.fromhex(self.secrets[public])
            assert pow(2, int.from_bytes(secret, "big"), P).to_bytes(192, "big").hex().startswith(public)
            random.queues[40].append(secret.rjust(40, b"\0"))
        random.queues[16] = deque(dict.fromkeys(random.queues[16]))

    def all_secrets(self):
        """Every recorded exponent, by the first 20 bytes of its public value."""
        found = dict(self.record["dh_private_by_public"])
        for one in self.record["log"]:
            for public, secret in (
                ("dh_pub", "dh_priv"),
                ("our_dh_pub", "our_dh_priv"),
                ("our_old_dh_pub", "our_old_dh_priv"),
            ):
                if one.get(public):
                    found[one[public].zfill(384)[:40]] = one[secret]
        return found

    def secret_of(self, public):
        return int(self.secrets[f"{public:0384x}"[:40]], 16)

    def nonces(self, who, party, random):
        """The nonce of each signature that *who* made, from the signature and the secret key."""
        opened = {}
        for one in self.record["messages"]:
            message = messages.decode(forms.form_of(one["message"]).value)
            content = message.content
            if isinstance(content, messages.Commit):
                commit = content
            elif isinstance(content, messages.Key):
                gy = content.public
            elif isinstance(content, messages.RevealSignature):
                plain = aes(content.revealed, commit.encrypted)
                gx = int.from_bytes(plain[4:], "big")
                opened = {"shared": mpi(pow(gy, self.secret_of(gx), P)), "first": (gx, gy)}
                if one["from"] == who:
                    random.queues[28].extend(nonce(opened, content.encrypted, 1, party.identity))
            elif isinstance(content, messages.Signature) and one["from"] == who:
                random.queues[28].extend(nonce(opened, content.encrypted, 2, party.identity))

    # ---- the play ----

    def run(self):
        while self.log:
            event = self.log.popleft()
            if event["ev"] == "step":
                self.step(event["do"])
            elif event["ev"] == "ctx":
                self.check_context(event)
            else:
                assert event["ev"] != "msg", f"libotr sent a message that we did not: {event}"

    def step(self, what):
        kind, _, rest = what.partition(":")
        alice, bob = self.sides["alice"], self.sides["bob"]
        if kind == "query":
            self.offer(alice, forms.query_text(self.versions))
        elif kind in {"A", "B"}:
            self.say(alice if kind == "A" else bob, rest)
        elif kind in {"smp", "smpq"}:
            self.compare(kind, rest)
        elif kind == "extra":
            alice.now, message = talk.sealed(
                alice.now, (records.Record(records.EXTRA_KEY, b"\0\0\0\x42usedata"),)
            )
            self.deliver(alice, message)
        elif kind in {"discA", "discB"}:
            side = alice if kind == "discA" else bob
            turn = talk.ended(side.now)
            side.now = turn.conversation
            self.deliver(side, *turn.replies)
        else:
            raise AssertionError(what)

    def offer(self, side, text):
        """Send a query, or a tagged text."""
        expected = self.next_message(side)
        query = expected.startswith("?OTRv")
        assert expected.startswith(text) if query else expected == text
        form = forms.form_of(expected)
        assert form.versions == self.versions
        other = self.other(side)
        turn = talk.offered(other.now, max(form.versions), other.party)
        other.now = turn.conversation
        self.deliver(other, *turn.replies)

    def say(self, side, text):
        if side.now.state is talk.State.FINISHED:
            try:
                talk.said(side.now, text.encode())
            except talk.MethodError:
                assert self.next_message(side) == ""
                return
            raise AssertionError("it was sent after the end")
        if side.now.state is talk.State.PLAINTEXT:
            self.offer(side, text + forms.tag_text(self.versions))
            return
        side.now, message = talk.said(side.now, text.encode())
        self.deliver(side, message)
        assert self.other(side).heard[-1] == text.encode()

    def compare(self, kind, rest):
        parts = rest.split(":")
        question = parts.pop(0) if kind == "smpq" else ""
        asker = self.sides["bob" if question else "alice"]
        answerer = self.other(asker)
        secrets = {asker.name: parts[0].encode(), answerer.name: parts[1].encode()}
        recorded = {
            one["who"]: one
            for one in self.record["smp"]
            if one["initiator"] == asker.name and (one["question"] or "") == question
        }
        four = [self.smp_sent.popleft() for _ in range(4)]
        self.comparisons.append((four, recorded, asker.name, answerer.name))
        body = four[0].value.partition(b"\0")[2] if question else four[0].value
        self.draw(asker, recorded[asker.name], smp_numbers(body))
        turn = talk.ask(asker.now, secrets[asker.name], question, asker.party)
        asker.now = turn.conversation
        assert f"{turn.conversation.comparison.secret:064x}" == recorded[asker.name]["x"]
        self.deliver(asker, *turn.replies, answers=secrets)
        holds = recorded[asker.name]["progress"] == 1
        for side in (asker, answerer):
            ended = [one for one in side.happened if isinstance(one, talk.Compared)]
            assert ended[-1].holds is holds
        self.comparisons.popleft()

    def draw(self, side, exponents, numbers):
        """Have *side* draw the exponents, and the nonces of the proofs in *numbers*."""
        second, third = (int(exponents[name], 16) for name in ("exponent_2", "exponent_3"))
        for value in (second, third, numbers[2] + second * numbers[1], numbers[5] + third * numbers[4]):
            side.random.number(value % Q)

    def put_in(self, monkeypatch):
        answer, second, third = (
            smp.answer,
            smp.TABLE[smp.Stage.SECOND, records.SMP_2],
            smp.TABLE[smp.Stage.THIRD, records.SMP_3],
        )

        def answered(comparison, secret, random):
            four, recorded, _, answerer = self.comparisons[0]
            numbers = smp_numbers(four[1].value)
            self.draw(self.sides[answerer], recorded[answerer], numbers)
            for value in (5, 6, 7):
                random.number(value)
            step = answer(comparison, secret, random)
            assert smp_numbers(step.reply.value)[:6] == numbers[:6]
            assert f"{secret:064x}" == recorded[answerer]["x"]
            put = evolve(step.comparison, p=numbers[6], q=numbers[7])
            return evolve(step, reply=four[1], comparison=put)

        def seconded(comparison, value, random):
            four, _, _, _ = self.comparisons[0]
            for number in (5, 6, 7, 8):
                random.number(number)
            step = second(comparison, value, random)
            theirs, ours = smp_numbers(value), smp_numbers(four[2].value)
            quotients = [ours[at] * pow(theirs[6 + at], -1, P) % P for at in (0, 1)]
            assert ours[5] == pow(quotients[1], comparison.third, P)
            put = evolve(step.comparison, p=quotients[0], q=quotients[1])
            return evolve(step, reply=four[2], comparison=put)

        def thirded(comparison, value, random):
            numbers = smp_numbers(self.comparisons[0][0][3].value)
            random.number((numbers[2] + comparison.third * numbers[1]) % Q)
            return third(comparison, value, random)

        monkeypatch.setattr(smp, "answer", answered)
        monkeypatch.setitem(smp.TABLE, (smp.Stage.SECOND, records.SMP_2), seconded)
        monkeypatch.setitem(smp.TABLE, (smp.Stage.THIRD, records.SMP_3), thirded)

    # ---- the wire ----

    def other(self, side):
        return self.sides["bob" if side.name == "alice" else "alice"]

    def next_message(self, side):
        while (event := self.log.popleft())["ev"] != "msg":
            if event["ev"] == "ctx":
                self.check_context(event)
            assert event["ev"] != "step"
        assert event["from"] == side.name
        return event["message"]

    def deliver(self, side, *out, answers=None):
        """Send *out* from *side*, compare with what libotr sent, and have the other side take it in."""
        for message in out:
            text = forms.encoded_text(messages.encode(message))
            self.check_keys(side, message, text)
            tags = (message.sender, message.receiver) if message.version == 3 else None
            for piece in fragments.cut(text, self.size, tags):
                assert piece == self.next_message(side)
                self.take(self.other(side), piece, answers)
            self.sent += 1

    def check_keys(self, side, message, text):
        recorded = self.whole.popleft()
        assert recorded["message"] == text
        content = message.content
        if not isinstance(content, messages.Data) or side.now.session is None:
            return
        pair = side.now.session.pairs[content.sender_key, content.recipient_key]
        assert pair.sending.hex() == recorded["sending_aes_key"]
        assert pair.sending_mac.hex() == recorded["sending_mac_key"]
        assert pair.extra.hex() == recorded["extra_symmetric_key"]
        published = content.published.hex()
        assert [published[at : at + 40] for at in range(0, len(published), 40)] == recorded[
            "revealed_mac_keys"
        ]

    def take(self, side, text, answers):
        form = forms.form_of(text)
        if isinstance(form, forms.Fragment):
            side.partial, text = fragments.put_together(side.partial, form)
            if text is None:
                return
            form = forms.form_of(text)
        message = messages.decode(form.value)
        assert messages.encode(message) == form.value
        turn = talk.receive(side.now, message, side.party)
        side.now = turn.conversation
        side.happened += turn.happened
        side.heard += [one.text for one in turn.happened if isinstance(one, talk.Said)]
        self.deliver(side, *turn.replies, answers=answers)
        if any(isinstance(one, talk.Asked) for one in turn.happened):
            turn = talk.answer(side.now, answers[side.name], side.party)
            side.now = turn.conversation
            self.deliver(side, *turn.replies, answers=answers)

    def check_context(self, event):
        """Compare with the state that libotr had; where both sides have talked on since, only what stays."""
        now = self.sides[event["who"]].now
        if now.session is None:
            return
        assert now.ssid.hex() == event["ssid"]
        assert now.first_half == (event["ssid_half_bold"] == 0)
        assert now.identity.hashed.hex() == event["their_fingerprint"]
        assert now.session.version == event["version"]


def aes(key, data):
    opener = Cipher(algorithms.AES(key), modes.CTR(bytes(16))).decryptor()
    return opener.update(data) + opener.finalize()


def nonce(opened, encrypted, half, identity):
    """What has to be drawn for the signature in *encrypted*: its nonce, and a factor that does not show."""
    key = identity.public
    shared = opened["shared"]
    cipher = hashlib.sha256(b"\1" + shared).digest()[16 * (half - 1) : 16 * half]
    inside = aes(cipher, encrypted)
    signature, before = inside[-40:], inside[:-40]
    publics = opened["first"] if half == 1 else opened["first"][::-1]
    signing = hashlib.sha256(bytes([2 if half == 1 else 4]) + shared).digest()
    signed = hmac.digest(signing, mpi(publics[0]) + mpi(publics[1]) + before, "sha256")
    r, s = (int.from_bytes(signature[at : at + 20], "big") for at in (0, 20))
    value = (int.from_bytes(signed, "big") + identity.x * r) * pow(s, -1, key.q) % key.q
    return (value - 1).to_bytes(28, "big"), (12345).to_bytes(28, "big")
