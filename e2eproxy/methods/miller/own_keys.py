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
from e2eproxy.methods.miller.keys import PrivateKey, fingerprint_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from e2eproxy.methods import events
    from e2eproxy.methods.door import Context
    from e2eproxy.methods.miller.keys import PublicKey

SIGNING: Final = "sk"
ENCRYPTION: Final = "kdk"
WORK: Final = "keys"
VOUCHED: Final = "vouched"
"""The record of other devices' words."""
MOST_WORDS: Final = 4
"""So many other devices' words are shown, and twice as many kept."""
_LENGTH: Final = 4


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
        self._chain = _certificates(context.settings.get("certificate", ""))

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
        if vouched := self.words:
            words[headers.VOUCHED] = list(vouched.values())[:MOST_WORDS]
        if self._chain:
            words["x5c"] = self._chain
        return words

    # -- what other devices of the account say --

    @property
    def words(self) -> dict[str, str]:
        """Other devices' words for this one, by the thumbprints of their keys; those that count here first."""
        record = self._context.view.record(VOUCHED)
        kept: dict[str, str] = {} if record is None else json.loads(record)
        account, view = self._context.account, self._context.view
        return dict(sorted(kept.items(), key=lambda one: not view.usable(account, fingerprint_of(one[0]))))

    def with_word(self, voucher: PublicKey, statement: str) -> e.Persist:
        """Keep the word of *voucher*; of those that count least, only so many are kept."""
        words = {voucher.thumbprint: statement}
        words.update((name, word) for name, word in self.words.items() if name != voucher.thumbprint)
        kept = dict(list(words.items())[: 2 * MOST_WORDS])
        return e.Persist(key=VOUCHED, data=json.dumps(kept).encode())


def _certificates(pem: str) -> list[str]:
    """The chain in *pem* as a JWK has it; nothing if there is none that can be read."""
    try:
        chain = x509.load_pem_x509_certificates(pem.encode()) if pem.strip() else []
    except ValueError:
        return []
    return [base64.b64encode(one.public_bytes(Encoding.DER)).decode() for one in chain]
