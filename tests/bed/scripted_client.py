"""A legacy client that follows a script: it answers service discovery by itself, and remembers what it was shown.

It reads in a thread of its own, so that a test can write with several of them at once and then wait for what has to come.
It stands for a client whose user looks at the screen: a text that it was shown is a text that arrived.
"""

from __future__ import annotations

import contextlib
import socket
import threading
from typing import TYPE_CHECKING
from uuid import uuid4
from xml.etree import ElementTree as ET
from xml.sax.saxutils import escape, quoteattr

from bed.polling import BedError, wait_until
from bed.raw_client import CLIENT, RawClient, StreamEndedError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from types import TracebackType

    from bed.raw_client import Element
    from bed.route import Route
    from bed.servers import Account

BODY = f"{CLIENT}body"
MESSAGE = f"{CLIENT}message"
DISCO = "http://jabber.org/protocol/disco#info"
RECEIPTS = "urn:xmpp:receipts"
PROXY = "e2eproxy.localhost"


class ScriptedClient(RawClient):
    """Logged in as *account*; *announces*: its features; *receipts*: whether it confirms what it was shown."""

    def __init__(
        self,
        route: Route,
        account: Account,
        resource: str,
        *,
        announces: Iterable[str] = (),
        receipts: bool = False,
    ) -> None:
        """Log in, and begin to read."""
        super().__init__(route, timeout=20)
        self.account = account
        self.announces = (DISCO, *announces)
        self.receipts = receipts
        self.ended = threading.Event()
        self.seen: list[Element] = []
        self._silent = False
        self._asked: list[Element] = []
        self._lock = threading.Lock()
        try:
            self.login(account, resource=resource)
        except BaseException:
            self._socket.close()
            raise
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self._thread.start()

    # What it says.

    def say(self, data: str) -> bool:
        """Send *data* as it is; return whether there was still a connection to take it."""
        try:
            self.send(data)
        except OSError:
            return False
        return True

    def available(self) -> None:
        """Send initial presence, and wait until the server has reflected it."""
        self.say("<presence/>")
        self.wait(lambda one: one.tag == f"{CLIENT}presence" and one.get("from") == self.jid, "own presence")

    def write(self, to: str, text: str, *, number: str = "", more: str = "") -> str:
        """Send a chat message with *more* children; return its id."""
        number = number or f"m{next(self._ids)}"
        self.say(
            f"<message to={quoteattr(to)} type='chat' id={quoteattr(number)}>"
            f"<body>{escape(text)}</body>{more}</message>"
        )
        return number

    def ping(self) -> str:
        """Ask the server for an answer; return the id it will have."""
        number = uuid4().hex  # the clients of one account may follow each other
        to = quoteattr(self.account.domain)
        self.say(f"<iq type='get' id='{number}' to={to}><ping xmlns='urn:xmpp:ping'/></iq>")
        return number

    def keep_silent(self) -> None:
        """Do not answer service discovery any more, until ``answer``."""
        self._silent = True

    def answer(self) -> None:
        """Answer what was asked meanwhile, and whatever is asked from now on."""
        with self._lock:
            self._silent = False
            asked, self._asked = self._asked, []
        for one in asked:
            self._describe(one)

    # What it was shown.

    def messages(self) -> list[Element]:
        """All messages so far."""
        return [one for one in list(self.seen) if one.tag == MESSAGE]

    def texts(self, of: str | None = None) -> list[str]:
        """The texts of all messages that are no errors, or of those of one bare JID."""
        return [
            one.findtext(BODY) or ""
            for one in self.messages()
            if one.get("type") != "error"
            and one.find(BODY) is not None
            and (of is None or (one.get("from") or "").partition("/")[0] == of)
        ]

    def notices(self) -> list[str]:
        """What the proxy told."""
        return self.texts(PROXY)

    def errors(self) -> dict[str, Element]:
        """The messages that came back, by their ids; two with the same id raise."""
        found: dict[str, Element] = {}
        for one in self.messages():
            if one.get("type") == "error":
                number = one.get("id") or ""
                if number in found:
                    raise BedError(f"two errors for {number}: {ET.tostring(one)!r}")
                found[number] = one
        return found

    def answered(self) -> set[str]:
        """The ids of all IQ answers."""
        return {
            one.get("id") or ""
            for one in list(self.seen)
            if one.tag == f"{CLIENT}iq" and one.get("type") in {"result", "error"}
        }

    def wait(self, wanted: Callable[[Element], bool], what: str, timeout: float = 20) -> Element:
        """The first stanza, of all so far or to come, for which *wanted* is true."""

        def look() -> list[Element] | None:
            over = self.ended.is_set()  # before the look at what came last
            found = next(([one] for one in list(self.seen) if wanted(one)), None)
            if over and found is None:
                raise StreamEndedError(f"the stream ended before {what}; {self.shown()}")
            return found

        return wait_until(look, what, timeout=timeout, instead=self.shown)[0]

    def wait_text(self, text: str, timeout: float = 20) -> Element:
        """The first message with this text."""
        return self.wait(
            lambda one: one.tag == MESSAGE and one.get("type") != "error" and one.findtext(BODY) == text,
            f"the text {text!r}",
            timeout,
        )

    def shown(self) -> str:
        """What came last, for the text of a failure."""
        return f"{self.account.jid} was shown:\n" + "\n".join(
            ET.tostring(one, "unicode") for one in list(self.seen)[-30:]
        )

    # How it reads.

    def _watch(self) -> None:
        while not self.ended.is_set():
            try:
                element = self.read()
            except (StreamEndedError, OSError):
                break
            except BedError:  # nothing came for a while
                continue
            self.seen.append(element)
            self._react(element)
        self.ended.set()

    def _react(self, element: Element) -> None:
        if element.get("type") == "error":
            return
        if element.find(f"{{{DISCO}}}query") is not None and element.get("type") == "get":
            with self._lock:
                if self._silent:
                    self._asked.append(element)
                    return
            self._describe(element)
        elif self.receipts and element.find(f"{{{RECEIPTS}}}request") is not None:
            to, number = quoteattr(element.get("from") or ""), quoteattr(element.get("id") or "")
            self.say(f"<message to={to} type='chat'><received xmlns='{RECEIPTS}' id={number}/></message>")

    def _describe(self, question: Element) -> None:
        query = question.find(f"{{{DISCO}}}query")
        node = "" if query is None else query.get("node") or ""
        number, to = quoteattr(question.get("id") or ""), quoteattr(question.get("from") or "")
        features = "".join(f"<feature var={quoteattr(one)}/>" for one in self.announces)
        self.say(
            f"<iq type='result' id={number} to={to}>"
            f"<query xmlns='{DISCO}'{f' node={quoteattr(node)}' if node else ''}>"
            f"<identity category='client' type='pc'/>{features}</query></iq>"
        )

    # The end.

    def close(self) -> None:
        """End the stream in good order, wait for the other side's end, and let go."""
        if self.say("</stream:stream>"):
            self.ended.wait(10)
        self.vanish()

    def vanish(self) -> None:
        """Let go of the connection, whatever is on it: the other side gets a reset."""
        self.ended.set()
        if self._socket.fileno() < 0:
            return
        with contextlib.suppress(OSError):  # not connected any more
            self._socket.shutdown(socket.SHUT_RD)  # wakes the thread, and says nothing
        self._thread.join(25)
        self.abort()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close; vanish after an error."""
        if kind is None:
            self.close()
        else:
            self.vanish()
