"""Prosody (0.12 and later) in the foreground, configured for loopback and throw-away data."""

from __future__ import annotations

import os
import re
import subprocess
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from bed.programs import require_program
from bed.servers.base import Account, Login, Profile, Server

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from bed.certificates import Certificates

MODULES = (
    "roster", "saslauth", "tls", "disco", "ping", "time", "version", "presence", "message", "iq", "pep", "private",
    "vcard4", "vcard_legacy", "bookmarks", "blocklist", "carbons", "mam", "smacks", "csi", "csi_simple", "offline",
    "register", "admin_shell", "legacyauth",
)  # fmt: skip

# Community modules from the package prosody-modules; with Prosody 0.12.3 sasl2 fails on TLS, and sasl2_fast always.
SASL2_MODULES = ("sasl2", "sasl2_bind2", "sasl2_sm")

STANZA_LIMIT = 1024 * 1024  # bytes; larger than anything that a test sends


class Prosody(Server):
    """One Prosody process.

    Passwords are kept in the clear (``internal_plain``): only then Prosody offers SCRAM-SHA-1 and SCRAM-SHA-256
    at once. Channel binding is offered on TLS 1.2 only, hence the ``plus`` profile.
    """

    kind: ClassVar[str] = "prosody"

    def __init__(
        self,
        certificates: Certificates,
        *,
        profile: Profile = "strict",
        mam: bool = True,
        certificate: Literal["server", "rogue"] = "server",
        directory: Path | None = None,
        sasl2: bool = False,
    ) -> None:
        """As for every server; *sasl2* offers XEP-0388 with Bind 2 and stream management as well."""
        super().__init__(certificates, profile=profile, mam=mam, certificate=certificate, directory=directory)
        self.sasl2 = sasl2

    def prepare(self) -> tuple[list[str], Mapping[str, str]]:
        """Write prosody.cfg.lua."""
        require_program("prosody")
        for folder in (
            "data",
            "certs",
        ):  # it complains without the second, although nothing is looked up there
            (self.directory / folder).mkdir(exist_ok=True)
        self.config.write_text(self._configuration(), encoding="utf-8")
        self.config.chmod(0o600)
        return ["prosody", "-F", "--config", str(self.config)], {}

    @property
    def config(self) -> Path:
        """The configuration file."""
        return self.directory / "prosody.cfg.lua"

    def register(self, account: Account) -> None:
        """Write what prosodyctl would write: it starts an interpreter of its own, and every test has two accounts."""
        folder = self._folder(account, "accounts")
        text = f'return {{\n\t["password"] = {_lua(account.password)};\n}};\n'
        (folder / f"{account.user}.dat").write_text(text, encoding="utf-8")

    def control(self, *arguments: str) -> str:
        """Run prosodyctl on this server's configuration; return what it prints."""
        done = subprocess.run(
            ["prosodyctl", "--config", str(self.config), *arguments],
            env={"PATH": os.environ["PATH"], "LANG": "C.UTF-8", "HOME": str(self.directory)},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            check=True,
            text=True,
            timeout=30,
        )
        return done.stdout

    def add_contact(self, account: Account, contact: Account) -> None:
        """Write into the roster file: Prosody reads it when the account logs in."""
        path = self._folder(account, "roster") / f"{account.user}.dat"
        head = 'return {\n\t[false] = { ["version"] = 1; ["pending"] = {} };\n'
        known = path.read_text(encoding="utf-8").removesuffix("};\n") if path.exists() else head
        item = f'["subscription"] = "both"; ["name"] = "{contact.user}"; ["groups"] = {{}};'
        path.write_text(f'{known}\t["{contact.jid}"] = {{ {item} }};\n}};\n', encoding="utf-8")

    def _folder(self, account: Account, store: str) -> Path:
        """Where Prosody's internal storage has *store* of the account's domain."""
        folder = self.directory / "data" / account.domain.replace(".", "%2e") / store
        folder.mkdir(parents=True, exist_ok=True)
        return folder

    def dismiss(self, account: Account) -> None:
        """Through the administration shell."""
        self.control(
            "shell", f'c2s:close("{account.jid}", "The administrator says good-bye", "policy-violation")'
        )

    def logins(self) -> list[Login]:
        """Two lines of one session make a login: the encryption (if any) and the authentication."""
        secure: set[str] = set()
        found = []
        pattern = r"^\S+ \S+ \S+\s+(c2s\w+)\s+info\s+(?:(Stream encrypted)|Authenticated as (\S+))"
        for session, encrypted, jid in re.findall(pattern, self.log_text(), re.MULTILINE):
            if encrypted:
                secure.add(session)
            else:
                found.append(Login(jid=jid, secure=session in secure))
        return found

    def version(self) -> str:
        """From ``prosodyctl about``: Prosody itself has no option for it."""
        seen = re.search(r"^Prosody ([\d.]+)", self.control("about"), re.MULTILINE)
        return seen.group(1) if seen else "unknown"

    def _configuration(self) -> str:
        plain = self.profile in {"plain", "local"}
        bare = self.profile in {"local", "scram"}
        settings: dict[str, Any] = {
            "run_as_root": os.getuid() == 0,
            "pidfile": self.directory / "prosody.pid",
            "data_path": self.directory / "data",
            "admin_socket": self.directory / "shell.sock",
            "log": {"info": str(self.log)},
            "modules_enabled": [*MODULES, *(SASL2_MODULES if self.sasl2 else ())],
            "modules_disabled": ["s2s", *(["tls"] if bare else [])],
            "interfaces": ["127.0.0.1"],
            "local_interfaces": ["127.0.0.1"],
            "c2s_ports": [self.port],
            "c2s_direct_tls_ports": [self.tls_port],
            "http_ports": [],
            "https_ports": [],
            "c2s_require_encryption": self.profile in {"strict", "plus"},
            "allow_unencrypted_plain_auth": plain,
            "disable_sasl_mechanisms": ["DIGEST-MD5", *([] if plain else ["PLAIN"])],
            "authentication": "internal_plain",
            "storage": "internal",
            "default_archive_policy": self.mam,
            "allow_registration": True,
            "c2s_stanza_size_limit": STANZA_LIMIT,
            "smacks_hibernation_time": 60,
            "ssl": {
                "key": str(self.pair.key),
                "certificate": str(self.pair.certificate),
                "protocol": "tlsv1_2" if self.profile == "plus" else "tlsv1_2+",
            },
        }
        settings["c2s_direct_tls_ssl"] = settings["ssl"]
        lines = [f"{name} = {_lua(value)}" for name, value in settings.items()]
        return "\n".join([*lines, *self._hosts(), ""])

    def _hosts(self) -> list[str]:
        return [
            f"VirtualHost {_lua(self.domain)}",
            f"VirtualHost {_lua(self.anonymous_domain)}",
            '    authentication = "anonymous"',
            f'Component {_lua("conference." + self.domain)} "muc"',
            '    modules_enabled = { "muc_mam" }',
            "    restrict_room_creation = false",
            "    muc_room_default_public_jids = true",
        ]


def _lua(value: object) -> str:
    """Write a value of the configuration in Lua."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, int):
        return str(value)
    if isinstance(value, list):
        return "{ " + "; ".join(map(_lua, value)) + " }"
    if isinstance(value, dict):
        return "{ " + "; ".join(f"{name} = {_lua(item)}" for name, item in value.items()) + " }"
    text = str(value).replace("\\", "\\\\").replace('"', '\\"')
    return f'"{text}"'
