"""The option table and what is made from it; reading values; the strict configuration file."""

from __future__ import annotations

import base64
import re
import subprocess
import sys
import tomllib
from contextlib import suppress
from pathlib import Path

import pytest
from attrs import evolve
from hypothesis import given, settings
from hypothesis import strategies as st

from e2eproxy import cli, options
from e2eproxy.config import ConfigError, Settings, effective, load
from e2eproxy.endpoints import EndpointError, InheritedEndpoint, TCPEndpoint, UnixEndpoint, read_endpoint
from e2eproxy.key_choice import KeyChoice
from e2eproxy.toml_lines import key_lines

DOCS = Path(__file__).resolve().parents[2] / "docs" / "configuration.md"
DIGEST = bytes(range(32))


@pytest.fixture
def environ(tmp_path: Path) -> dict[str, str]:
    return {"HOME": str(tmp_path / "home")}


def problems_of(given: dict[str, object], environ: dict[str, str]) -> tuple[str, ...]:
    with pytest.raises(ConfigError) as caught:
        load(given, environ)
    return caught.value.problems


def from_file(tmp_path: Path, environ: dict[str, str], text: str, **given: object) -> Settings:
    (tmp_path / "c.toml").write_text(text)
    return load({"config": str(tmp_path / "c.toml"), **given}, environ)


def file_problems(tmp_path: Path, environ: dict[str, str], text: str) -> list[str]:
    (tmp_path / "c.toml").write_text(text)
    found = problems_of({"config": str(tmp_path / "c.toml")}, environ)
    assert all("\n" not in problem for problem in found)
    return [problem.removeprefix(f"{tmp_path}/c.toml:") for problem in found]


# --- one table ---------------------------------------------------------------------------------------------------


def test_documentation_has_the_table():
    text = DOCS.read_text()
    assert options.markdown_table() in text, f"put this into {DOCS.name}:\n{options.markdown_table()}"


def test_command_line_has_the_table():
    made = {parameter.name: parameter for parameter in cli.run.params}
    assert list(made) == [option.key for option in options.OPTIONS]
    for option in options.OPTIONS:
        assert made[option.key].opts == [f"--{option.name}"]
        assert made[option.key].multiple == option.repeatable
        assert made[option.key].is_flag == (option.kind == "flag")


def test_twistd_has_the_table():
    from e2eproxy.service import Options

    parsed = Options()
    for option in options.OPTIONS:
        assert f"{option.name}=" in parsed.longOpt or option.name in parsed.longOpt, option.name
        assert option.help.split()[0] in parsed.docs[option.name], option.name
    ours = {option.name for option in options.OPTIONS} | {"help", "version"}
    assert {name.rstrip("=") for name in parsed.longOpt} == ours


def test_twistd_collects_repeatable_options(tmp_path: Path):
    from e2eproxy.service import Options

    parsed = Options()
    parsed.parseOptions([
        "--listen", "tcp:1:interface=127.0.0.1", "--listen", "unix:/x", "--pin", DIGEST.hex(), "--pin-only",
        "--data", str(tmp_path), "--max-clients", "7",
    ])  # fmt: skip
    assert parsed.settings.listen == ("tcp:1:interface=127.0.0.1", "unix:/x")
    assert parsed.settings.upstream.pins == (DIGEST,)
    assert parsed.settings.upstream.pin_only
    assert parsed.settings.max_clients == 7


# --- defaults and precedence -------------------------------------------------------------------------------------


