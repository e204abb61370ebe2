"""The one table of options.

From it come the options of ``e2eproxy run``, those of ``twistd e2eproxy``, the keys of the configuration file
and the table in docs/configuration.md (a test compares), so that none of them can differ from the others.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, Literal

from attrs import frozen

from e2eproxy import key_choice, values
from e2eproxy.endpoints import ALLOWED, DEFAULT_LISTEN, METRICS_ALLOWED
from e2eproxy.trust import location

if TYPE_CHECKING:
    from collections.abc import Callable

Kind = Literal["text", "texts", "number", "numbers", "flag", "path", "place"]

LOG_LEVELS = ("debug", "info", "warn", "error")
LOG_FORMATS = ("text", "json")
UPSTREAM_TLS = ("starttls", "direct", "none")

LEAST_STANZA_BYTES = 10_000
"""RFC 6120 section 13.12: a smaller limit is not allowed."""

# The next five say what the proxy's own tables say; a test compares. Those are not loaded for them.
POLICIES: Final = ("require", "prefer", "accept", "never")
TRUST: Final = ("verified", "tofu", "blind")
METHODS: Final = ("otr",)
NOTICES: Final = ("contact", "conversation")
SYSTEMS: Final = ("otr", "omemo", "omemo-legacy", "ox", "xep-0027", "miller-e2e", "rfc3923")
OTR_VERSIONS: Final = (2, 3)
OTR_HTML: Final = ("auto", "yes", "no")
LEAST_OTR_FRAGMENT: Final = 100
"""Below that a part of an OTR message would be mostly its head."""

#: As ``proxy.notices`` has it; a test compares, too.
CONTACT_NAME: Final = "e2eproxy.localhost"

DEFAULT_CONTROL: Final = "control.sock"
"""The name of the control socket in the data directory."""

MOST_STANZA_BYTES = 16 * 2**20
MOST_CLIENTS = 1_000_000


@frozen
class Option:
    """One option.

    *name* is that of the command line (``upstream-tls``), *read* takes what *kind* yields (str, each str of a
    list, int, list of int, bool, absolute Path) and returns the value or raises ``OptionError``. For a "place" it takes the directory
    that relative paths count from as well. What is given for a *private* one may be or have a secret: no text quotes it.
    """

    name: str
    kind: Kind
    read: Callable[..., Any]
    default: object
    default_text: str
    metavar: str
    allowed: str
    help: str
    in_file: bool = True
    private: bool = False

    @property
    def key(self) -> str:
        """The key in the configuration file."""
        return self.name.replace("-", "_")

    @property
    def repeatable(self) -> bool:
        """Whether it may be given more than once (a list in the file)."""
        return self.kind == "texts"


OPTIONS: tuple[Option, ...] = (
    Option(
        "listen",
        "texts",
        values.listen_endpoint,
        DEFAULT_LISTEN,
        "127.0.0.1 and ::1, port 5222",
        "ENDPOINT",
        ALLOWED,
        "Where clients connect, as a Twisted endpoint string; only this machine's loopback and Unix sockets.",
    ),
    Option(
        "upstream",
        "text",
        values.host_and_port,
        None,
        "found by DNS from the client's domain",
        "HOST:PORT",
        "HOST:PORT or [IPV6]:PORT",
        "The server to connect to for every client, instead of looking it up.",
    ),
    Option(
        "upstream-tls",
        "text",
        values.one_of(*UPSTREAM_TLS),
        None,
        "DNS decides; starttls with upstream",
        "|".join(UPSTREAM_TLS),
        ", ".join(UPSTREAM_TLS),
        "How the connection to the server is encrypted; none only to a loopback upstream.",
    ),
    Option(
        "upstream-ca",
        "path",
        values.certificates,
        None,
        "the system's authorities",
        "FILE",
        "a readable PEM file",
        "Certificate authorities to accept the server's certificate from, instead of the system's.",
    ),
    Option(
        "pin",
        "texts",
        values.pin,
        (),
        "none",
        "SHA256",
        "64 hexadecimal digits or base64; colons are skipped",
        "SHA-256 of the server's public key (SubjectPublicKeyInfo): it must match one, on top of the authorities.",
    ),
    Option(
        "pin-only",
        "flag",
        values.flag,
        False,
        "false",
        "",
        "true, false; true needs a pin",
        "Trust the pins alone: no authority is asked.",
    ),
    Option(
        "data",
        "path",
        values.any_path,
        None,
        "$STATE_DIRECTORY, else $XDG_DATA_HOME/e2eproxy",
        "DIR",
        "a directory that can be written to",
        "Where the daemon keeps what it must remember; created with access for its user alone.",
    ),
    Option(
        "control",
        "place",
        values.control,
        DEFAULT_CONTROL,
        f"{DEFAULT_CONTROL} in the data directory",
        "PATH|none",
        "a path of at most 107 bytes, or none",
        "The Unix socket by which `e2eproxy status` and the other commands reach the daemon; for its user alone.",
    ),
    Option(
        "metrics",
        "text",
        values.metrics_endpoint,
        None,
        "none",
        "ENDPOINT|none",
        f"{METRICS_ALLOWED}, none",
        "Where Prometheus can read /metrics over HTTP, on loopback only; the control socket has them in any case.",
    ),
    Option(
        "store",
        "place",
        values.store,
        None,
        "the SQLite file store.sqlite in the data directory",
        "URL",
        location.ALLOWED,
        "The database of keys, sessions and decisions; PostgreSQL needs `e2eproxy[postgresql]`.",
        private=True,
    ),
    Option(
        "key",
        "place",
        key_choice.read,
        key_choice.USUAL,
        "file: store.key in the data directory",
        "KIND[:ARGUMENT]",
        key_choice.ALLOWED,
        "Where the key that seals the store comes from; the name of a place, never the key or passphrase itself.",
        private=True,
    ),
    Option(
        "policy",
        "text",
        values.one_of(*POLICIES),
        "prefer",
        "prefer",
        "|".join(POLICIES),
        ", ".join(POLICIES),
        "When to encrypt, where nothing is set for the contact, domain or account.",
    ),
    Option(
        "trust",
        "text",
        values.one_of(*TRUST),
        "tofu",
        "tofu",
        "|".join(TRUST),
        ", ".join(TRUST),
        "Which keys to encrypt to, where nothing is set: verified ones, a contact's first, or any.",
    ),
    Option(
        "methods",
        "text",
        values.methods,
        METHODS,
        " ".join(METHODS),
        "NAMES",
        "names of methods, the first choice first; may be empty",
        "The end-to-end methods to use, where nothing is set.",
    ),
    Option(
        "client-speaks",
        "text",
        values.some_of(*SYSTEMS),
        frozenset(),
        "none",
        "NAMES",
        f"any of {', '.join(SYSTEMS)}; may be empty",
        "The end-to-end systems that clients speak themselves: such stanzas are theirs.",
    ),
    Option(
        "otr-versions",
        "numbers",
        values.some_numbers(*OTR_VERSIONS),
        OTR_VERSIONS,
        "2, 3",
        "NUMBERS",
        "2, 3 or both",
        "The versions of OTR to offer and to accept. 3 alone keeps out clients that know version 2 only, such as profanity.",
    ),
    Option(
        "otr-fragment-bytes",
        "number",
        values.number_or_zero(LEAST_OTR_FRAGMENT, MOST_STANZA_BYTES),
        0,
        "0",
        "BYTES",
        f"0, or {LEAST_OTR_FRAGMENT} to {MOST_STANZA_BYTES}",
        "The longest text that OTR sends; what is longer leaves in parts. 0: as long as it is. XMPP needs no parts, gateways may.",
    ),
    Option(
        "otr-html",
        "text",
        values.one_of(*OTR_HTML),
        "auto",
        "auto",
        "|".join(OTR_HTML),
        ", ".join(OTR_HTML),
        "Whether texts inside OTR are HTML, where nothing is set; auto: those of a client that shows it by what it writes.",
    ),
    Option(
        "notices",
        "text",
        values.one_of(*NOTICES),
        NOTICES[0],
        NOTICES[0],
        "|".join(NOTICES),
        ", ".join(NOTICES),
        "Where notices about a contact stand, where nothing is set: in the window of the proxy's own contact, or in the "
        "conversation as well.",
    ),
    Option(
        "contact-name",
        "text",
        values.contact_name,
        CONTACT_NAME,
        CONTACT_NAME,
        "DOMAIN",
        "a domain that is nobody's, best one below .localhost or .invalid",
        "The address of the proxy's own contact, which clients talk to; whoever else has that domain cannot be reached.",
    ),
    Option(
        "config",
        "path",
        values.any_path,
        None,
        "$XDG_CONFIG_HOME/e2eproxy/config.toml if it exists",
        "FILE",
        "a readable TOML file",
        "The configuration file; the command line wins over it.",
        in_file=False,
    ),
    Option(
        "log-level",
        "text",
        values.one_of(*LOG_LEVELS),
        "info",
        "info",
        "|".join(LOG_LEVELS),
        ", ".join(LOG_LEVELS),
        "The least important events that are logged.",
    ),
    Option(
        "log-format",
        "text",
        values.one_of(*LOG_FORMATS),
        "text",
        "text",
        "|".join(LOG_FORMATS),
        ", ".join(LOG_FORMATS),
        "One line of text, or one JSON object, for each event.",
    ),
    Option(
        "max-clients",
        "number",
        values.number(1, MOST_CLIENTS),
        1000,
        "1000",
        "NUMBER",
        f"1 to {MOST_CLIENTS}",
        "Clients at one time; lowered to what the process's descriptor limit allows.",
    ),
    Option(
        "max-stanza-bytes",
        "number",
        values.number(LEAST_STANZA_BYTES, MOST_STANZA_BYTES),
        2**20,
        "1048576",
        "BYTES",
        f"{LEAST_STANZA_BYTES} to {MOST_STANZA_BYTES}",
        "The largest stanza a client may send once it is logged in.",
    ),
)

FILE_OPTIONS = {option.key: option for option in OPTIONS if option.in_file}
"""The keys of the configuration file."""

_FILE_TYPE = {
    "text": "string",
    "texts": "list of strings",
    "number": "integer",
    "numbers": "list of integers",
    "flag": "boolean",
    "path": "string",
    "place": "string",
}


def file_type(option: Option) -> str:
    """TOML's name of the type that the option's key holds."""
    return _FILE_TYPE[option.kind]


def markdown_table() -> str:
    """The table of docs/configuration.md, one row for each option."""
    rows = ["| option | key in the file | type | default | allowed | what it does |", "| --- " * 6 + "|"]
    for option in OPTIONS:
        metavar = f" {option.metavar}" if option.metavar else ""
        repeatable = ", repeatable" if option.repeatable else ""
        cells = (
            f"`--{option.name}{metavar}`{repeatable}",
            f"`{option.key}`" if option.in_file else "(command line only)",
            file_type(option) if option.in_file else "",
            option.default_text,
            option.allowed,
            option.help,
        )
        rows.append("| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |")
    return "\n".join(rows) + "\n"
