"""The key table: SMKs that we made, SMKs that peers gave us, and which stanzas were opened before. All of it is records.

Law 5: what is decided here becomes true only when its ``Persist`` is committed. Law 6: how many keys one contact can have us keep
is bounded. A look-up takes one record, however many there are.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Final
from uuid import UUID

from attrs import asdict, evolve, field, frozen

from e2eproxy.methods import effects as e
from e2eproxy.methods.miller import fields, sealing

if TYPE_CHECKING:
    from collections.abc import Iterator

    from e2eproxy.methods.door import Context
    from e2eproxy.xmpp.jid import JID

DAY: Final = 86_400.0
ACTIVE_FOR: Final = DAY
"""Seconds after which an SMK is not used any more for what is new."""
MOST_STANZAS: Final = 1_000
"""Stanzas after which it is not, either."""
KEPT_FOR: Final = 30 * DAY
"""Seconds for which it is given out after its last use, and for which peers' keys and marks of opened stanzas are kept."""
MOST_PEER_KEYS: Final = 200
"""SMKs of one contact that are kept; the oldest go first."""
MOST_SWEPT: Final = 400
"""Records that are forgotten at once."""


@frozen(kw_only=True)
class Smk:
    """A key of ours for what ``own`` (full JID) writes to ``peer`` (bare JID).

    ``trusted``: the peer's keys that could be used when it was made. ``released``: those it was given to. ``own_devices``:
    those of our own devices that have it. All three are fingerprints' texts. Times are seconds since 1970.
    """

    sid: str
    own: str
    peer: str
    key: str = field(repr=False)
    created: float
    used: float
    count: int = 0
    trusted: tuple[str, ...] = ()
    released: tuple[str, ...] = ()
    own_devices: tuple[str, ...] = ()

    @property
    def octets(self) -> bytes:
        """The key itself."""
        return fields.decode(self.key)

    @property
    def jwk(self) -> bytes:
        """The JWK in which it is given out, as JSON."""
        return json.dumps(
            {"kty": "oct", "kid": self.sid, "k": self.key, "alg": sealing.ALG, "use": "enc"}
        ).encode()

    def released_to(self, fingerprint: str) -> Smk:
        """The same, given to one more key of the peer's."""
        trusted = self.trusted or (fingerprint,)
        return evolve(self, trusted=trusted, released=_with(self.released, fingerprint))

    def shared_with(self, fingerprint: str) -> Smk:
        """The same, given to one more device of ours."""
        return evolve(self, own_devices=_with(self.own_devices, fingerprint))


def _with(known: tuple[str, ...], one: str) -> tuple[str, ...]:
    return known if one in known else (*known, one)


class Table:
    """See the module; one for each account."""

    def __init__(self, context: Context) -> None:
        """Begin with what is in the view."""
        self._context = context

    # -- ours --

    def own(self, sid: str) -> Smk | None:
        """The SMK of ours that is called *sid*, unless it is too old."""
        record = self._context.view.record(f"smk:{sid}")
        if record is None:
            return None
        found = _smk(record)
        return found if self._context.clock() - found.used < KEPT_FOR else None

    def active(self, own: JID, peer: JID, trusted: tuple[str, ...], allowed: frozenset[str]) -> Smk | None:
        """The SMK for what *own* writes to *peer* now; None if it is time for a new one.

        *trusted*: the peer's keys that can be used now. *allowed*: those of both sides that may have it.
        """
        sid = self._context.view.record(f"active:{own}\n{peer.bare}")
        smk = None if sid is None else self.own(sid.decode())
        if smk is None:
            return None
        fresh = 0 <= self._context.clock() - smk.created < ACTIVE_FOR and smk.count < MOST_STANZAS
        unchanged = not smk.trusted or set(smk.trusted) == set(trusted)
        # Whoever has it and should not is kept out from now on.
        return smk if fresh and unchanged and allowed.issuperset((*smk.released, *smk.own_devices)) else None

    def made(self, own: JID, peer: JID, trusted: tuple[str, ...]) -> Smk:
        """A new one."""
        now = self._context.clock()
        key = fields.encode(self._context.random(sealing.SMK_BYTES))
        sid = str(UUID(bytes=self._context.random(16), version=4))
        return Smk(
            sid=sid, own=str(own), peer=str(peer.bare), key=key, created=now, used=now, trusted=trusted
        )

    def activated(self, smk: Smk) -> tuple[e.Persist, ...]:
        """Use *smk* from now on for what its owner writes to its peer."""
        return (self.kept(smk), e.Persist(key=f"active:{smk.own}\n{smk.peer}", data=smk.sid.encode()))

    def kept(self, smk: Smk) -> e.Persist:
        """Keep *smk* as it is now."""
        return e.Persist(key=f"smk:{smk.sid}", data=json.dumps(asdict(smk)).encode())

    def retired(self, own: JID, peer: JID) -> e.Persist:
        """Use a new one from now on; the old one is still given out."""
        return e.Persist(key=f"active:{own}\n{peer.bare}", data=None)

    # -- peers' --

    def of_peer(self, peer: JID, sid: str) -> bytes | None:
        """The key that *peer* (full) calls *sid*, if it is known."""
        record = self._context.view.record(f"peer-smk:{peer}\n{sid}")
        return None if record is None else fields.decode(json.loads(record)["k"])

    def keep_of_peer(self, peer: JID, sid: str, key: bytes) -> tuple[e.Persist, ...]:
        """Keep a key of a peer's; the oldest of the contact is forgotten if there are too many."""
        about = f"peers:{peer.bare}"
        names = [name for name in self._names(about) if name != f"{peer}\n{sid}"]
        names.append(f"{peer}\n{sid}")
        gone, names = names[:-MOST_PEER_KEYS], names[-MOST_PEER_KEYS:]
        data = json.dumps({"k": fields.encode(key), "at": self._context.clock()}).encode()
        return (
            *(e.Persist(key=f"peer-smk:{name}", data=None) for name in gone),
            e.Persist(key=f"peer-smk:{peer}\n{sid}", data=data),
            e.Persist(key=about, data=json.dumps(names).encode()),
        )

    def _names(self, about: str) -> list[str]:
        record = self._context.view.record(about)
        return [] if record is None else [str(name) for name in json.loads(record)]

    # -- what was opened --

    def seen(self, digest: str) -> bool:
        """Whether this was opened before."""
        return self._context.view.record(f"seen:{digest}") is not None

    def note_seen(self, digest: str) -> e.Persist:
        """Note that it was."""
        return e.Persist(key=f"seen:{digest}", data=json.dumps(self._context.clock()).encode())

    # -- time --

    def swept(self) -> tuple[e.Persist, ...]:
        """Forget what is too old, ``MOST_SWEPT`` records at most."""
        found = []
        for key in self._old():
            found.append(e.Persist(key=key, data=None))
            if len(found) >= MOST_SWEPT:
                break
        return tuple(found)

    def _old(self) -> Iterator[str]:
        now, view = self._context.clock(), self._context.view
        for key, data in view.records("seen:").items():
            # Twice: it may be opened as late as this, and come again as late after that.
            if now - json.loads(data) > 2 * KEPT_FOR:
                yield key
        for key, data in view.records("smk:").items():
            if now - json.loads(data)["used"] > KEPT_FOR:
                yield key
        for key, data in view.records("active:").items():
            if view.record(f"smk:{data.decode()}") is None:
                yield key


def _smk(record: bytes) -> Smk:
    values: dict[str, Any] = json.loads(record)
    lists = {name: tuple(values[name]) for name in ("trusted", "released", "own_devices")}
    return Smk(**{**values, **lists})
