"""Capability hashes (XEP-0390): the successor of verification strings, whose text can be read in one way only.

Several hashes of one answer may be announced at once, each with the name of its function; what is hashed keeps features,
identities and forms apart, so nothing of XEP-0115's care for ambiguous answers is needed. It knows no stream and no
stanza; ``own_caps`` finds the hashes in a presence.
"""

from __future__ import annotations

import base64
import hashlib
from typing import TYPE_CHECKING, Final

from e2eproxy.xmpp import names

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from e2eproxy.xmpp.caps import Form, Identity

CAPS2: Final = "urn:xmpp:caps"
HASHES: Final = "urn:xmpp:hashes:2"
C: Final = CAPS2 + names.SEPARATOR + "c"
HASH: Final = HASHES + names.SEPARATOR + "hash"
#: What every implementation has to know (XEP-0300 section 5).
USUAL: Final = "sha-256"

# Between the texts of one thing, behind one thing, behind a form, behind all things of a kind.
_UNIT, _RECORD, _GROUP, _FILE = b"\x1f", b"\x1e", b"\x1d", b"\x1c"


def _blake2b(size: int) -> Callable[[bytes], bytes]:
    return lambda data: hashlib.blake2b(data, digest_size=size).digest()


def _called(name: str) -> Callable[[bytes], bytes]:
    return lambda data: hashlib.new(name, data, usedforsecurity=False).digest()


#: The functions by the names that XEP-0300 gives them.
FUNCTIONS: Final[dict[str, Callable[[bytes], bytes]]] = {
    "sha-1": _called("sha1"),
    "sha-224": _called("sha224"),
    "sha-256": _called("sha256"),
    "sha-384": _called("sha384"),
    "sha-512": _called("sha512"),
    "sha3-256": _called("sha3_256"),
    "sha3-512": _called("sha3_512"),
    "blake2b-256": _blake2b(32),
    "blake2b-512": _blake2b(64),
}


def hash_input(identities: Iterable[Identity], features: Iterable[str], forms: Iterable[Form] = ()) -> bytes:
    """Return what is hashed (XEP-0390 section 4.1). A form's type is one value of one hidden field."""
    return (
        _joined((_texts(feature) for feature in features), _FILE)
        + _joined((_texts(one.category, one.type, one.lang, one.name) + _RECORD for one in identities), _FILE)
        + _joined((_form(form) for form in forms), _FILE)
    )


def capability_hash(name: str, hashed: bytes) -> str:
    """Return the hash of *hashed* in base64; *name* is one of ``FUNCTIONS``."""
    return base64.b64encode(FUNCTIONS[name](hashed)).decode()


def hash_node(name: str, value: str) -> str:
    """Return the service discovery node of just the set of features with this hash (XEP-0390 section 4.3)."""
    return f"{CAPS2}#{name}.{value}"


def _form(form: Form) -> bytes:
    fields = (("FORM_TYPE", (form.type,)), *form.fields)
    written = (_texts(var) + _joined((_texts(value) for value in values), _RECORD) for var, values in fields)
    return _joined(written, _GROUP)


def _texts(*texts: str) -> bytes:
    return b"".join(text.encode() + _UNIT for text in texts)


def _joined(parts: Iterable[bytes], behind: bytes) -> bytes:
    return b"".join(sorted(parts)) + behind
