"""Throw-away Prosody and ejabberd: ``with Prosody(certificates, profile="plain") as server: ...``."""

from __future__ import annotations

from bed.servers.base import Account, Login, Profile, Server
from bed.servers.ejabberd import Ejabberd
from bed.servers.prosody import Prosody

SERVERS: dict[str, type[Server]] = {"prosody": Prosody, "ejabberd": Ejabberd}

__all__ = ["SERVERS", "Account", "Ejabberd", "Login", "Profile", "Prosody", "Server"]
