"""Off-the-Record messaging, versions 2 and 3: text in the body, a session by handshake. Sans-IO; one machine a file."""