def test_defaults(tmp_path: Path, environ: dict[str, str]):
    settings = load({}, environ)
    assert settings.listen == (r"tcp:5222:interface=127.0.0.1", r"tcp:5222:interface=\:\:1")
    assert settings.listen_by_default
    assert settings.data == tmp_path / "home/.local/share/e2eproxy"
    assert (settings.log_level, settings.log_format) == ("info", "text")
    assert (settings.max_clients, settings.max_stanza_bytes) == (1000, 2**20)
    assert (settings.store, settings.key) == (None, KeyChoice("file"))
    assert (settings.policy, settings.trust) == ("prefer", "tofu")
    assert (settings.methods, settings.client_speaks) == (("otr",), frozenset())
    assert settings.of_methods == {"otr": {"versions": "2,3", "fragment": "0"}}
    upstream = settings.upstream
    assert (upstream.address, upstream.tls, upstream.ca_file, upstream.pins, upstream.pin_only) == (
        None, None, None, (), False,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("more", "data"),
    [
        ({"STATE_DIRECTORY": "/var/lib/e2eproxy:/var/lib/other", "XDG_DATA_HOME": "/d"}, "/var/lib/e2eproxy"),
        ({"XDG_DATA_HOME": "/d"}, "/d/e2eproxy"),
        ({"XDG_DATA_HOME": "relative"}, "home/.local/share/e2eproxy"),
        ({"STATE_DIRECTORY": ""}, "home/.local/share/e2eproxy"),
    ],
)
def test_default_data_directory(tmp_path: Path, environ: dict[str, str], more: dict[str, str], data: str):
    assert load({}, environ | more).data == tmp_path / data


def test_command_line_over_file_over_default(tmp_path: Path, environ: dict[str, str]):
    text = 'log_level = "warn"\nmax_clients = 5\nlisten = ["unix:/from/file"]\n'
    settings = from_file(tmp_path, environ, text, log_level="debug", listen=("unix:/from/line",))
    assert settings.log_level == "debug"
    assert settings.max_clients == 5
    assert settings.log_format == "text"
    assert settings.listen == ("unix:/from/line",)
    assert not settings.listen_by_default
    assert settings.origins["log_level"] == "--log-level"
    assert settings.origins["max_clients"] == f"{tmp_path}/c.toml:2: max_clients"
    assert settings.origins["log_format"] == "default"


def test_what_otr_is_told(tmp_path: Path, environ: dict[str, str]):
    settings = from_file(tmp_path, environ, "otr_versions = [3, 3]", otr_fragment_bytes="1400")
    assert settings.of_methods["otr"] == {"versions": "3", "fragment": "1400"}
    assert load({"otr_versions": "3, 2"}, environ).otr_versions == (2, 3)
    for bad in ("[true]", '["3"]', "3", "[]", "[1]"):
        (tmp_path / "c.toml").write_text(f"otr_versions = {bad}")
        (problem,) = problems_of({"config": str(tmp_path / "c.toml")}, environ)
        assert "c.toml:1: otr_versions: " in problem


def test_the_users_own_file_is_found(tmp_path: Path, environ: dict[str, str]):
    directory = tmp_path / "home/.config/e2eproxy"
    directory.mkdir(parents=True)
    (directory / "config.toml").write_text("max_clients = 3")
    assert load({}, environ).max_clients == 3
    other = tmp_path / "xdg/e2eproxy"
    other.mkdir(parents=True)
    (other / "config.toml").write_text("max_clients = 4")
    assert load({}, environ | {"XDG_CONFIG_HOME": str(tmp_path / "xdg")}).max_clients == 4


def test_a_named_file_must_exist(tmp_path: Path, environ: dict[str, str]):
    (problem,) = problems_of({"config": str(tmp_path / "none.toml")}, environ)
    assert (
        problem == f"{tmp_path}/none.toml: the configuration file cannot be read: No such file or directory"
    )


def test_relative_paths_count_from_the_files_directory(tmp_path: Path, environ: dict[str, str]):
    assert from_file(tmp_path, environ, 'data = "state"').data == tmp_path / "state"


def test_effective_settings_are_a_file_with_the_same_meaning(tmp_path: Path, environ: dict[str, str]):
    text = f"""
        listen = ["unix:/run/x y.sock", 'tcp:1:interface=\\:\\:1']
        upstream = "[::1]:5222"
        upstream_tls = "none"
        pin = ["{DIGEST.hex()}"]
        pin_only = true
        data = "/tmp/a \\"quoted\\" one"
        log_format = "json"
        store = "sqlite:///store with blanks.sqlite"
        key = "keyring:keyring.backends.SecretService.Keyring:at home: 1"
        policy = "require"
        trust = "blind"
        methods = ""
        client_speaks = "otr, omemo"
        otr_versions = [3]
        otr_fragment_bytes = 1400
        otr_html = "no"
    """
    settings = from_file(tmp_path, environ, text)
    again = from_file(tmp_path, environ, "\n".join(effective(settings)))
    assert again == settings
    plain = from_file(tmp_path, environ, "")
    assert from_file(tmp_path, environ, "\n".join(effective(plain))) == plain


