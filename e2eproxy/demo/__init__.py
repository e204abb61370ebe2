"""``e2eproxy demo``: a conversation through two real proxies, seen by both clients and by the server, on this machine alone.

For whoever looks at the program for the first time, without an account, a server or a network. The daemon loads none of it.
"""
