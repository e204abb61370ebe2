"""python-potr, an implementation of OTR version 2 that has nothing in common with libotr, as the other side of our machines.

It was written for pycrypto, which does not build any more. Its successor pycryptodome has no signatures over a number and another
counter mode, so those two are put in here. LGPL; used by tests only, as it is, and nothing of it is copied.
"""

from __future__ import annotations

import secrets

from Crypto.Cipher import AES
from Crypto.PublicKey import DSA
from potr import context, crypt
from potr.compatcrypto import pycrypto
from potr.context import STATE_ENCRYPTED, STATE_FINISHED, STATE_PLAINTEXT

from bed.otr_pair import identity

STATES = {STATE_PLAINTEXT: "plaintext", STATE_ENCRYPTED: "encrypted", STATE_FINISHED: "finished"}


def _counter_mode(key, counter=0):
    counter = counter if isinstance(counter, pycrypto.Counter) else pycrypto.Counter(counter)
    return AES.new(key, AES.MODE_CTR, nonce=counter.byteprefix(), initial_value=counter.val)


def _sign(self, value):
    key = self.priv
    p, q, g, x = (int(one) for one in (key.p, key.q, key.g, key.x))
    nonce = secrets.randbelow(q - 1) + 1
    r = pow(g, nonce, p) % q
    s = pow(nonce, -1, q) * (int.from_bytes(value, "big") + x * r) % q
    return r.to_bytes(20, "big") + s.to_bytes(20, "big")


def _verify(self, value, signature):
    p, q, g, y = (int(one) for one in (self.pub.p, self.pub.q, self.pub.g, self.pub.y))
    r, s = (int.from_bytes(half, "big") for half in (signature[:20], signature[20:]))
    if not (0 < r < q and 0 < s < q):
        return False
    w = pow(s, -1, q)
    one, other = pow(g, int.from_bytes(value, "big") * w % q, p), pow(y, r * w % q, p)
    return one * other % p % q == r


class Key(pycrypto.DSAKey):
    """potr's key, with signatures over a number."""

    sign, verify = _sign, _verify


def fitted():
    """Put in what pycryptodome has not; potr looks keys up by their type."""
    crypt.AESCTR = _counter_mode
    pycrypto.common.pkTypes[Key.keyType] = Key
    return DSA


class _Account(context.Account):
    def loadPrivkey(self):  # noqa: N802 - potr's name
        raw = identity(f"potr {self.name}").encoded()
        return Key.parsePrivateKey(raw)[0]

    def savePrivkey(self):  # noqa: N802 - potr's name
        """It is the same each time."""

    def saveTrusts(self):  # noqa: N802 - potr's name
        """They are asked for where they are."""


class _Context(context.Context):
    def getPolicy(self, key):  # noqa: N802 - potr's name
        return key in {"ALLOW_V2", "SEND_TAG", "WHITESPACE_START_AKE", "ERROR_START_AKE"}

    def inject(self, msg, appdata=None):  # noqa: ARG002 - potr's name
        self.out.append(bytes(msg).decode())


class PotrPeer:
    """One conversation of potr's, with whoever takes what is in ``sent()``; *size* is its longest message, 0: any."""

    def __init__(self, size=0):
        fitted()
        self.account = _Account("alice@example.org", "xmpp", size)
        self.talk = _Context(self.account, "bob@example.org")
        self.talk.out = []
        self.heard, self.unread = [], 0

    @property
    def state(self):
        return STATES[self.talk.state]

    @property
    def session(self):
        return self.talk.crypto.sessionId

    def key_of_peer(self):
        return str(self.talk.crypto.theirPubkey).upper()

    def sent(self):
        out = list(self.talk.out)
        self.talk.out.clear()
        return out

    def query(self):
        return bytes(self.account.getDefaultQueryMessage(self.talk.getPolicy)).decode()

    def say(self, text):
        """Send *text*; returns what leaves."""
        whole = self.talk.sendMessage(context.FRAGMENT_SEND_ALL, text.encode())
        return self.sent() if whole is None else [*self.sent(), bytes(whole).decode()]

    def take(self, text):
        """Take in *text*; returns what leaves."""
        try:
            heard, _ = self.talk.receiveMessage(text.encode())
        except context.NotOTRMessage:
            self.heard.append(text.encode())
        except (context.ErrorReceived, context.NotEncryptedError, crypt.InvalidParameterError):
            self.unread += 1
        else:
            if heard:
                self.heard.append(heard)
        return self.sent()

    def end(self):
        self.talk.disconnect()
        return self.sent()