# --- bad options -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"log_level": "loud"}, "--log-level: 'loud' is not allowed; allowed: debug, info, warn, error"),
        ({"log_format": "xml"}, "--log-format: 'xml' is not allowed; allowed: text, json"),
        (
            {"upstream_tls": "maybe"},
            "--upstream-tls: 'maybe' is not allowed; allowed: starttls, direct, none",
        ),
        ({"max_clients": "many"}, "--max-clients: 'many' is no whole number; allowed: 1 to 1000000"),
        ({"max_clients": "0"}, "--max-clients: 0 is not allowed; allowed: 1 to 1000000"),
        ({"max_clients": "٣"}, "--max-clients: '٣' is no whole number"),
        ({"max_stanza_bytes": "9999"}, "--max-stanza-bytes: 9999 is not allowed; allowed: 10000 to 16777216"),
        ({"pin_only": True}, "--pin-only: needs at least one pin"),
        ({"upstream_tls": "none"}, "--upstream-tls: 'none' is only allowed with an upstream on this machine"),
        ({"upstream_tls": "none", "upstream": "localhost:5222"}, "an address, not a name"),
        ({"upstream_tls": "none", "upstream": "192.0.2.1:5222"}, "--upstream-tls: 'none' is only allowed"),
        ({"upstream": "example.org"}, "--upstream: 'example.org' has no port; write it as example.org:5222"),
        ({"upstream": "::1:5222"}, "--upstream: '::1:5222': an IPv6 address goes in brackets"),
        ({"upstream": "[::g]:5222"}, "is no IPv6 address"),
        ({"upstream": "a:65536"}, "allowed: 1 to 65535"),
        ({"upstream": "a b:1"}, "is no host name or address"),
        ({"upstream": ":1"}, "is no host name or address"),
        ({"pin": ("xyz!",)}, "--pin: 'xyz!' is no SHA-256 digest; allowed: 64 hexadecimal digits or base64"),
        ({"pin": ("ab" * 20,)}, "is no SHA-256 digest"),
        ({"pin": ("zz" * 32,)}, "is no SHA-256 digest"),
        ({"pin": ("YWJj",)}, "--pin: 'YWJj' is no SHA-256 digest"),
        ({"listen": ("tcp:5222",)}, "all addresses of this machine"),
        (
            {"upstream_ca": "/nonexistent/ca.pem"},
            "--upstream-ca: '/nonexistent/ca.pem' cannot be read: No such file",
        ),
        ({"upstream_ca": "/proc/self/limits"}, "holds no readable PEM certificate"),
        ({"policy": "always"}, "--policy: 'always' is not allowed; allowed: require, prefer, accept, never"),
        ({"trust": ""}, "--trust: '' is not allowed; allowed: verified, tofu, blind"),
        ({"methods": "otr OX"}, "--methods: 'OX' is no name of a method"),
        ({"methods": "otr,ox otr"}, "--methods: 'otr,ox otr' names a method twice"),
        (
            {"client_speaks": "otr otrr"},
            "--client-speaks: 'otrr' is not allowed; allowed: any of otr, omemo,",
        ),
        ({"otr_versions": "4"}, "--otr-versions: [4] is not allowed; allowed: one or several of 2, 3"),
        ({"otr_versions": ""}, "--otr-versions: [] is not allowed; allowed: one or several of 2, 3"),
        ({"otr_versions": "three"}, "--otr-versions: 'three' is no whole number; allowed: 2, 3 or both"),
        (
            {"otr_fragment_bytes": "99"},
            "--otr-fragment-bytes: 99 is not allowed; allowed: 0, or 100 to 16777216",
        ),
        (
            {"store": ""},
            "--store: a store's URL begins with sqlite:// or postgresql://; allowed: sqlite:///FILE",
        ),
        ({"store": "/var/lib/x"}, "--store: a store's URL begins with"),
        ({"store": "sqlite:///:memory:"}, "--store: a SQLite store is a file"),
        ({"store": "sqlite:///x?mode=ro"}, "--store: a SQLite store is a file"),
        ({"store": "postgresql+psycopg2://h/d"}, "--store: a store's URL begins with"),
        (
            {"store": "postgresql://h"},
            "--store: the URL cannot be read; write it as postgresql://user@host/database",
        ),
        ({"key": ""}, "--key: there is no such place for a key; allowed: file, file:PATH, passphrase,"),
        ({"key": "file:"}, "--key: the path is empty"),
        ({"key": "file:~nobody-of-that-name/x"}, "--key: there is no such home directory"),
        ({"key": "keyring:one"}, "--key: keyring needs a back end and an entry"),
        ({"key": "keyring:a.b:"}, "--key: keyring needs a back end and an entry"),
        ({"key": "credential:"}, "--key: credential needs the name"),
        ({"key": "credential:../x"}, "--key: credential needs the name"),
        ({"data": ""}, "--data: the path is empty"),
        ({"data": "a\0b"}, "is no path"),
    ],
)
def test_bad_option(environ: dict[str, str], given: dict[str, object], said: str):
    (problem,) = problems_of(given, environ)
    assert said in problem
    assert problem.startswith("--")


