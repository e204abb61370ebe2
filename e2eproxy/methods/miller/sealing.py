"""Encrypting and decrypting: a payload under an SMK, an SMK for a device. JWE (RFC 7516, 7518) by joserfc.

Every payload has a content key of its own, from the randomness that is handed in (law 7); only RSA's padding draws its own
inside OpenSSL. Where a key does not unwrap, decryption goes on with a random one and ends at the tag: there is one kind of failure
and one place for it, so that nobody learns by trying (RFC 3218, RFC 7516 section 11.5).
"""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, Any, Final, cast

from cryptography.exceptions import InvalidTag
from joserfc import jwe
from joserfc.errors import JoseError, UnsupportedAlgorithmError
from joserfc.jwa import JWEAlgModel, JWEDirectEncryption, JWEEncModel, JWEKeyEncryption, JWEKeyWrapping
from joserfc.jwe import JWERegistry, Recipient
from joserfc.jwk import OctKey

from e2eproxy.methods.miller import headers
from e2eproxy.methods.miller.failures import DecryptionError
from e2eproxy.methods.miller.wire import Encrypted

if TYPE_CHECKING:
    from collections.abc import Callable

    from joserfc.jwk import KeyFlexible

    from e2eproxy.methods.miller.keys import PrivateKey, PublicKey

ALG: Final = "A256KW"
ENC: Final = "A256CBC-HS512"
SMK_BYTES: Final = headers.WRAPPINGS[ALG]


def seal(smk: bytes, sid: str, payload: bytes, random: Callable[[int], bytes]) -> Encrypted:
    """Encrypt *payload* under the key *smk* of ``SMK_BYTES`` bytes called *sid*."""
    header = {"alg": ALG, "enc": ENC, "kid": sid}
    return Encrypted.of(sid, _encrypted(header, payload, OctKey.import_key(smk), random))


def open_(smk: bytes, sealed: Encrypted, random: Callable[[int], bytes], *, direct: bool = False) -> bytes:
    """The payload of *sealed*; *direct* as in ``headers.of_stanza``. Raises DecryptionError."""
    header = headers.of_stanza(sealed.header, sealed.sid, direct=direct)
    expected = headers.CONTENT[header.enc] if header.alg == headers.DIRECT else headers.WRAPPINGS[header.alg]
    if len(smk) != expected:
        raise DecryptionError
    return _decrypted(header, sealed, OctKey.import_key(smk), random)


def wrap(key: PublicKey, sid: str, payload: bytes, random: Callable[[int], bytes]) -> Encrypted:
    """Encrypt *payload*, the JSON of the key *sid*, for the owner of *key* (RSA)."""
    alg = key.alg if key.alg in headers.TRANSPORTS else headers.TRANSPORTS[0]
    header = {"alg": alg, "enc": ENC, "kid": key.kid or key.thumbprint, "cty": "jwk+json"}
    return Encrypted.of(sid, _encrypted(header, payload, key.jose(), random))


def unwrap(
    own: PrivateKey, wrapped: Encrypted, random: Callable[[int], bytes], *, rsa15: bool = False
) -> bytes:
    """The payload of *wrapped*; *rsa15* as in ``headers.of_key``. Raises DecryptionError."""
    header = headers.of_key(wrapped.header, rsa15=rsa15)
    return _decrypted(header, wrapped, own.jose, random)


def _encrypted(
    header: dict[str, Any], payload: bytes, key: KeyFlexible, random: Callable[[int], bytes]
) -> str:
    return jwe.encrypt_compact(header, payload, key, registry=_registry(header["alg"], header["enc"], random))


def _decrypted(
    header: headers.Encryption, sealed: Encrypted, key: KeyFlexible, random: Callable[[int], bytes]
) -> bytes:
    registry = _registry(header.alg, header.enc, random)
    try:
        plaintext = jwe.decrypt_compact(sealed.compact, key, registry=registry).plaintext
    except (JoseError, ValueError, InvalidTag):
        raise DecryptionError from None
    if plaintext is None:
        raise DecryptionError
    return plaintext


class _Registry(JWERegistry):
    """Exactly two algorithms, our randomness, and our bounds, which the elements were held to already."""

    max_protected_header_length = 2 * headers.LONGEST
    max_encrypted_key_length = 2 * 1024
    max_ciphertext_length = 2**21

    def __init__(self, alg: str, enc: str, random: Callable[[int], bytes]) -> None:
        super().__init__(algorithms=[alg, enc])
        self._alg = alg
        self._enc = _Content(super().get_enc(enc), random)

    def get_alg(self, name: str) -> JWEAlgModel:
        if name != self._alg:
            raise UnsupportedAlgorithmError
        # Not by way of super, which would warn of RSA1_5: the user has decided that.
        alg = self.algorithms["alg"][name]
        return alg if isinstance(alg, JWEDirectEncryption) else _Evasive(alg, self._enc)

    def get_enc(self, name: str) -> JWEEncModel:
        if name != self._enc.name:
            raise UnsupportedAlgorithmError
        return self._enc


@lru_cache(64)
def _registry(alg: str, enc: str, random: Callable[[int], bytes]) -> _Registry:
    return _Registry(alg, enc, random)


class _Content(JWEEncModel):
    """An algorithm for content, with the randomness that is handed in."""

    def __init__(self, inner: JWEEncModel, random: Callable[[int], bytes]) -> None:
        self.name, self.description = inner.name, inner.description
        self.iv_size, self.cek_size = inner.iv_size, inner.cek_size
        self._inner = inner
        self._random = random

    def generate_cek(self) -> bytes:
        return self._random(self.cek_size // 8)

    def generate_iv(self) -> bytes:
        return self._random(self.iv_size // 8)

    def encrypt(self, plaintext: bytes, cek: bytes, iv: bytes, aad: bytes) -> tuple[bytes, bytes]:
        return self._inner.encrypt(plaintext, cek, iv, aad)

    def decrypt(self, ciphertext: bytes, tag: bytes, cek: bytes, iv: bytes, aad: bytes) -> bytes:
        return self._inner.decrypt(ciphertext, tag, cek, iv, aad)


class _Evasive(JWEKeyEncryption):
    """An algorithm for keys that gives a random key where it finds none."""

    def __init__(self, inner: JWEAlgModel, content: _Content) -> None:
        self.name, self.description = inner.name, inner.description
        self.key_size = inner.key_size
        self._inner = cast("JWEKeyEncryption | JWEKeyWrapping", inner)
        self._content = content

    def encrypt_cek(self, cek: bytes, recipient: Recipient[Any]) -> bytes:
        return self._inner.encrypt_cek(cek, recipient)

    def decrypt_cek(self, recipient: Recipient[Any]) -> bytes:
        instead = self._content.generate_cek()
        try:
            found = self._inner.decrypt_cek(recipient)
        except (JoseError, ValueError):
            return instead
        return found if len(found) == len(instead) else instead
