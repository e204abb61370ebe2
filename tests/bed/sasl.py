"""The client's side of SASL PLAIN (RFC 4616) and SCRAM-SHA-1 (RFC 5802), as far as the raw client needs it."""

from __future__ import annotations

import base64
import hashlib
import hmac
import secrets

from bed.polling import BedError


def plain(user: str, password: str) -> bytes:
    """The one message of PLAIN."""
    return b"\0" + user.encode() + b"\0" + password.encode()


class ScramSha1:
    """One SCRAM-SHA-1 exchange without channel binding; *gs2* is ``n`` or ``y``."""

    name = "SCRAM-SHA-1"

    def __init__(self, user: str, password: str, gs2: str = "n") -> None:
        """Begin an exchange."""
        self._password = password.encode()
        self._gs2 = f"{gs2},,".encode()
        self._nonce = base64.b64encode(secrets.token_bytes(18))
        name = user.replace("=", "=3D").replace(",", "=2C").encode()
        self._bare = b"n=" + name + b",r=" + self._nonce
        self._server_signature = b""

    def first(self) -> bytes:
        """The client's first message."""
        return self._gs2 + self._bare

    def answer(self, challenge: bytes) -> bytes:
        """The client's final message in answer to the server's first one."""
        fields = _fields(challenge)
        if not fields["r"].startswith(self._nonce):
            raise BedError(f"the server made up our nonce: {challenge!r}")
        salt, rounds = base64.b64decode(fields["s"]), int(fields["i"])
        salted = hashlib.pbkdf2_hmac("sha1", self._password, salt, rounds)
        client_key = _sign(salted, b"Client Key")
        without_proof = b"c=" + base64.b64encode(self._gs2) + b",r=" + fields["r"]
        transcript = b",".join([self._bare, challenge, without_proof])
        signature = _sign(hashlib.sha1(client_key).digest(), transcript)
        proof = bytes(one ^ other for one, other in zip(client_key, signature, strict=True))
        self._server_signature = _sign(_sign(salted, b"Server Key"), transcript)
        return without_proof + b",p=" + base64.b64encode(proof)

    def verify(self, final: bytes) -> None:
        """Check the server's final message: it too knows the password."""
        if not hmac.compare_digest(base64.b64decode(_fields(final)["v"]), self._server_signature):
            raise BedError(f"the server does not know the password: {final!r}")


def _fields(message: bytes) -> dict[str, bytes]:
    pairs = (part.partition(b"=") for part in message.split(b","))
    return {name.decode(): value for name, _, value in pairs}


def _sign(key: bytes, message: bytes) -> bytes:
    return hmac.new(key, message, "sha1").digest()