@pytest.mark.parametrize(
    ("text", "store"),
    [
        ("sqlite:///x.sqlite", "sqlite:///{base}/x.sqlite"),
        ("sqlite:////srv/x.sqlite", "sqlite:////srv/x.sqlite"),
        ("postgresql:///d", "postgresql:///d"),
        (
            "postgresql+psycopg://u@[::1]:5432/d?sslmode=require",
            "postgresql+psycopg://u@[::1]:5432/d?sslmode=require",
        ),
        ("postgresql://u@/d?host=/run/postgresql", "postgresql://u@/d?host=/run/postgresql"),
    ],
)
def test_forms_of_a_store(tmp_path: Path, environ: dict[str, str], text: str, store: str):
    wanted = store.format(base=tmp_path)
    assert from_file(tmp_path, environ, f'store = "{text}"').store == wanted
    assert load({"store": text}, environ, tmp_path).store == wanted


@pytest.mark.parametrize(
    ("text", "key"),
    [
        ("file", KeyChoice("file")),
        ("file:k", KeyChoice("file", "{base}/k")),
        ("file:/k", KeyChoice("file", "/k")),
        ("passphrase", KeyChoice("passphrase")),
        ("passphrase:/dev/fd/3", KeyChoice("passphrase", "/dev/fd/3")),
        ("passphrase:./word", KeyChoice("passphrase", "{base}/word")),
        (
            "keyring:keyring.backends.null.Keyring:a:b",
            KeyChoice("keyring", "keyring.backends.null.Keyring", "a:b"),
        ),
        ("credential:store-key", KeyChoice("credential", "store-key")),
    ],
)
def test_forms_of_a_key(tmp_path: Path, environ: dict[str, str], text: str, key: KeyChoice):
    wanted = evolve(key, argument=key.argument and key.argument.format(base=tmp_path))
    found = from_file(tmp_path, environ, f'key = "{text}"').key
    assert found == wanted
    assert load({"key": str(found)}, environ, tmp_path).key == wanted


SECRET = "Correct-Horse"


@pytest.mark.parametrize(
    ("option", "text"),
    [
        ("store", f"postgresql://u:{SECRET}@h/d"),  # the command line is no place for it
        ("store", f"postgresql://h/d?user=u&password={SECRET}"),
        ("store", f"postgresql://u:{SECRET}@h"),
        ("store", f"postgresql://u:{SECRET}/x@h/d"),
        ("store", f"mysql://u:{SECRET}@h/d"),
        ("store", SECRET),
        ("key", SECRET),
        ("key", f"passphrase:{SECRET}"),
        ("key", f"passphrase: {SECRET}"),
        ("key", f"password:{SECRET}"),
        ("key", "file:" + SECRET.encode().hex() * 2),
        ("key", f"keyring:{SECRET}"),
        ("key", f"credential:/{SECRET}"),
    ],
)
def test_a_secret_is_in_no_complaint(environ: dict[str, str], option: str, text: str):
    (problem,) = problems_of({option: text}, environ)
    assert problem.startswith(f"--{option}: ")
    assert SECRET not in problem
    assert SECRET.encode().hex() not in problem


