"""End-to-end encryption for XMPP clients that have none, as a proxy on localhost."""
