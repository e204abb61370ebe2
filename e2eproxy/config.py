"""The settings: command line over configuration file over defaults, checked before anything is started.

A configuration is taken whole or not at all, and every mistake in it is told at once, each in one line with
its place, so that nobody has to start the daemon once per mistake.
"""

from __future__ import annotations

import difflib
import os
import re
import tomllib
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from attrs import evolve, field, frozen

from e2eproxy.errors import LocalError
from e2eproxy.options import DEFAULT_CONTROL, FILE_OPTIONS, OPTIONS, Option, file_type
from e2eproxy.toml_lines import key_lines
from e2eproxy.trust.location import has_password, without_password
from e2eproxy.values import OptionError, loopback_host, reason, shown

if TYPE_CHECKING:
    from collections.abc import Mapping

    from e2eproxy.key_choice import KeyChoice
    from e2eproxy.xmpp.connect import UpstreamSettings

DEFAULT = "default"
"""The origin of a value that neither the command line nor the file gave."""

FIXED: Final = ("data", "control", "metrics", "store", "key", "contact_name")
"""What cannot change while the daemon runs."""

_AT_LINE = re.compile(r" \(at line (\d+), column \d+\)$| \(at end of document\)$")


class ConfigError(LocalError):
    """Everything that is wrong with the options and the file; *problems* has one line for each."""

    def __init__(self, problems: list[str]) -> None:
        """Keep *problems*, each one line that says where and what."""
        super().__init__("\n".join(problems))
        self.problems = tuple(problems)


@frozen
class Settings:
    """What the daemon runs with.

    *listen* are endpoint strings, *data* an absolute directory, *control* the path of a socket (None: there is none), *max_clients* a count and *max_stanza_bytes* bytes;
    *origins* tells for each key where its value came from: "default", "--listen", "/etc/e2eproxy.toml:3: listen".

    *metrics* is an endpoint string, None for none. *store* is a URL, None for the SQLite file in *data*; it may hold a password. *policy*, *trust*, *notices*, *methods* (names, the
    first choice first) and *client_speaks* (names of systems) are what holds where the store has nothing set. *otr_versions* are
    numbers, *otr_fragment_bytes* the most bytes of a text of OTR's (0: any);
    *otr_html* (auto, yes, no) is like *policy*. *contact_name* is a prepared domain.
    """

    listen: tuple[str, ...]
    upstream: UpstreamSettings
    data: Path
    control: Path | None
    metrics: str | None
    store: str | None = field(repr=lambda url: repr(url and without_password(url)))
    key: KeyChoice
    policy: str
    trust: str
    methods: tuple[str, ...]
    client_speaks: frozenset[str]
    otr_versions: tuple[int, ...]
    otr_fragment_bytes: int
    otr_html: str
    notices: str
    contact_name: str
    log_level: str
    log_format: str
    max_clients: int
    max_stanza_bytes: int
    origins: Mapping[str, str] = field(factory=dict, eq=False)

    @property
    def listen_by_default(self) -> bool:
        """Whether nobody chose the listeners, so that a machine without IPv6 is no mistake of the user's."""
        return self.origins.get("listen", DEFAULT) == DEFAULT

    @property
    def of_methods(self) -> Mapping[str, Mapping[str, str]]:
        """What the methods are told, by their names: as text, as ``Context.settings`` has it."""
        return {
            "otr": {
                "versions": ",".join(map(str, self.otr_versions)),
                "fragment": str(self.otr_fragment_bytes),
            }
        }

    def fixed_changes(self, wanted: Settings) -> tuple[str, ...]:
        """The keys of ``FIXED`` that *wanted* has otherwise: what asks for a new start of the daemon."""
        return tuple(key for key in FIXED if getattr(self, key) != getattr(wanted, key))

    def with_fixed_of(self, running: Settings) -> Settings:
        """These settings, but for what cannot change while the daemon runs with *running*."""
        return evolve(self, **{key: getattr(running, key) for key in FIXED})


@frozen
class _Given:
    """One value with the place it came from."""

    value: Any = field(repr=False)
    where: str