@pytest.mark.parametrize("value", ["['{}']", "{{url = '{}'}}", "[{{a = '{}'}}]"])
@pytest.mark.parametrize("key", ["store", "key"])
def test_a_secret_of_the_wrong_type_is_in_no_complaint(
    tmp_path: Path, environ: dict[str, str], key: str, value: str
):
    (problem,) = file_problems(tmp_path, environ, f"{key} = {value.format(SECRET)}")
    assert problem.startswith(f"1: {key}: the value is no string; allowed: ")
    assert SECRET not in problem


def test_a_password_from_the_file_is_shown_nowhere(tmp_path: Path, environ: dict[str, str]):
    text = f'store = "postgresql://u:{SECRET}@h/d?sslpassword={SECRET}&sslmode=require"'
    settings = from_file(tmp_path, environ, text)
    assert SECRET in settings.store
    shown = "postgresql://u:***@h/d?sslpassword=***&sslmode=require"
    assert any(line.startswith(f'store = "{shown}"  # ') for line in effective(settings))
    for text in (repr(settings), str(settings), *effective(settings)):
        assert SECRET not in text


def test_what_cannot_change_while_the_daemon_runs(environ: dict[str, str]):
    running = load({"data": "/a", "policy": "require"}, environ)
    assert running.fixed_changes(load({"data": "/a", "key": "file"}, environ)) == ()
    wanted = load(
        {"data": "/b", "store": "postgresql:///d", "key": "passphrase", "policy": "never", "trust": "blind"},
        environ,
    )
    assert running.fixed_changes(wanted) == ("data", "control", "store", "key")
    kept = wanted.with_fixed_of(running)
    assert running.fixed_changes(kept) == ()
    assert (kept.data, kept.store, kept.key) == (Path("/a"), None, KeyChoice("file"))
    assert (kept.policy, kept.trust) == ("never", "blind")


def test_words_are_those_of_the_proxys_tables():
    """They are written down twice so that no table is loaded for `--help`."""
    from e2eproxy.proxy import rules, stand_down
    from e2eproxy.proxy.kinds import Setting

    assert {*options.POLICIES, "unknown"} == {setting.value for setting in Setting}
    assert tuple(whom.value for whom in rules.Whom) == options.TRUST
    assert tuple(stand_down.SYSTEMS) == options.SYSTEMS
    assert {
        rules.WHEN: "prefer", rules.WHOM: "tofu", rules.METHODS: " ".join(options.METHODS),
        rules.NOTICES: options.NOTICES[0], rules.OTR_HTML: options.OTR_HTML[0],
    } == rules.DEFAULTS  # fmt: skip


@pytest.mark.parametrize(
    "program",
    [
        "import e2eproxy.cli",
        "from e2eproxy.config import load; load({'store': 'postgresql:///d', 'data': '/d', 'key': 'passphrase'}, {})",
        "import e2eproxy.store_setup",
    ],
)
def test_settings_load_no_database_and_no_cipher(program: str):
    heavy = ("sqlalchemy", "psycopg", "keyring", "e2eproxy.trust.store", "e2eproxy.trust.vault")
    code = f"import sys; {program}; print(sorted(set({heavy!r}) & set(sys.modules)))"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60
    )
    assert done.stdout.strip() == "[]"


def test_every_problem_is_told_at_once(tmp_path: Path, environ: dict[str, str]):
    (tmp_path / "c.toml").write_text(
        'colour = 1\nlog_level = "x"\nlisten = ["ssl:1", "unix:/fine", "tcp:2"]\n'
    )
    found = problems_of({"config": str(tmp_path / "c.toml"), "max_clients": "0", "pin_only": True}, environ)
    assert [re.sub(r".*c\.toml:", "", problem).split(" ")[0] for problem in found] == [
        "--max-clients:", "1:", "2:", "3:", "3:", "--pin-only:",
    ]  # fmt: skip


def test_a_real_authority_is_accepted(environ: dict[str, str], certificates):
    settings = load({"upstream_ca": str(certificates.ca_file)}, environ)
    assert settings.upstream.ca_file == str(certificates.ca_file)


