"""What a client is told that insists on TLS: which of its settings turns that off, by the name the setting has there.

A person who reads "not well-formed" does not think of TLS. So the text of the stream error, and the log where a client cannot read
one any more, name the setting (law 9: the user can always tell).
"""

from __future__ import annotations

from typing import Final

#: By client, what has to be set in it; ``docs/clients.md`` says the same at length.
NO_TLS: Final[dict[str, str]] = {
    "profanity": "/account set JID tls disable",
    "mcabber": "set tls = 0, no set ssl = 1",
    "finch and Pidgin": "connection security: use encryption if available",
    "poezio": "force_encryption = false",
    "sendxmpp": "no --tls, no --ssl",
    "slixmpp": "enable_plaintext = True, enable_starttls = False, enable_direct_tls = False",
}

_SETTINGS: Final = "; ".join(f"{client}: {setting}" for client, setting in NO_TLS.items())
_WHERE: Final = (
    "e2eproxy speaks plain text with clients, on this machine only, and does TLS with the server itself."
    f" Turn TLS off in the client, for this account. {_SETTINGS}. Others: docs/clients.md."
)

DIRECT: Final = f"The client began with TLS. {_WHERE}"
STARTTLS: Final = f"The client asked for STARTTLS, which was not offered. {_WHERE}"
GAVE_UP: Final = (
    "The client left before it tried to log in, as one does that insists on TLS and finds no STARTTLS on offer."
    f" If it does: {_WHERE}"
)

#: The first byte of a TLS record that holds a handshake (RFC 8446 section 5.1); no XML begins with it.
HANDSHAKE: Final = b"\x16"
