"""Our OTR machines and libotr itself, in one process: chats that a seed makes up, through parts and simultaneous starts.

A tenth of the thousand runs, unless E2EPROXY_LONG is set.
"""

from __future__ import annotations

import os
import random
from collections import Counter

import pytest
from bed.libotr import Libotr, library
from bed.otr_pair import end

from e2eproxy.methods.otr import conversation as talk
from e2eproxy.methods.otr import forms, fragments, smp

RUNS = 1000 if os.environ.get("E2EPROXY_LONG") else 100
BATCH = 20


@pytest.fixture(scope="module")
def loaded():
    found = library()
    if found is None and os.environ.get("CI"):
        pytest.fail("libotr5 is not installed")
    if found is None:
        pytest.skip("libotr5 is not installed")
    return found


class Chat:
    """One chat: our end and libotr's, and the texts that are on their way to each."""

    def __init__(self, loaded, seed):
        self.chance = random.Random(seed)
        self.versions = self.chance.choice([(2,), (3,), (2, 3)])
        self.size = self.chance.choice([0, 0, 200, 500])
        self.theirs = Libotr(loaded, self.versions, self.size)
        self.ours = end("bob", 0xFFFF0000 | seed, seed)
        self.to_them, self.to_us, self.said_by_us, self.said_by_them = [], [], [], []
        self.clear, self.counts = [], Counter()
        self.secret = b"the same"

    def send(self, texts):
        for text in texts:
            tags = None
            if text.startswith("?OTR:AAM"):
                tags = self.ours.tag, self.ours.now.peer_tag or self.ours.now.exchange_tag
            cut = self.size and text.startswith("?OTR:")
            self.to_them += fragments.cut(text, self.size - 1, tags) if cut else (text,)

    def deliver_one(self):
        """Deliver one text, to either side."""
        full = [one for one in (self.to_them, self.to_us) if one]
        queue = self.chance.choice(full)
        text = queue.pop(0)
        if queue is self.to_them:
            self.to_us += self.theirs.take(text)
            return
        before = len(self.ours.happened)
        form = forms.form_of(text)
        if isinstance(form, forms.Query):
            common = form.versions & set(self.versions)
            self.send(self.ours.do(talk.offered(self.ours.now, max(common), self.ours.party)))
        elif form is None or isinstance(form, forms.ErrorText):
            self.clear.append(text)
        else:
            self.send(self.ours.survives(text))
        for what in self.ours.happened[before:]:
            if isinstance(what, talk.Asked) and self.ours.now.comparison.stage is smp.Stage.ANSWER:
                self.send(self.ours.do(talk.answer(self.ours.now, self.secret, self.ours.party)))

    def drain(self):
        for _ in range(2000):
            if self.theirs.unasked:
                self.to_us += self.theirs.answer(self.secret)
            if not (self.to_them or self.to_us):
                return
            self.deliver_one()
        raise AssertionError("they do not come to rest")

    # ---- what the users do ----

    @property
    def live(self):
        """Whether both have a session: after handshakes that crossed, libotr may have lost its own, and says so."""
        return self.ours.now.state is talk.State.ENCRYPTED and self.theirs.secure and not self.theirs.failed

    def step(self):
        kinds = ["start", *["deliver"] * 4]
        if self.live:
            kinds += ["we_say", "they_say", "quiet", "deliver"] * 4 + ["finish", "compare", "compare"]
        kind = self.chance.choice(kinds)
        self.counts[kind] += 1
        getattr(self, kind)()

    def text(self):
        return f"text {self.chance.random()}"

    def deliver(self):
        for _ in range(self.chance.randint(1, 12)):
            if self.to_them or self.to_us:
                self.deliver_one()

    def we_say(self):
        text = self.text().encode()
        self.said_by_us.append(text)
        self.send(self.ours.say(text))

    def they_say(self):
        text = self.text()
        self.said_by_them.append(text.encode())
        self.to_us += self.theirs.say(text)

    def quiet(self):
        """When all has arrived, nothing that is said may be lost."""
        self.drain()
        if self.live:
            self.both_are_heard(self.text())
            self.counts["heard"] += 1

    def start(self):
        if self.chance.random() < 0.6:
            self.to_them.append(forms.query_text(frozenset(self.versions)))
        if self.chance.random() < 0.6:
            self.to_us.append("?OTRv" + "".join(map(str, self.versions)) + "?")

    def finish(self):
        if self.chance.random() < 0.5:
            self.send(self.ours.do(talk.ended(self.ours.now)))
        else:
            self.to_us += self.theirs.disconnect()

    def compare(self):
        """Compare secrets without anything else under way; they are the same in half of the cases."""
        self.drain()
        if not self.live:
            return
        self.counts["compared"] += 1
        same = self.chance.random() < 0.5
        question = self.chance.choice(["", "What colour?"])
        asked = b"the same" if same else b"another"
        if self.chance.random() < 0.5:
            self.send(self.ours.do(talk.ask(self.ours.now, asked, question, self.ours.party)))
        else:
            self.to_us += self.theirs.ask(asked, question)
        self.drain()
        results = [one.holds for one in self.ours.happened if isinstance(one, talk.Compared)]
        assert results[-1] is same
        assert self.theirs.compared[-1] is same

    def both_are_heard(self, text):
        assert self.theirs.secure
        self.said_by_us.append(text.encode())
        self.send(self.ours.say(text.encode()))
        self.drain()
        assert self.theirs.heard[-1] == text.encode()
        self.said_by_them.append(text[::-1].encode())
        self.to_us += self.theirs.say(text[::-1])
        self.drain()
        assert self.ours.heard[-1] == text[::-1].encode()

    def run(self):
        self.start()
        if self.chance.random() < 0.7:
            self.drain()
        for _ in range(self.chance.randint(5, 40)):
            self.step()
        self.drain()
        for heard, said in ((self.theirs.heard, self.said_by_us), (self.ours.heard, self.said_by_them)):
            assert [one for one in said if one in set(heard)] == heard, (
                "a wrong text, or twice, or out of order"
            )
        assert not any(one.startswith("text") for one in self.clear)
        # Whatever has happened: who starts again has a session.
        for _ in range(2):
            self.to_them.append(forms.query_text(frozenset(self.versions)))
            self.drain()
        self.both_are_heard("at last")
        self.theirs.close()


@pytest.mark.parametrize("batch", range(RUNS // BATCH))
def test_random_chats(loaded, batch):
    counts = Counter()
    for seed in range(batch * BATCH, (batch + 1) * BATCH):
        chat = Chat(loaded, seed)
        try:
            chat.run()
        except BaseException as error:
            error.add_note(f"seed {seed}")
            raise
        counts += chat.counts
    assert counts["heard"]
    assert counts["compared"]
