"""What the API answers: values, not text. Each face shows them in its own way (``pages``), or as JSON.

Addresses are prepared JIDs as text, times seconds since 1970 (UTC). Nothing here is secret but what says so.
"""

from __future__ import annotations

from attrs import field, frozen


@frozen(kw_only=True)
class Key:
    """A key of *contact* (the account's own address: of ours), *decision* as in ``trust.values``, *how* it was checked.

    *usable*: whether policy lets text be encrypted to it now.
    """

    contact: str
    method: str
    fingerprint: str
    decision: str
    how: str
    usable: bool
    first_seen: float


@frozen(kw_only=True)
class Session:
    """A session of *method* with *peer* that is in *state*; *fingerprint* and *decision* of its key, empty without one."""

    method: str
    peer: str
    state: str
    fingerprint: str = ""
    decision: str = ""
    forward_secret: bool = False


@frozen(kw_only=True)
class AccountStatus:
    """How an account is: *streams* are the full JIDs of its clients, *why_not* says why nothing of it can leave."""

    account: str
    streams: tuple[str, ...]
    methods: tuple[str, ...]
    when: str
    whom: str
    sessions: int
    waiting: int
    why_not: str = ""


@frozen(kw_only=True)
class Status:
    """How the daemon is; *uptime* in seconds, *contact*: the address at which clients find it."""

    version: str
    uptime: float
    clients: int
    contact: str
    accounts: tuple[AccountStatus, ...]


@frozen(kw_only=True)
class Peer:
    """What is known of a contact: *remembered* as encrypted ("proved", "user", empty), the *word* that holds, its keys."""

    contact: str
    when: str
    remembered: str
    word: str
    keys: int
    verified: int
    sessions: tuple[Session, ...]


@frozen(kw_only=True)
class Peers:
    """The contacts of *account* of whom anything is known."""

    account: str
    peers: tuple[Peer, ...]


@frozen(kw_only=True)
class Keys:
    """The keys of *contact*; of our own if that is *account*."""

    account: str
    contact: str
    keys: tuple[Key, ...]


@frozen(kw_only=True)
class Fingerprints:
    """Both sides' keys, to be compared."""

    account: str
    contact: str
    own: tuple[Key, ...]
    theirs: tuple[Key, ...]


@frozen(kw_only=True)
class Decided:
    """What is thought of a key now."""

    contact: str
    key: Key


@frozen(kw_only=True)
class Asked:
    """*methods* were told to do *verb* with *contact*; what comes of it they say in notices."""

    contact: str
    verb: str
    methods: tuple[str, ...]


@frozen(kw_only=True)
class Way:
    """A way to verify, which *methods* have; *what* it is, for people."""

    name: str
    what: str
    methods: tuple[str, ...]


@frozen(kw_only=True)
class Ways:
    """How the keys of *contact* can be verified."""

    contact: str
    own: tuple[Key, ...]
    theirs: tuple[Key, ...]
    ways: tuple[Way, ...]


@frozen(kw_only=True)
class Setting:
    """What holds, and at which level that was set."""

    name: str
    value: str
    scope: str


@frozen(kw_only=True)
class Policy:
    """What holds for *contact* (the account's own address: for the account); *visible*: what a server sees in any case."""

    account: str
    contact: str
    settings: tuple[Setting, ...]
    remembered: bool
    word: str
    visible: tuple[str, ...] = ()


@frozen(kw_only=True)
class PolicySet:
    """*name* is *value* (empty: not set any more) at *scope* for *key*."""

    name: str
    value: str
    scope: str
    key: str


@frozen(kw_only=True)
class Cleared:
    """The user's word about clear text to *contact* (``sticky.Word``)."""

    contact: str
    word: str


@frozen(kw_only=True)
class Required:
    """*contact* is remembered as encrypted."""

    contact: str


@frozen(kw_only=True)
class Method:
    """One end-to-end system; *used*: whether the account begins it, *claims* by name as they hold."""

    name: str
    title: str
    standard: str
    summary: str
    used: bool
    offline: str
    claims: dict[str, bool] = field(factory=dict)


@frozen(kw_only=True)
class Methods:
    """The end-to-end systems of *account*."""

    account: str
    methods: tuple[Method, ...]


@frozen(kw_only=True)
class Notice:
    """What the user was told, and when."""

    at: float
    text: str = field(repr=False)


@frozen(kw_only=True)
class Log:
    """The newest notices of *account*, the newest last."""

    account: str
    notices: tuple[Notice, ...]


@frozen(kw_only=True)
class Original:
    """The stanza behind a placeholder, as far as it is shown; *more*: how many characters are not."""

    reference: str
    contact: str
    text: str = field(repr=False)
    more: int = 0


@frozen(kw_only=True)
class Losses:
    """What goes with a reset of *account*, in sentences; *done*: has gone."""

    account: str
    lines: tuple[str, ...]
    done: bool


@frozen(kw_only=True)
class Exported:
    """The archive of *account*, in base64."""

    account: str
    archive: str = field(repr=False)


@frozen(kw_only=True)
class KeyFiles:
    """*files* of another program with what there is of *account*, by the endings of their names, in base64."""

    account: str
    files: dict[str, str] = field(repr=False)


@frozen(kw_only=True)
class Imported:
    """What an import into *account* wrote, and what it *left* as it was, in sentences."""

    account: str
    identities: int
    peer_keys: int
    settings: int
    sticky: int
    left: tuple[str, ...]


@frozen(kw_only=True)
class Help:
    """The commands, in lines."""

    text: str


Answer = (
    Status
    | Peers
    | Keys
    | Fingerprints
    | Decided
    | Asked
    | Ways
    | Policy
    | PolicySet
    | Cleared
    | Required
    | Methods
    | Log
    | Original
    | Losses
    | Exported
    | KeyFiles
    | Imported
    | Help
)
