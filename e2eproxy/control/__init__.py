"""How people steer the proxy: one API and one command table; chat, ad-hoc commands and the command line are its faces."""
