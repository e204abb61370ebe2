"""Reading what the draft's own examples hold: JOSE as it was before it was finished. Never written, and off by default.

The examples were made with ``A256CBC+HS512`` in a form that no published JOSE draft has: the tag does not cover the IV, so that whoever
changes the IV changes the first sixteen octets of the text unnoticed. What is opened here is marked as such, and no key is ever
given away on its strength.
"""

from __future__ import annotations

import hmac
from typing import TYPE_CHECKING, Final

from cryptography.hazmat.primitives.asymmetric import padding
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.hashes import SHA1
from cryptography.hazmat.primitives.keywrap import InvalidUnwrap, aes_key_unwrap
from cryptography.hazmat.primitives.padding import PKCS7

from e2eproxy.methods.miller import fields, headers
from e2eproxy.methods.miller.failures import DecryptionError

if TYPE_CHECKING:
    from collections.abc import Callable

    from e2eproxy.methods.miller.keys import PrivateKey
    from e2eproxy.methods.miller.wire import Encrypted

NOTE: Final = "It came in a form of older drafts, whose beginning can be changed by others unnoticed."
ENC: Final = "A256CBC+HS512"
_HALF: Final = 32
_IV: Final = 16


def is_legacy(sealed: Encrypted) -> bool:
    """Whether *sealed* says that it is of this form; that its header is sound is not said."""
    return f'"{ENC}"'.encode() in fields.decode(sealed.header)


def open_(smk: bytes, sealed: Encrypted) -> bytes:
    """The payload of *sealed*, encrypted under *smk*. Raises DecryptionError."""
    header = headers.of_stanza(sealed.header, sealed.sid, legacy=True)
    if len(smk) != headers.WRAPPINGS[header.alg]:
        raise DecryptionError
    try:
        key = aes_key_unwrap(smk, fields.decode(sealed.key))
    except InvalidUnwrap:
        key = b""
    return _opened(key, sealed, f"{sealed.header}.{sealed.key}")


def unwrap(own: PrivateKey, wrapped: Encrypted, random: Callable[[int], bytes]) -> bytes:
    """The payload of *wrapped*, a key encrypted for *own*. Raises DecryptionError."""
    header = headers.of_key(wrapped.header, legacy=True)
    if header.alg != "RSA-OAEP":
        raise DecryptionError
    key = random(2 * _HALF)
    try:
        oaep = padding.OAEP(padding.MGF1(SHA1()), SHA1(), None)  # noqa: S303 - what the name RSA-OAEP means
        key = own.raw.decrypt(fields.decode(wrapped.key), oaep)
    except ValueError:
        pass
    return _opened(key, wrapped, wrapped.header)


def _opened(key: bytes, sealed: Encrypted, authenticated: str) -> bytes:
    iv, data, tag = (fields.decode(one) for one in (sealed.iv, sealed.data, sealed.tag))
    covered = authenticated.encode() + data + (8 * len(authenticated)).to_bytes(8, "big")
    expected = hmac.digest(key[:_HALF], covered, "sha512")[:_HALF]
    if not hmac.compare_digest(expected, tag) or len(key) != 2 * _HALF or len(iv) != _IV:
        raise DecryptionError
    decryptor = Cipher(algorithms.AES(key[_HALF:]), modes.CBC(iv)).decryptor()
    unpadder = PKCS7(8 * _IV).unpadder()
    try:
        padded = decryptor.update(data) + decryptor.finalize()
        return unpadder.update(padded) + unpadder.finalize()
    except ValueError:
        raise DecryptionError from None
