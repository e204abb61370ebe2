"""The API that every face calls: a request of the table in, a value out.

Who asks is either a stream, which acts on its own account and no other (law 9), or the administrator at the socket, who
names an account or means the one there is.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from attrs import field, frozen
from twisted.internet.defer import maybeDeferred

from e2eproxy.control import answers as a
from e2eproxy.control import everybody, verification
from e2eproxy.control.account import OfAccount
from e2eproxy.control.lines import help_text
from e2eproxy.control.table import FORMATS, INHERIT, LIBOTR, OURS, SCOPES
from e2eproxy.control.words import Face
from e2eproxy.errors import LocalError
from e2eproxy.proxy.rules import Scope
from e2eproxy.proxy.sticky import Word
from e2eproxy.trust.values import Decision
from e2eproxy.xmpp.jid import JID, BadJID

if TYPE_CHECKING:
    from collections.abc import Callable

    from twisted.internet.defer import Deferred

    from e2eproxy.control.lines import Request
    from e2eproxy.control.stored import Stored
    from e2eproxy.methods.otr.key_files import Form
    from e2eproxy.proxy.guards import Guards


@frozen(kw_only=True)
class Asker:
    """Who asks. A stream has the full JID *own*; the administrator, who has none, may name an *account*.

    What follows is of the command line alone: *passphrase* and *archive* (base64), *sure* of a reset, *replace* in an import. *format*:
    of that file, or of what is exported ("": ours); *protocol*: what libotr's files call XMPP.
    """

    face: Face
    own: JID | None = None
    account: str = ""
    passphrase: str = field(default="", repr=False)
    archive: str = field(default="", repr=False)
    format: str = ""
    protocol: str = ""
    sure: bool = False
    replace: bool = False


@frozen(kw_only=True)
class Daemon:
    """What is known of the daemon itself: *version*, since when it is up and *now* (seconds), how many *clients* it has."""

    version: str
    started: float
    now: Callable[[], float]
    clients: Callable[[], int]


class Api:
    """Of all accounts of *guards*."""

    def __init__(self, guards: Guards, stored: Stored, daemon: Daemon) -> None:
        self.guards = guards
        self._stored = stored
        self._daemon = daemon

    def do(self, request: Request, asker: Asker) -> Deferred[a.Answer]:
        """Do what is asked for; fails with LocalError for what cannot be done, whose text says what to do next."""
        done: Deferred[a.Answer] = maybeDeferred(_DO[request.command.name], self, request, asker)
        return done

    # -- whom it is about ------------------------------------------------------------------------------------------------

    def account(self, asker: Asker) -> OfAccount:
        """The account that *asker* means. Raises LocalError, which names those there are."""
        account = asker.own.bare if asker.own is not None else self._named(asker)
        desk, why_not = self.guards.desk(account)
        if desk is None:
            raise LocalError(
                f"No client of {account} is logged in through e2eproxy: log in with one, and say it again. Logged in are: "
                f"{_names(self.guards.accounts)}."
            )
        streams = self.guards.of(account)
        own = asker.own or (streams[0].own if streams else None)
        return OfAccount(self.guards, desk, own, why_not)

    def readable(self, asker: Asker) -> OfAccount:
        """As ``account``, if what is stored of it can be read: nothing is decided or shown of what nobody knows (law 1)."""
        account = self.account(asker)
        why_not = account.status().why_not
        if why_not:
            raise LocalError(
                f"Nothing can be done: {why_not}. The log of the daemon says more; then log in again."
            )
        return account

    def _named(self, asker: Asker) -> JID:
        if asker.account:
            return address(asker.account, "account").bare
        open_now = self.guards.accounts
        if len(open_now) == 1:
            return open_now[0]
        if not open_now:
            raise LocalError(
                "No client is logged in through e2eproxy yet: let one connect to it and log in, or name an account with "
                "--account."
            )
        raise LocalError(f"Say which account with --account: {_names(open_now)}.")

    def nobody(self, asker: Asker) -> bool:
        """Whether the administrator means no account in particular, and there is none that could be meant."""
        return asker.face is Face.CLI and not asker.account and not self.guards.accounts

    def stored_account(self, asker: Asker) -> JID:
        """The account of what is done with the store: it need not be logged in."""
        return self._named(asker)

    # -- what needs no account -----------------------------------------------------------------------------------------

    def status(self, asker: Asker) -> a.Status:
        """How the daemon is, and the accounts that *asker* may see."""
        mine = None if asker.face is Face.CLI else self.account(asker)
        if mine is None and asker.account:
            mine = self.account(asker)
        shown = [mine] if mine is not None else [self._open(one) for one in self.guards.accounts]
        return a.Status(
            version=self._daemon.version,
            uptime=self._daemon.now() - self._daemon.started,
            clients=self._daemon.clients() if mine is None else len(mine.status().streams),
            contact=str(self.guards.proxy),
            accounts=tuple(one.status() for one in shown if one is not None),
        )

    def _open(self, account: JID) -> OfAccount | None:
        desk, why_not = self.guards.desk(account)
        return None if desk is None else OfAccount(self.guards, desk, None, why_not)

    @property
    def stored(self) -> Stored:
        """What is done with the store."""
        return self._stored


def _names(accounts: tuple[JID, ...]) -> str:
    return ", ".join(sorted(map(str, accounts))) or "none"


def address(text: str, what: str) -> JID:
    """*Text* as a prepared address. Raises LocalError, which does not repeat it."""
    try:
        return JID.parse(text)
    except BadJID:
        raise LocalError(f"That is no address of {what}; write it as juliet@example.org.") from None


def _contact(request: Request) -> JID | None:
    return None if request.contact is None else address(request.contact, "a contact").bare


def _someone(request: Request) -> JID:
    contact = _contact(request)
    if contact is None:
        raise LocalError("Say which contact it is about: write the address first.")
    return contact


def _policy(api: Api, request: Request, asker: Asker) -> a.Policy | Deferred[a.PolicySet]:
    contact, said = _contact(request), request.values
    if "setting" not in said:
        if "scope" in said:
            raise LocalError(
                "Say what is to be set, and to what; without anything behind it policy shows what holds."
            )
        if contact is None and api.nobody(asker):
            return everybody.policy(api.guards)
        return api.readable(asker).policy(contact)
    if "value" not in said:
        raise LocalError(f"Write behind {said['setting']} to what it is set; {INHERIT} takes it away.")
    usual = Scope.ACCOUNT if contact is None else Scope.CONTACT
    scope = Scope(said["scope"]) if "scope" in said else usual
    if scope is Scope.DEFAULT and asker.face is not Face.CLI:
        others = ", ".join(SCOPES[:-1])
        raise LocalError(
            f"What holds for all accounts is set at the command line or in the configuration; here there are {others}."
        )
    value = said["value"].strip()
    value = "" if value.lower() == INHERIT else value
    if scope is not Scope.DEFAULT and contact is None and api.nobody(asker):
        raise LocalError(
            "No client is logged in through e2eproxy yet, so there is no account to set it for: log in with one, or set it for "
            f"all accounts: policy {said['setting']} {value or INHERIT} for {Scope.DEFAULT.value}."
        )
    if scope is Scope.DEFAULT:
        return everybody.set_policy(api.guards, said["setting"], value)
    return api.readable(asker).set_policy(contact, said["setting"], value, scope)


def _verify(api: Api, request: Request, asker: Asker) -> a.Ways | a.Asked | Deferred[a.Decided]:
    account, contact, said = api.readable(asker), _someone(request), request.values
    if "way" not in said:
        return verification.ways(account, contact)
    return verification.verify(
        account,
        contact,
        said["way"],
        prefix=said.get("fingerprint", ""),
        question=said.get("question", ""),
        secret=said.get("secret", ""),
    )


def _help(_api: Api, request: Request, asker: Asker) -> a.Help:
    return a.Help(text=help_text(asker.face, request.values.get("command")))


def _log(api: Api, request: Request, asker: Asker) -> a.Log:
    number = request.values.get("number")
    return api.account(asker).log(None if number is None else int(number))


def _export(api: Api, _request: Request, asker: Asker) -> Deferred[a.Exported] | Deferred[a.KeyFiles]:
    if asker.format in {"", OURS}:
        return api.stored.export(api.stored_account(asker), asker.passphrase)
    if asker.format != LIBOTR:
        raise LocalError(
            f"An export is written as {OURS} or {LIBOTR}; every OTR program reads what libotr reads."
        )
    return api.stored.hand_out(api.stored_account(asker), asker.protocol)


def _import(api: Api, _request: Request, asker: Asker) -> Deferred[a.Imported]:
    if asker.format in {"", OURS}:
        return api.stored.restore(asker.archive, asker.passphrase, replace=asker.replace)
    if asker.format not in FORMATS:
        raise LocalError(f"A file is read as one of {', '.join(FORMATS)}.")
    form: Form = "libotr" if asker.format == LIBOTR else "potr"
    return api.stored.take_over(api.stored_account(asker), form, asker.archive, replace=asker.replace)


#: Each gives an answer or a Deferred of one, which is not a Deferred of any answer: it is invariant.
_DO: Final[dict[str, Callable[[Api, Request, Asker], Any]]] = {
    "status": lambda api, _, asker: api.status(asker),
    "peers": lambda api, _, asker: api.readable(asker).peers(),
    "start": lambda api, said, asker: api.readable(asker).session(_someone(said), "start"),
    "end": lambda api, said, asker: api.readable(asker).session(_someone(said), "end"),
    "keys": lambda api, said, asker: api.readable(asker).keys(_contact(said)),
    "fingerprints": lambda api, said, asker: api.readable(asker).fingerprints(_someone(said)),
    "trust": lambda api, said, asker: api.readable(asker).decide(
        _contact(said), said.values["fingerprint"], Decision.ACCEPTED
    ),
    "distrust": lambda api, said, asker: api.readable(asker).decide(
        _contact(said), said.values["fingerprint"], Decision.DISTRUSTED
    ),
    "verify": _verify,
    "policy": _policy,
    "clear": lambda api, said, asker: api.readable(asker).clear(_someone(said), Word(said.values["word"])),
    "require": lambda api, said, asker: api.readable(asker).require(_someone(said)),
    "methods": lambda api, _, asker: (
        everybody.methods(api.guards) if api.nobody(asker) else api.account(asker).methods()
    ),
    "log": _log,
    "show": lambda api, said, asker: api.readable(asker).show(said.values["reference"]),
    "export": _export,
    "import": _import,
    "reset": lambda api, _, asker: api.stored.reset(api.stored_account(asker), sure=asker.sure),
    "help": _help,
}