@pytest.mark.parametrize(
    "text",
    [
        DIGEST.hex(),
        DIGEST.hex().upper(),
        DIGEST.hex(":"),
        base64.b64encode(DIGEST).decode(),
        base64.b64encode(DIGEST).decode().rstrip("="),
    ],
)
def test_forms_of_a_pin(environ: dict[str, str], text: str):
    assert load({"pin": (text,)}, environ).upstream.pins == (DIGEST,)


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("xmpp.example.org:5223", ("xmpp.example.org", 5223)),
        ("[::1]:5222", ("::1", 5222)),
        ("127.0.0.1:1", ("127.0.0.1", 1)),
        ("müller.example:5222", ("müller.example", 5222)),
    ],
)
def test_forms_of_an_upstream(environ: dict[str, str], text: str, address: tuple[str, int]):
    assert load({"upstream": text}, environ).upstream.address == address


@settings(max_examples=300, deadline=None)
@given(
    st.sampled_from([option for option in options.OPTIONS if option.name != "config"]), st.text(max_size=40)
)
def test_any_text_is_a_value_or_a_problem(option: options.Option, text: str):
    """Whatever is typed, it is taken or refused in one line, with the option's name."""
    given_value: object = (text,) if option.repeatable else text
    problems: tuple[str, ...] = ()
    try:
        load({option.key: given_value}, {"HOME": "/nonexistent"})
    except ConfigError as error:
        problems = error.problems
    assert len(problems) <= 1
    assert all(problem.startswith(f"--{option.name}: ") for problem in problems)


@settings(max_examples=300, deadline=None)
@given(st.text(max_size=60))
def test_any_text_is_an_endpoint_or_refused(text: str):
    for prefix in ("", "tcp:", "unix:/", "systemd:domain=INET:"):
        with suppress(EndpointError):
            assert read_endpoint(prefix + text).place


# --- listeners ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "endpoint"),
    [
        ("tcp:5222:interface=127.0.0.1", TCPEndpoint("127.0.0.1", 5222)),
        ("tcp:port=5222:interface=127.8.9.10:backlog=9", TCPEndpoint("127.8.9.10", 5222, 9)),
        (r"tcp:0:interface=\:\:1", TCPEndpoint("::1", 0)),
        (r"tcp6:5222:interface=0\:0\:0\:0\:0\:0\:0\:1", TCPEndpoint("::1", 5222)),
        ("unix:/run/x.sock", UnixEndpoint("/run/x.sock")),
        (r"unix:/a\:b\=c:mode=660", UnixEndpoint("/a:b=c", 0o660)),
        ("systemd:domain=INET:index=0", InheritedEndpoint("systemd:domain=INET:index=0")),
        ("systemd:domain=UNIX:name=c2s", InheritedEndpoint("systemd:domain=UNIX:name=c2s")),
    ],
)
def test_listeners_let_through(text: str, endpoint: object):
    assert read_endpoint(text) == endpoint


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("tcp:5222", "all addresses of this machine"),
        ("tcp:5222:interface=", "all addresses of this machine"),
        (
            "tcp:5222:interface=0.0.0.0",
            "listening on '0.0.0.0' is refused: the client's login passes through",
        ),
        (r"tcp:5222:interface=\:\:", "listening on '::' is refused"),
        (r"tcp:5222:interface=\:\:ffff\:127.0.0.1", "is refused"),
        ("tcp:5222:interface=192.0.2.1", "is refused"),
        ("tcp:5222:interface=localhost", "an address, not a name"),
        ("tcp:5222:interface=::1", r"the colons of an IPv6 address are written \:"),
        ("tcp:interface=127.0.0.1", "exactly one port is needed"),
        ("tcp:5222:port=1:interface=127.0.0.1", "exactly one port is needed"),
        ("tcp:65536:interface=127.0.0.1", "allowed: 0 to 65535"),
        ("tcp:x:interface=127.0.0.1", "the port 'x' is not allowed"),
        ("tcp:1:interface=127.0.0.1:backlog=0", "the backlog '0' is not allowed"),
        ("tcp:1:interface=127.0.0.1:colour=red", "colour= is unknown here"),
        ("tcp:1:interface=127.0.0.1:interface=0.0.0.0", "interface= is given twice"),
        ("ssl:5223:privateKey=x", "a TLS listener is refused"),
        ("tls:5223:interface=127.0.0.1", "a TLS listener is refused"),
        ("haproxy:tcp:5222", "'haproxy:tcp:5222'"),
        ("stdio:", "'stdio' is no kind of listener"),
        ("", "is no kind of listener"),
        ("unix:relative", "exactly one absolute path"),
        ("unix:", "exactly one absolute path"),
        ("unix:/x:mode=888", "mode='888' is not allowed"),
        ("unix:/x:mode=7777", "mode='7777' is not allowed"),
        ("unix:/" + "x" * 107, "longer than the 107 bytes"),
        ("systemd:domain=INET", "exactly one of index= and name="),
        ("systemd:domain=INET:index=0:name=x", "exactly one of index= and name="),
        ("systemd:domain=IRDA:index=0", "domain='IRDA' is not allowed"),
        ("systemd:domain=INET:index=-1", "the index '-1' is not allowed"),
        ("tcp:1:interface=127.0.0.1\\", "lone backslash"),
    ],
)
def test_listeners_refused(environ: dict[str, str], text: str, why: str):
    with pytest.raises(EndpointError):
        read_endpoint(text)
    (problem,) = problems_of({"listen": (text,)}, environ)
    assert why in problem
    assert "\n" not in problem