def load(
    given: Mapping[str, object], environ: Mapping[str, str] | None = None, base: Path | None = None
) -> Settings:
    """Make the settings from *given*, the command line as {key: str, list of str or True}.

    Relative paths on the command line count from *base* (by default the working directory), those in the file from
    the file's own directory. Raises ConfigError with every problem that was found.
    """
    environ = os.environ if environ is None else environ
    base = base or Path.cwd()
    problems: list[str] = []
    values = {option.key: _Given(option.default, DEFAULT) for option in OPTIONS}
    chosen = _from_command_line(given, base, problems)
    path = config_file(chosen.get("config"), environ)
    if path is not None:
        values |= _from_file(path, problems)
    values |= chosen
    if values["data"].value is None:
        try:
            values["data"] = _Given(default_data(environ), DEFAULT)
        except LocalError as error:
            problems.append(f"--data: {error}")
    problems += _contradictions(values)
    if problems:
        raise ConfigError(problems)
    return _settings(values)


def control_socket(
    given: Mapping[str, object], environ: Mapping[str, str] | None = None, base: Path | None = None
) -> Path | None:
    """Where a daemon with the options *given* has its control socket, None if nowhere; reads the file, loads nothing.

    Raises ConfigError if that cannot be told.
    """
    environ = os.environ if environ is None else environ
    problems: list[str] = []
    chosen = _from_command_line(given, base or Path.cwd(), problems)
    path = config_file(chosen.get("config"), environ)
    values = {option.key: _Given(option.default, DEFAULT) for option in OPTIONS}
    if path is not None:
        values |= _from_file(path, [])  # what is wrong with the rest of it is told by `config check`
    values |= chosen
    try:
        if values["data"].value is None:
            values["data"] = _Given(default_data(environ), DEFAULT)
    except LocalError as error:
        problems.append(f"--data: {error}")
    if problems:
        raise ConfigError(problems)
    return _control(values)


def _control(values: Mapping[str, _Given]) -> Path | None:
    data: Path = values["data"].value
    chosen: Path | None = values["control"].value
    return data / DEFAULT_CONTROL if values["control"].where == DEFAULT else chosen


def config_file(chosen: _Given | None, environ: Mapping[str, str]) -> Path | None:
    """The configuration file to read: the one *chosen*, else the user's own if it exists, else none."""
    if chosen is not None:
        return Path(chosen.value)
    try:
        path = _xdg(environ, "XDG_CONFIG_HOME", ".config") / "e2eproxy" / "config.toml"
    except LocalError:
        return None  # no home directory: a system service without a file
    try:
        return path if path.exists() else None
    except PermissionError:
        return None  # a home that is closed to us: systemd's ProtectHome=


def default_data(environ: Mapping[str, str]) -> Path:
    """The data directory when none is named; raises LocalError if there is no home directory to put it in."""
    state = environ.get("STATE_DIRECTORY", "").partition(":")[0]  # systemd.exec(5): may be several
    if state.startswith("/"):
        return Path(state)
    return _xdg(environ, "XDG_DATA_HOME", ".local/share") / "e2eproxy"


def _xdg(environ: Mapping[str, str], variable: str, fallback: str) -> Path:
    """A base directory of the XDG specification, which says that a relative one is to be ignored."""
    named = environ.get(variable, "")
    if named.startswith("/"):
        return Path(named)
    try:
        home = Path(environ.get("HOME") or Path.home())
    except RuntimeError as error:
        raise LocalError("this user has no home directory; name a directory with --data") from error
    return home / fallback


def _from_command_line(given: Mapping[str, object], base: Path, problems: list[str]) -> dict[str, _Given]:
    found: dict[str, _Given] = {}
    for option in OPTIONS:
        raw = given.get(option.key)
        if raw is None or raw is False or raw in ((), []):
            continue
        where = f"--{option.name}"
        try:
            typed = _from_text(option, raw)
        except OptionError as error:
            problems.append(f"{where}: {error}")
        else:
            found |= _read(option, typed, base, where, problems)
    return found


def _from_text(option: Option, raw: object) -> object:
    """The command line's text as the type that the file would have held."""
    if option.kind == "numbers":
        return [_whole_number(option, word) for word in str(raw).replace(",", " ").split()]
    if option.kind != "number":
        return list(raw) if isinstance(raw, tuple) else raw
    return _whole_number(option, str(raw))


