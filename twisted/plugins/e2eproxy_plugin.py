# noqa: INP001  # twisted.plugins is Twisted's own package, which forbids an __init__.py here
"""Makes ``twistd e2eproxy`` known; what it does is in e2eproxy.service, which is loaded when it is called."""

from twisted.application.service import ServiceMaker

e2eproxy = ServiceMaker(  # type: ignore[no-untyped-call]  # Twisted's
    "e2eproxy", "e2eproxy.service", "End-to-end encryption for XMPP clients, on localhost", "e2eproxy"
)