# --- the file ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("\nlog_levle = 'info'", ["2: log_levle: unknown key; did you mean log_level? (allowed: listen,"]),
        ("log-level = 'info'", ["1: log-level: unknown key; did you mean log_level?"]),
        ("xyzzy = 1", ["1: xyzzy: unknown key; allowed: listen, upstream,"]),
        ("config = 'x'", ["1: config: unknown key"]),
        ("[upstream]\nhost = 'x'", ["1: upstream: {'host': 'x'} is no string"]),
        ("log.level = 'x'", ["1: log: unknown key; "]),
        ("max_clients = '5'", ["1: max_clients: '5' is no integer; allowed: 1 to 1000000"]),
        ("max_clients = true", ["1: max_clients: True is no integer"]),
        ("max_clients = 5.0", ["1: max_clients: 5.0 is no integer"]),
        ("pin_only = 1", ["1: pin_only: 1 is no boolean; allowed: true, false; true needs a pin"]),
        ("pin_only = true", ["1: pin_only: needs at least one pin"]),
        ("listen = 'unix:/x'", ["1: listen: 'unix:/x' is no list of strings"]),
        ("listen = [1]", ["1: listen: [1] is no list of strings"]),
        ("listen = []", ["1: listen: the list is empty"]),
        ("upstream = 5222", ["1: upstream: 5222 is no string; allowed: HOST:PORT or [IPV6]:PORT"]),
        ("data = ['/x']", ["1: data: ['/x'] is no string"]),
        ("log_level = 'loud'", ["1: log_level: 'loud' is not allowed; allowed: debug, info, warn, error"]),
        ("a = 1\na = 2", ["2: not valid TOML: Cannot overwrite a value"]),
        ("max_clients = 1\nlog_level =\n", ["2: not valid TOML: Invalid value"]),
        ("max_clients = 1\n\nlisten = [", ["3: not valid TOML: "]),
        (
            "upstream_tls = 'none'\nupstream = 'example.org:5222'",
            ["1: upstream_tls: 'none' is only allowed with"],
        ),
        ("upstream_ca = '/nonexistent'", ["1: upstream_ca: '/nonexistent' cannot be read"]),
    ],
)
def test_bad_file(tmp_path: Path, environ: dict[str, str], text: str, said: list[str]):
    found = file_problems(tmp_path, environ, text)
    assert len(found) == len(said)
    for problem, expected in zip(found, said, strict=True):
        assert problem.startswith(expected)


def test_file_that_is_not_text(tmp_path: Path, environ: dict[str, str]):
    (tmp_path / "c.toml").write_bytes(b"# fine\n# \xff\n")
    (problem,) = problems_of({"config": str(tmp_path / "c.toml")}, environ)
    assert problem == f"{tmp_path}/c.toml:2: the file is not UTF-8 text"


def test_a_bad_file_is_told_even_where_the_command_line_wins(tmp_path: Path, environ: dict[str, str]):
    (tmp_path / "c.toml").write_text("log_level = 'loud'")
    (problem,) = problems_of({"config": str(tmp_path / "c.toml"), "log_level": "info"}, environ)
    assert "c.toml:1: log_level" in problem


