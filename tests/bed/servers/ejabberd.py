"""ejabberd (23.01 and later) in the foreground, without Erlang's distribution and so without epmd."""

from __future__ import annotations

import json
import re
import subprocess
import urllib.request
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from bed.ports import reserve_port
from bed.programs import require_program
from bed.servers.base import Account, Login, Server

if TYPE_CHECKING:
    from collections.abc import Mapping

STANZA_LIMIT = 1024 * 1024  # bytes; larger than anything that a test sends
# Erlang's schedulers look for more work for a while before they sleep, which takes the processor from everybody else.
NO_BUSY_WAITING = ("+sbwt", "none", "+sbwtdcpu", "none", "+sbwtdio", "none")
BACKLOG = 128  # the default of 5 drops bursts of connections, which then wait a second for their second SYN


class Ejabberd(Server):
    """One ejabberd process; it is administered through its HTTP API, on a loopback port of its own."""

    kind: ClassVar[str] = "ejabberd"
    api_port = 0

    def prepare(self) -> tuple[list[str], Mapping[str, str]]:
        """Write ejabberd.yml (as JSON, which is YAML)."""
        require_program("ejabberdctl", "ejabberd")
        self.api_port = reserve_port()
        config = self.directory / "ejabberd.yml"
        config.write_text(json.dumps(self._configuration(), indent=1), encoding="utf-8")
        libraries = _ebin().parent.parent
        environment = {
            "EJABBERD_CONFIG_PATH": str(config),
            "EJABBERD_LOG_PATH": str(self.log),
            "ERL_CRASH_DUMP_BYTES": "0",
            "ERL_LIBS": str(libraries),
        }
        mnesia = ["-mnesia", "dir", f'"{self.directory}/mnesia"']
        return ["erl", "-noinput", "+K", "true", *NO_BUSY_WAITING, *mnesia, "-s", "ejabberd"], environment

    def register(self, account: Account) -> None:
        """Through the API."""
        self.api("register", user=account.user, host=account.domain, password=account.password)

    def add_contact(self, account: Account, contact: Account) -> None:
        """Through the API."""
        self.api(
            "add_rosteritem",
            localuser=account.user,
            localhost=account.domain,
            user=contact.user,
            host=contact.domain,
            nick=contact.user,
            group="",
            subs="both",
        )

    def api(self, command: str, **arguments: str) -> Any:
        """Run one administration command; return its decoded answer."""
        request = urllib.request.Request(
            f"http://127.0.0.1:{self.api_port}/api/{command}",
            json.dumps(arguments).encode(),
            {"Content-Type": "application/json"},
        )
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        with opener.open(request, timeout=20) as answer:
            return json.loads(answer.read())

    def answers(self) -> bool:
        """The administration port too has to answer: accounts are made there."""
        try:
            return super().answers() and bool(self.api("status"))
        except OSError:
            return False

    def dismiss(self, account: Account) -> None:
        """Through the API; when ejabberd itself ends it does not always find the time to take leave."""
        self.api("kick_user", user=account.user, host=account.domain)

    def logins(self) -> list[Login]:
        """One line each; its first word in brackets is the transport."""
        pattern = r"\((tls|tcp)\|[^)]*\) Accepted c2s \S+ authentication for (\S+) by"
        return [Login(jid=jid, secure=way == "tls") for way, jid in re.findall(pattern, self.log_text())]

    def stop(self) -> None:
        """SIGTERM begins a slow, orderly end; nothing of it is needed once the test is over."""
        if self.child is not None:
            self.child.kill()
        self._clear()

    def version(self) -> str:
        """Of the package, without Debian's revision."""
        asked = ["dpkg-query", "-W", "-f", "${Version}", "ejabberd"]
        done = subprocess.run(asked, capture_output=True, text=True, check=True, timeout=30)
        return done.stdout.partition("-")[0]

    def _configuration(self) -> dict[str, Any]:
        bare = self.profile in {"local", "scram"}
        plain = self.profile in {"plain", "local"}
        options = ["no_sslv3", "no_tlsv1", "no_tlsv1_1", *(["no_tlsv1_3"] if self.profile == "plus" else [])]
        client = {
            "ip": "127.0.0.1",
            "module": "ejabberd_c2s",
            "backlog": BACKLOG,
            "protocol_options": options,
            "max_stanza_size": STANZA_LIMIT,
            "access": "everybody",
        }
        starttls = {"starttls": not bare, "starttls_required": not (bare or plain)}
        api = {"module": "ejabberd_http", "ip": "127.0.0.1", "request_handlers": {"/api": "mod_http_api"}}
        return {
            "hosts": [self.domain, self.anonymous_domain],
            "host_config": {
                self.anonymous_domain: {"auth_method": ["anonymous"], "anonymous_protocol": "sasl_anon"}
            },
            "loglevel": "info",
            "certfiles": [str(self.pair.both)],
            "ca_file": str(self.certificates.ca_file),
            "auth_method": ["mnesia"],
            "auth_password_format": "plain",  # keeps every kind of SCRAM on offer
            "disable_sasl_mechanisms": ["digest-md5", "X-OAUTH2", *([] if plain else ["plain"])],
            "default_db": "mnesia",
            "registration_timeout": "infinity",
            "language": "en",
            "listen": [
                {"port": self.port, **client, **starttls},
                {"port": self.tls_port, **client, "tls": True},
                {"port": self.api_port, **api},
            ],
            "acl": {"loopback": {"ip": ["127.0.0.0/8"]}},
            "access_rules": {"everybody": {"allow": "all"}},
            "api_permissions": {
                "loopback may do anything": {
                    "from": ["mod_http_api"],
                    "who": {"access": {"allow": {"acl": "loopback"}}},
                    "what": "*",
                }
            },
            "shaper_rules": {"max_user_sessions": 20, "max_user_offline_messages": 10000},
            "modules": self._modules(),
        }

    def _modules(self) -> dict[str, Any]:
        names = (
            "adhoc", "admin_extra", "blocking", "caps", "carboncopy", "client_state", "disco", "last", "legacy_auth",
            "offline", "ping", "privacy", "private", "time", "version",
        )  # fmt: skip
        return {
            **{f"mod_{name}": {} for name in names},
            "mod_mam": {"default": "always" if self.mam else "never", "assume_mam_usage": self.mam},
            "mod_muc": {
                "hosts": [f"conference.{self.domain}"],
                "access_create": "everybody",
                "default_room_options": {"mam": self.mam},
            },
            "mod_pubsub": {
                "plugins": ["flat", "pep"],
                "force_node_config": {"eu.siacs.conversations.axolotl.*": {"access_model": "open"}},
            },
            "mod_register": {"ip_access": "all", "password_strength": 0},
            "mod_roster": {"versioning": True},
            "mod_stream_mgmt": {"resume_timeout": 60},
            "mod_vcard": {"search": False},
        }


def _ebin() -> Path:
    """Where the package keeps ejabberd's compiled modules."""
    done = subprocess.run(["dpkg", "-L", "ejabberd"], capture_output=True, text=True, check=True, timeout=30)
    return next(Path(line) for line in done.stdout.splitlines() if line.endswith("/ebin"))
