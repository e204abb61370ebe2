"""A pytest plug-in for slixmpp's own integration tests: where the server is, and that plain text is allowed.

Those tests call `connect()` without an address, which finds the server by DNS, and slixmpp on its own neither speaks
plain TCP nor uses SCRAM on it. Nothing else is changed, and a `connect()` that names an address is left alone. The
address comes from SLIXMPP_ITESTS_HOST and SLIXMPP_ITESTS_PORT.
"""

from __future__ import annotations

import os

from slixmpp.clientxmpp import ClientXMPP

ADDRESS = os.environ["SLIXMPP_ITESTS_HOST"], int(os.environ["SLIXMPP_ITESTS_PORT"])

connect_by_name = ClientXMPP.connect


def connect(self, host=None, port=None):
    """Connect to the address given, or else to `ADDRESS` in plain text."""
    if not (host and port):
        host, port = ADDRESS
        self.enable_plaintext = True
        self.enable_starttls = self.enable_direct_tls = False
        self.plugin["feature_mechanisms"].unencrypted_scram = True
    return connect_by_name(self, host, port)


ClientXMPP.connect = connect
