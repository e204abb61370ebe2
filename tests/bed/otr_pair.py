"""Two sides of our own OTR machines, joined: for tests of what they do with each other."""

from __future__ import annotations

import functools
import random

from attrs import define, field

from e2eproxy.errors import RemoteError
from e2eproxy.methods.otr import conversation as talk
from e2eproxy.methods.otr import forms, fragments, messages
from e2eproxy.methods.otr.identity import Party, new_key


@functools.cache
def identity(name):
    """A key that is made once for all tests."""
    return new_key(random.Random(f"key of {name}").randbytes)


@define
class End:
    """One side: what it is now, and all that has happened there. Its ``tag`` is an instance tag."""

    name: str
    tag: int
    party: Party
    now: talk.Conversation
    partial: fragments.Partial = field(factory=fragments.Partial)
    happened: list = field(factory=list)

    @property
    def heard(self):
        return [one.text for one in self.happened if isinstance(one, talk.Said) and one.text]

    def do(self, turn):
        """Take over what came of something; returns what to send, as texts."""
        self.now = turn.conversation
        self.happened += turn.happened
        return [forms.encoded_text(messages.encode(one)) for one in turn.replies]

    def say(self, text):
        self.now, message = talk.said(self.now, text)
        return [forms.encoded_text(messages.encode(message))]

    def take(self, text):
        """Take in a text; returns the answers. Raises what the machines raise."""
        form = forms.form_of(text)
        if isinstance(form, forms.Fragment):
            self.partial, whole = fragments.put_together(self.partial, form)
            return [] if whole is None else self.take(whole)
        if not isinstance(form, forms.Encoded):
            return []
        return self.do(talk.receive(self.now, messages.decode(form.value), self.party))

    def survives(self, text):
        """Take in a text of the worst peer: a RemoteError changes nothing, and nothing else is raised."""
        before = self.now
        try:
            return self.take(text)
        except RemoteError:
            assert self.now is before
            return []


def end(name, tag, seed=0):
    party = Party(identity=identity(name), random=random.Random(f"{seed}/{name}").randbytes)
    return End(name, tag, party, talk.Conversation(own_tag=tag))


def settle(queue, ends, limit=200):
    """Carry (who takes it, text) until nobody has anything to say; at most *limit* messages."""
    count = 0
    while queue:
        who, text = queue.pop(0)
        other = 1 - who
        queue += [(other, one) for one in ends[who].survives(text)]
        count += 1
        assert count <= limit, "they do not come to rest"
    return count


def pair(version=3, seed=0, *, live=True):
    """(alice, bob), with a session if *live*; bob began."""
    ends = end("alice", 0x1234, seed), end("bob", 0xFFFFFFFE, seed)
    if live:
        settle([(0, one) for one in ends[1].do(talk.offered(ends[1].now, version, ends[1].party))], ends)
        assert all(one.now.state is talk.State.ENCRYPTED for one in ends)
    return ends
