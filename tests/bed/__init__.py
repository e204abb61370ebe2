"""The test bed: real XMPP servers and real clients on loopback, with throw-away data.

Nothing here is started as a system service, nothing of the calling user is read or changed, and everything that
is started is stopped again (or killed by the kernel, should the test run itself be killed).
"""
