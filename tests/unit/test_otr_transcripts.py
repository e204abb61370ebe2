"""libotr's recorded conversations: with its secrets put in, our machines write and accept the same bytes, to the last."""

from __future__ import annotations

import pytest
from bed import otr_transcript
from bed.otr_transcript import NAMES, Play, load, private_key

from e2eproxy.methods.otr import proofs
from e2eproxy.methods.otr.identity import public_of


def test_there_are_six():
    assert len(NAMES) == 6


@pytest.mark.parametrize("name", NAMES)
def test_the_same_secrets_make_the_same_conversation(name, monkeypatch):
    play = Play(name, monkeypatch)
    play.run()
    assert play.sent == len(play.record["messages"])
    assert not play.whole
    assert not play.smp_sent


@pytest.mark.parametrize("name", NAMES)
def test_the_keys_of_the_exchange_are_libotr_s(name):
    ake = load(name)["ake"]
    ours = proofs.keys_of(int(ake["x"], 16), int(ake["gy"], 16))
    assert ours == proofs.keys_of(int(ake["y"], 16), int(ake["gx"], 16))
    assert ours.ssid.hex() == ake["ssid"]
    for keys, cipher, signed, outer in (
        (ours.reveal, "c", "m1", "m2"),
        (ours.signature, "c_prime", "m1_prime", "m2_prime"),
    ):
        assert keys.cipher.hex() == ake[cipher]
        assert keys.signed.hex() == ake[signed]
        assert keys.outer.hex() == ake[outer]


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("who", ["alice", "bob"])
def test_the_identity_is_encoded_and_named_as_libotr_does(name, who):
    identity = load(name)["identities"][who]
    key = private_key(identity).public
    assert key.hashed.hex() == identity["fingerprint"]
    assert key.fingerprint.replace(" ", "").lower() == identity["fingerprint"]
    assert public_of(key.encoded()) == key
    assert key.encoded().hex().endswith(identity["pubkey_data"])


def test_a_play_with_one_wrong_exponent_fails(monkeypatch):
    play = Play(NAMES[0], monkeypatch)
    queue = play.sides["bob"].random.queues[40]
    queue[0] = (int.from_bytes(queue[0], "big") ^ 1).to_bytes(40, "big")
    with pytest.raises(AssertionError):
        play.run()
    assert otr_transcript.PLACE.is_dir()
