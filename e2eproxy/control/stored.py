"""What is done with all that the store has of an account: written into an archive, taken over from one, forgotten.

Only while no client of the account is logged in where it changes something: engines hold in memory what they read at the
start (law 5). Passphrases come as values and go nowhere else (law 8).
"""

from __future__ import annotations

from base64 import b64decode, b64encode
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING, TypeVar

from e2eproxy.control import answers as a
from e2eproxy.errors import LocalError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from twisted.internet.defer import Deferred

    from e2eproxy.methods.otr.key_files import Form, Found
    from e2eproxy.proxy.computations import InThread
    from e2eproxy.proxy.guards import Guards
    from e2eproxy.trust.archive import Imported
    from e2eproxy.trust.archive_values import Content
    from e2eproxy.trust.transaction import Transaction
    from e2eproxy.xmpp.jid import JID

T = TypeVar("T")


class Stored:
    """*in_thread* calls a slow function elsewhere; *wall*: seconds since 1970; *random*: secret bytes."""

    def __init__(
        self,
        guards: Guards,
        *,
        in_thread: InThread,
        wall: Callable[[], float],
        random: Callable[[int], bytes],
    ) -> None:
        self._guards = guards
        self._in_thread = in_thread
        self._wall = wall
        self._random = random

    def accounts(self) -> Deferred[tuple[str, ...]]:
        """All accounts that have something in the store."""
        return self._guards.writer.run(lambda work: work.accounts())

    def export(self, account: JID, passphrase: str) -> Deferred[a.Exported]:
        """The archive of *account*, sealed with *passphrase*."""
        from e2eproxy.trust import archive  # noqa: PLC0415 - hardly ever needed

        name, already = str(account), account in self._guards.accounts
        _require(passphrase)

        def read(work: Transaction) -> Content:
            if name not in work.accounts():
                raise LocalError(
                    f"Nothing is stored of {name}: log in once with a client, or see status for the names."
                )
            with _opened(work, name, self._wall(), already=already):
                return archive.collect(work, name)

        def seal(content: Content) -> Deferred[bytes]:
            return self._in_thread(lambda: archive.seal(content, passphrase, self._random))

        def sealed(raw: bytes) -> a.Exported:
            return a.Exported(account=name, archive=b64encode(raw).decode())

        return self._guards.writer.run(read).addCallback(seal).addCallback(sealed)

    def restore(self, raw: str, passphrase: str, *, replace: bool) -> Deferred[a.Imported]:
        """Take over the archive *raw* (base64) into the account that it names."""
        from e2eproxy.trust import archive  # noqa: PLC0415 - hardly ever needed
        from e2eproxy.xmpp.jid import JID  # noqa: PLC0415 - as above

        _require(passphrase)
        sealed = _decoded(raw)

        def write(content: Content) -> Deferred[a.Imported]:
            account = JID.parse(content.account)
            self._let_go(account)

            def change(work: Transaction) -> Imported:
                done = archive.restore(work, content, self._wall(), replace=replace)
                work.close_account(content.account)
                return done

            return self._guards.writer.run(change).addCallback(_told, content.account)

        return self._in_thread(lambda: archive.unseal(sealed, passphrase)).addCallback(write)

    def take_over(self, account: JID, form: Form, raw: str, *, replace: bool) -> Deferred[a.Imported]:
        """Take over the key file *raw* (base64) of another OTR program into *account*."""
        from e2eproxy.control import otr_keys  # noqa: PLC0415 - hardly ever needed
        from e2eproxy.methods.otr import key_files  # noqa: PLC0415 - as above

        content, name = _decoded(raw), str(account)

        def write(found: Found) -> Deferred[a.Imported]:
            self._let_go(account)

            def change(work: Transaction) -> Imported:
                done = otr_keys.take_over(work, account, found, self._wall(), replace=replace)
                work.close_account(name)
                return done

            return self._guards.writer.run(change).addCallback(_told, name)

        read = partial(key_files.read, content, form, account, self._random)
        return self._in_thread(read).addCallback(write)

    def hand_out(self, account: JID, protocol: str) -> Deferred[a.KeyFiles]:
        """The files in which libotr has what we have of *account* for OTR; they are not sealed."""
        from e2eproxy.control import otr_keys  # noqa: PLC0415 - hardly ever needed

        name, already = str(account), account in self._guards.accounts

        def read(work: Transaction) -> a.KeyFiles:
            if name not in work.accounts():
                raise LocalError(f"Nothing is stored of {name}; see status for the names.")
            with _opened(work, name, self._wall(), already=already):
                files = otr_keys.hand_out(work, account, protocol or otr_keys.PROTOCOL)
            return a.KeyFiles(
                account=name, files={ending: b64encode(raw).decode() for ending, raw in files.items()}
            )

        return self._guards.writer.run(read)

    def reset(self, account: JID, *, sure: bool) -> Deferred[a.Losses]:
        """Forget *account*, if the user is *sure*; else say what would be lost."""
        name = str(account)
        if sure:
            self._let_go(account)

        def change(work: Transaction) -> tuple[str, ...]:
            lost = work.reset(name) if sure else work.losses(name)
            return tuple(lost.lines())

        def done(lines: tuple[str, ...]) -> a.Losses:
            if sure:
                self._guards.histories.forget(account)
            return a.Losses(account=name, lines=lines, done=sure)

        return self._guards.writer.run(change).addCallback(done)

    def _let_go(self, account: JID) -> None:
        if not self._guards.let_go(account):
            raise LocalError(
                f"A client of {account} is logged in. Log out with all of them first, and then say it again."
            )


def _told(done: Imported, account: str) -> a.Imported:
    return a.Imported(
        account=account,
        identities=done.identities,
        peer_keys=done.peer_keys,
        settings=done.settings,
        sticky=done.sticky,
        left=done.left,
    )


def _decoded(raw: str) -> bytes:
    try:
        return b64decode(raw, validate=True)
    except ValueError:
        raise LocalError("What was sent is damaged: it is not base64.") from None


@contextmanager
def _opened(work: Transaction, account: str, at: float, *, already: bool) -> Iterator[None]:
    """Open *account* for a reader, and let go of it again, unless a client has it open *already*."""
    if already:
        yield
        return
    work.open_account(account, at)
    try:
        yield
    finally:
        work.close_account(account)


def _require(passphrase: str) -> None:
    if not passphrase:
        raise LocalError("An empty passphrase protects nothing; choose one.")
