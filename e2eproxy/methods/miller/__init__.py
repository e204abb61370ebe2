"""End-to-end encryption as draft-miller-xmpp-e2e has it: whole stanzas, signed and encrypted with JOSE. Sans-IO."""