def _whole_number(option: Option, text: str) -> int:
    if not re.fullmatch(r"-?[0-9]{1,18}", text):
        raise OptionError(f"{shown(text)} is no whole number; allowed: {option.allowed}")
    return int(text)


def _from_file(path: Path, problems: list[str]) -> dict[str, _Given]:
    try:
        text = path.read_bytes().decode()
        document = tomllib.loads(text)
    except OSError as error:
        problems.append(f"{path}: the configuration file cannot be read: {reason(error)}")
    except UnicodeDecodeError as error:
        line = error.object.count(b"\n", 0, error.start) + 1
        problems.append(f"{path}:{line}: the file is not UTF-8 text")
    except tomllib.TOMLDecodeError as error:
        problems.append(_syntax_error(path, text, str(error)))
    else:
        return _from_document(path, document, key_lines(text), problems)
    return {}


def _syntax_error(path: Path, text: str, said: str) -> str:
    match = _AT_LINE.search(said)
    line = match[1] if match and match[1] else text.count("\n") + 1
    return f"{path}:{line}: not valid TOML: {_AT_LINE.sub('', said)}"


def _from_document(
    path: Path, document: dict[str, Any], lines: dict[str, int], problems: list[str]
) -> dict[str, _Given]:
    found: dict[str, _Given] = {}
    for key, raw in document.items():
        where = f"{path}:{lines[key]}: {key}"
        option = FILE_OPTIONS.get(key)
        if option is None:
            problems.append(f"{where}: unknown key; {_suggestion(key)}")
        elif not _fits(option, raw):
            what = "the value" if option.private else shown(raw)
            problems.append(f"{where}: {what} is no {file_type(option)}; allowed: {option.allowed}")
        else:
            found |= _read(option, raw, path.absolute().parent, where, problems)
    return found


def _suggestion(key: str) -> str:
    near = difflib.get_close_matches(key.lower().replace("-", "_"), FILE_OPTIONS, n=1)
    if near:
        return f"did you mean {near[0]}? (allowed: {', '.join(FILE_OPTIONS)})"
    return f"allowed: {', '.join(FILE_OPTIONS)}"


def _fits(option: Option, raw: object) -> bool:
    """Whether *raw* has the TOML type of *option*; to TOML, unlike Python, true is no integer."""
    if option.repeatable or option.kind == "numbers":
        wanted = str if option.repeatable else int
        return isinstance(raw, list) and all(type(item) is wanted for item in raw)
    return type(raw) is {"number": int, "flag": bool}.get(option.kind, str)


def _read(
    option: Option,
    raw: Any,  # noqa: ANN401  # what TOML or a command line gave, of the option's type
    base: Path,
    where: str,
    problems: list[str],
) -> dict[str, _Given]:
    """The option's key with the value of *raw*; empty when it has *problems*, of which a list may have several."""
    before = len(problems)
    values = []
    for item in raw if option.repeatable else [raw]:
        try:
            values.append(_read_one(option, item, base))
        except OptionError as error:
            problems.append(f"{where}: {error}")
    if option.repeatable and not raw:
        problems.append(
            f"{where}: the list is empty; leave the key out, or name at least one: {option.allowed}"
        )
    if len(problems) > before:
        return {}
    return {option.key: _Given(tuple(values) if option.repeatable else values[0], where)}


def _read_one(option: Option, item: Any, base: Path) -> object:  # noqa: ANN401  # as above
    if option.kind == "place":
        return option.read(item, base)
    if option.kind != "path":
        return option.read(item)
    if not item:
        raise OptionError("the path is empty")
    try:
        return option.read(base / Path(item).expanduser())
    except RuntimeError as error:
        raise OptionError(f"{shown(item)}: there is no such home directory") from error