TRICKY = (
    '# listen = "in a comment"\n'
    'data = """\n'
    'listen = "in a string"\n'
    'upstream = \\"""\n'
    '"""\n'
    "\"log_level\" = 'a'\n"
    'pin = [ # comment with ] and "\n'
    "  \"a]\", 'b # no comment', [1, {log_format = 1}],\n"
    "\n"
    "]\n"
    "max_stanza_bytes = 1_000   # [config]\n"
    "'log_format' = '''\n"
    "max_clients = 1'''''\n"
    'a . "b c" . d = { x = [1, 2], "y" = "}", z.w = 1979-05-27 07:32:00 }\n'
    "when = 1979-05-27 07:32:00\r\n"
    '[ "max_clients" ]\n'
    "pin_only = 1\n"
    "[[array.of]]\n"
    "listen = 1\n"
    "[[array.of]]\n"
    '[a2.b."c.d"]\n'
)


def test_lines_of_keys():
    tomllib.loads(TRICKY)
    assert key_lines(TRICKY) == {
        "data": 2,
        "log_level": 6,
        "pin": 7,
        "max_stanza_bytes": 11,
        "log_format": 12,
        "a": 14,
        "when": 15,
        "max_clients": 16,
        "array": 18,
        "a2": 21,
    }


QUOTED = st.text(st.characters(codec="utf-8", exclude_categories=("Cc", "Cs")), max_size=8)
BASIC = QUOTED.map(lambda text: '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"')
LITERAL = QUOTED.map(lambda text: "'" + text.replace("'", "") + "'")
MULTI_BASIC = st.lists(
    st.sampled_from(["x", " ", "\n", "'", '"', '""', "\\\\", '\\"', "]", "#", "= 1", "é"])
).map(lambda parts: '"""' + re.sub(r'"{3,}', '""', "".join(parts)).rstrip('"') + '"""')
MULTI_LITERAL = st.lists(st.sampled_from(["x", "\n", '"', "''", "\\", "[", "#", "= 1"])).map(
    lambda parts: "'''" + re.sub(r"'{3,}", "''", "".join(parts)) + "'''"
)
SCALAR = st.sampled_from(
    ["1", "-2.5e3", "true", "inf", "0xff", "1979-05-27T07:32:00Z", "1979-05-27 07:32:00", "07:32:00", "1_000"]
)
SIMPLE = st.one_of(BASIC, LITERAL, MULTI_BASIC, MULTI_LITERAL, SCALAR)
KEY = st.one_of(st.from_regex(r"[A-Za-z0-9_-]{1,5}", fullmatch=True), BASIC, LITERAL)
VALUE = st.recursive(
    SIMPLE,
    lambda inner: st.one_of(
        st.lists(st.tuples(inner, st.sampled_from([",", " ,", ",\n", ", # ] comment\n"]))).map(
            lambda items: "[\n" + "".join(value + comma for value, comma in items) + "]"
        ),
        st.lists(st.tuples(KEY, inner), max_size=3, unique_by=lambda item: item[0]).map(
            lambda items: "{" + ", ".join(f"{key} = {value}" for key, value in items) + "}"
        ),
    ),
    max_leaves=6,
)


NAMED = st.sampled_from(["{}", '"{}"', "'{}'", "{}.x", '"{}" . y', "'{}'.'z'"])


@settings(max_examples=200, deadline=None)
@given(st.lists(st.tuples(NAMED, VALUE, st.sampled_from(["", " # [x] = 'y'", "\n", "\n\n# c"])), max_size=5))
def test_lines_of_any_keys(parts: list[tuple[str, str, str]]):
    """What was written on a line is found on that line, whatever the values look like."""
    text = ""
    expected: dict[str, int] = {}
    for number, (named, value, behind) in enumerate(parts):
        statement = f"{named.format(f'k{number}')} = {value}{behind}\n"
        try:
            tomllib.loads(statement)
        except tomllib.TOMLDecodeError:  # such as one key twice in an inline table
            continue
        expected[f"k{number}"] = text.count("\n") + 1
        text += statement
    assert key_lines(text) == expected
