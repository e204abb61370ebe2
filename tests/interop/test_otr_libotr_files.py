"""What is exported is read by libotr itself, which then is who we were: our key, our tag, our contacts."""

from __future__ import annotations

import ctypes
import random

import pytest
from bed.libotr import ACCOUNT, PROTOCOL, Libotr
from bed.otr_pair import end, identity
from test_otr_libotr import loaded  # noqa: F401 - a fixture

from e2eproxy.methods.otr import conversation as talk
from e2eproxy.methods.otr import forms, key_files
from e2eproxy.methods.otr.identity import new_key
from e2eproxy.trust.values import Fingerprint
from e2eproxy.xmpp.jid import JID

KEY = identity("exported")
TAG = 0xFFFFFFFE
SEEN = tuple(
    key_files.Seen(
        contact=JID.parse(f"{name}@example.org"),
        fingerprint=Fingerprint("otr", " ".join([digit * 8] * 5)),
        trust=trust,
    )
    for name, digit, trust in (("bob", "1", "smp"), ("bob", "A", ""), ("carol", "3", "verified"))
)


@pytest.fixture
def files(tmp_path):
    """The three, as ``keys export --format libotr`` writes them."""
    return written(tmp_path, KEY)


def written(tmp_path, key):
    account, protocol = ACCOUNT.decode(), PROTOCOL.decode()
    contents = {
        "private_key": key_files.private_key(account, protocol, key),
        "fingerprints": key_files.fingerprints(account, protocol, SEEN),
        "instance_tags": key_files.instance_tags(account, protocol, TAG),
    }
    for ending, raw in contents.items():
        (tmp_path / f"otr.{ending}").write_bytes(raw)
    return tmp_path / "otr"


@pytest.fixture
def theirs(loaded, files):  # noqa: F811 - the fixture
    """Libotr with what we exported."""
    made = Libotr(loaded, files=files)
    yield made
    made.close()


def fingerprint_of(theirs):
    raw = ctypes.create_string_buffer(20)
    assert theirs.loaded.otrl_privkey_fingerprint_raw(theirs.state, raw, ACCOUNT, PROTOCOL)
    return raw.raw


def test_it_has_our_key(theirs):
    assert fingerprint_of(theirs) == KEY.public.hashed


def test_keys_of_all_shapes_are_read(loaded, tmp_path):  # noqa: F811 - the fixture
    """Numbers whose first bit is set, and those whose first byte is small."""
    for seed in range(3):
        key = new_key(random.Random(seed).randbytes)
        made = Libotr(loaded, files=written(tmp_path, key))
        assert fingerprint_of(made) == key.public.hashed
        made.close()


def test_it_speaks_with_our_key_and_tag(theirs):
    ours = end("bob", 0x200)
    queue = [(True, one) for one in ours.do(talk.offered(ours.now, 3, ours.party))]
    while queue:
        to_them, text = queue.pop(0)
        queue += [(not to_them, one) for one in (theirs if to_them else ours).take(text)]
    assert ours.now.identity == KEY.public
    assert ours.now.peer_tag == TAG
    for text in theirs.say("we meet again"):
        assert isinstance(forms.form_of(text), forms.Encoded)
        ours.take(text)
    assert ours.heard == [b"we meet again"]


def test_it_knows_our_contacts_and_writes_them_again(theirs, files, tmp_path):
    read = theirs.loaded.otrl_privkey_read_fingerprints(
        theirs.state, f"{files}.fingerprints".encode(), None, None
    )
    assert read == 0
    again = tmp_path / "again"
    assert theirs.loaded.otrl_privkey_write_fingerprints(theirs.state, str(again).encode()) == 0
    account = JID.parse(ACCOUNT.decode())
    found = key_files.read(again.read_bytes(), "libotr", account, bytes)
    assert set(found.seen) == set(SEEN)
    assert theirs.loaded.otrl_instag_write(theirs.state, str(again).encode()) == 0
    assert key_files.read(again.read_bytes(), "libotr", account, bytes).tag == TAG