def _contradictions(values: Mapping[str, _Given]) -> list[str]:
    """What is wrong with values that are each right."""
    problems = []
    tls, upstream = values["upstream_tls"], values["upstream"].value
    if tls.value == "none" and (upstream is None or not loopback_host(upstream[0])):
        problems.append(
            f"{tls.where}: 'none' is only allowed with an upstream on this machine, such as 127.0.0.1:5222 or"
            " [::1]:5222 (an address, not a name): anyone between here and the server could read along;"
            " allowed: starttls, direct"
        )
    name = values["contact_name"]
    if upstream is not None and upstream[0].lower().removesuffix(".") == name.value:
        problems.append(
            f"{name.where}: {name.value} is the server itself, which could not be reached any more; choose a domain that is"
            " nobody's, such as e2eproxy.localhost"
        )
    store = values["store"]
    if store.where == "--store" and store.value is not None and has_password(store.value):
        problems.append(
            "--store: a password on a command line can be read by everybody on this machine; change it, and put the"
            " URL into the configuration file, or the password into ~/.pgpass"
        )
    if values["pin_only"].value and not values["pin"].value:
        problems.append(f"{values['pin_only'].where}: needs at least one pin to trust")
    return problems


def _settings(values: Mapping[str, _Given]) -> Settings:
    from e2eproxy.xmpp.connect import UpstreamSettings  # noqa: PLC0415  # loads TLS, which a bad option need not wait for

    ca_file = values["upstream_ca"].value
    return Settings(
        listen=tuple(dict.fromkeys(values["listen"].value)),
        upstream=UpstreamSettings(
            address=values["upstream"].value,
            tls=values["upstream_tls"].value,
            ca_file=None if ca_file is None else str(ca_file),
            pins=values["pin"].value,
            pin_only=values["pin_only"].value,
        ),
        data=values["data"].value,
        control=_control(values),
        metrics=values["metrics"].value,
        store=values["store"].value,
        key=values["key"].value,
        policy=values["policy"].value,
        trust=values["trust"].value,
        methods=values["methods"].value,
        client_speaks=values["client_speaks"].value,
        otr_versions=values["otr_versions"].value,
        otr_fragment_bytes=values["otr_fragment_bytes"].value,
        otr_html=values["otr_html"].value,
        notices=values["notices"].value,
        contact_name=values["contact_name"].value,
        log_level=values["log_level"].value,
        log_format=values["log_format"].value,
        max_clients=values["max_clients"].value,
        max_stanza_bytes=values["max_stanza_bytes"].value,
        origins={key: given.where for key, given in values.items()},
    )


def effective(settings: Settings) -> list[str]:
    """The settings as lines of the file's own form, each with where it came from."""
    upstream = settings.upstream
    address = None
    if upstream.address is not None:
        host, port = upstream.address
        address = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
    shown_values = {
        "listen": list(settings.listen),
        "upstream": address,
        "upstream_tls": upstream.tls,
        "upstream_ca": upstream.ca_file,
        "pin": [pin.hex() for pin in upstream.pins] or None,
        "pin_only": upstream.pin_only,
        "data": str(settings.data),
        "control": "none" if settings.control is None else str(settings.control),
        "metrics": settings.metrics or "none",
        "store": settings.store and without_password(settings.store),
        "key": str(settings.key),
        "policy": settings.policy,
        "trust": settings.trust,
        "methods": " ".join(settings.methods),
        "client_speaks": " ".join(sorted(settings.client_speaks)),
        "otr_versions": list(settings.otr_versions),
        "otr_fragment_bytes": settings.otr_fragment_bytes,
        "otr_html": settings.otr_html,
        "notices": settings.notices,
        "contact_name": settings.contact_name,
        "log_level": settings.log_level,
        "log_format": settings.log_format,
        "max_clients": settings.max_clients,
        "max_stanza_bytes": settings.max_stanza_bytes,
    }
    lines = []
    for key, value in shown_values.items():
        option = FILE_OPTIONS[key]
        text = f"{key} = {_toml(value)}" if value is not None else f"# {key}: {option.default_text}"
        lines.append(f"{text}  # {settings.origins.get(key, DEFAULT)}" if value is not None else text)
    return lines


def _toml(value: object) -> str:
    """*Value* (str, list of str, bool, int) as TOML; a TOML basic string is a JSON string but for DEL."""
    import json  # noqa: PLC0415  # only `config check` prints settings

    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
