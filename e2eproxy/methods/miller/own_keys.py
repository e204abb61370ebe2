"""A device's own two keys: one it signs with and is known by, one that others encrypt SMKs to. Made in a thread, once.

What speaks for them is shown wherever they are: the statement that binds the second to the first, the words of the account's other
devices, a certificate if the user has one.
"""

from __future__ import annotations

import base64
import json
from functools import partial
from typing import TYPE_CHECKING, Any, Final

from attrs import field, frozen
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from e2eproxy.methods import effects as e
from e2eproxy.methods.door import MethodError
from e2eproxy.methods.miller import headers, statements
from e2eproxy.methods.miller.keys import PrivateKey

if TYPE_CHECKING:
    from collections.abc import Callable

    from e2eproxy.methods import events
    from e2eproxy.methods.door import Context

SIGNING: Final = "sk"
ENCRYPTION: Final = "kdk"
WORK: Final = "keys"
MOST_WORDS: Final = 4
"""So many other devices' words are kept and shown."""
_LENGTH: Final = 4

MakeKey = "Callable[[Callable[[int], bytes]], PrivateKey]"


@frozen
class Pair:
    """Both keys, and what binds them."""

    signing: PrivateKey = field(repr=False)
    encryption: PrivateKey = field(repr=False)
    statement: str = field(repr=False)


def made(make: Callable[[Callable[[int], bytes]], PrivateKey], random: Callable[[int], bytes]) -> bytes:
    """Two new keys, each behind its length in 4 bytes; done in a thread."""
    secrets = [make(random).encoded() for _ in (SIGNING, ENCRYPTION)]
    return b"".join(len(one).to_bytes(_LENGTH, "big") + one for one in secrets)


class OwnKeys:
    """See the module; one for each account."""

    def __init__(self, context: Context, make: Callable[[Callable[[int], bytes]], PrivateKey]) -> None:
        """Begin with what is in the view; *make* makes a key."""
        self._context = context
        self._make = make
        self._pair: Pair | None = None
        self._failed = False

    @property
    def there(self) -> bool:
        """Whether they are."""
        view = self._context.view
        return view.identity(SIGNING) is not None and view.identity(ENCRYPTION) is not None

    @property
    def failed(self) -> bool:
        """Whether they could not be made."""
        return self._failed

    @property
    def pair(self) -> Pair:
        """Both keys. Raises MethodError while there are none."""
        if self._pair is None:
            kept = [self._context.view.identity(name) for name in (SIGNING, ENCRYPTION)]
            if kept[0] is None or kept[1] is None:
                raise MethodError("The keys of your own for miller-e2e are not there yet.")
            signing, encryption = (PrivateKey.decoded(one.secret) for one in kept if one is not None)
            statement = statements.device(signing, self._context.account, encryption.public)
            self._pair = Pair(signing, encryption, statement)
        return self._pair

    def wanted(self) -> tuple[e.Effect, ...]:
        """Have them made, if they are not there."""
        if self.there:
            return ()
        self._failed = False
        return (e.Compute(name=WORK, work=partial(made, self._make)),)

    def came(self, event: events.Computed) -> tuple[e.Effect, ...]:
        """Keep what was made; empty if it could not be."""
        self._failed = event.result is None
        if event.result is None or self.there:
            return ()
        length = int.from_bytes(event.result[:_LENGTH], "big")
        first, rest = event.result[_LENGTH : _LENGTH + length], event.result[_LENGTH + length :]
        signing, encryption = PrivateKey.decoded(first), PrivateKey.decoded(rest[_LENGTH:])
        public = signing.public
        return (
            e.PersistIdentity(name=SIGNING, public=public.encoded, secret=first),
            e.PersistIdentity(name=ENCRYPTION, public=encryption.public.encoded, secret=rest[_LENGTH:]),
            e.Learn(contact=self._context.account, fingerprint=public.fingerprint, public=public.encoded),
        )

    # -- how they are shown --

    def signing_header(self, read: str) -> dict[str, Any]:
        """What a signature's header says beside algorithm and name; *read* as in ``headers.READ``, or ""."""
        header: dict[str, Any] = {"jwk": {**dict(self.pair.signing.public.numbers), **self._words()}}
        return header | ({headers.READ: read} if read else {})

    def offered(self) -> bytes:
        """The JWK Set in which SMKs are asked for, as JSON."""
        key = self.pair.encryption.public
        jwk = {
            **dict(key.numbers),
            "kid": key.thumbprint,
            "alg": headers.TRANSPORTS[1],
            "use": "enc",
            headers.DEVICE: self.pair.statement,
            **self._words(),
        }
        return json.dumps({"keys": [jwk]}).encode()

    def _words(self) -> dict[str, list[str]]:
        words: dict[str, list[str]] = {}
        vouched = [one.decode() for one in self._context.view.records("vouched:").values()][:MOST_WORDS]
        if vouched:
            words[headers.VOUCHED] = vouched
        if chain := self._certificates():
            words["x5c"] = chain
        return words

    def _certificates(self) -> list[str]:
        pem = self._context.settings.get("certificate", "")
        if not pem.strip():
            return []
        try:
            chain = x509.load_pem_x509_certificates(pem.encode())
        except ValueError:
            return []
        return [base64.b64encode(one.public_bytes(Encoding.DER)).decode() for one in chain]
