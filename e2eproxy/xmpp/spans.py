"""One element read once: its tree, and where each part of it stands in the bytes it came in.

For changes that leave everything else as it was (law 2). Keeps law 6: whatever the bytes are, the only thing raised is
``BadElement``; depth, attributes and size are bounded, since the bytes may come out of a ciphertext and not from the
framer.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final
from xml.parsers import expat

from attrs import frozen

from e2eproxy.errors import RemoteError
from e2eproxy.xmpp import names
from e2eproxy.xmpp.markup import START_TAG
from e2eproxy.xmpp.pieces import Limits
from e2eproxy.xmpp.tree import Node

if TYPE_CHECKING:
    from collections.abc import Callable

#: What an element may be at most that comes from nowhere else: as a client's.
LIMITS: Final = Limits(element_bytes=2**20)
#: More elements than this are not looked into: each takes about 600 bytes of memory, and four of the wire.
MOST_ELEMENTS: Final = 20_000
#: A context that declares nothing: only elements that declare all they use can be read in it.
NO_CONTEXT: Final = b"<context>"


class BadElement(RemoteError):  # noqa: N818 - it names the finding
    """The bytes are not one well-formed element within the limits."""


@frozen(repr=False, eq=False)
class Span:
    """An element inside a whole: ``whole[start:end]`` is how it was written.

    ``node`` is its tree, ``children`` are its child elements in their order. A span is equal to itself only.
    """

    whole: bytes
    start: int
    end: int
    node: Node
    children: tuple[Span, ...]

    def __repr__(self) -> str:
        """Say what and where it is, without its text (law 8)."""
        return f"<Span {self.local_name[:60]} {self.start}:{self.end}>"

    @property
    def raw(self) -> bytes:
        """The element as it was written; its namespaces may be declared outside of it."""
        return self.whole[self.start : self.end]

    @property
    def name(self) -> str:
        """The element's name as the framer reports names."""
        return self.node.name

    @property
    def local_name(self) -> str:
        """The element's name without its namespace."""
        return names.split_name(self.node.name)[1]

    @property
    def attributes(self) -> dict[str, str]:
        """The element's attributes by name."""
        return self.node.attributes

    @property
    def text(self) -> str:
        """The character data directly inside the element."""
        return self.node.text

    @property
    def start_tag(self) -> bytes:
        """The start tag, or empty-element tag, as it was written."""
        tag = START_TAG.match(self.whole, self.start)
        assert tag is not None  # noqa: S101 - expat has accepted it
        return tag[0]

    @property
    def content(self) -> tuple[int, int]:
        """Where what stands between start and end tag begins and ends; both are ``end`` for an empty-element tag."""
        opened = self.start + len(self.start_tag)
        if opened == self.end:
            return self.end, self.end
        # The end tag is the last thing in it, and nothing in an end tag looks like another one.
        return opened, self.whole.rindex(b"</", opened, self.end)

    def child(self, name: str) -> Span | None:
        """Return the first child element called *name*, or None."""
        return next((child for child in self.children if child.name == name), None)

    def all(self, name: str) -> list[Span]:
        """Return all child elements called *name*."""
        return [child for child in self.children if child.name == name]


def read(raw: bytes, context: bytes = NO_CONTEXT, limits: Limits = LIMITS) -> Span:
    """Return the one element that *raw* is, read inside an element whose start tag is *context*.

    Raises BadElement: not one well-formed element, text or anything else around it, or over the limits.
    """
    if len(raw) > limits.element_bytes:
        raise BadElement(f"An element is longer than {limits.element_bytes} bytes.")
    return _Reader(raw, context, limits).read()


class _Open:
    """An element whose end has not come."""

    __slots__ = ("children", "node", "start")

    def __init__(self, start: int, node: Node) -> None:
        self.start = start
        self.node = node
        self.children: list[Span] = []


class _Reader:
    """Reads one element; its handlers are taken off again, so that the parser is freed at once."""

    def __init__(self, raw: bytes, context: bytes, limits: Limits) -> None:
        self._raw = raw
        self._context = context
        self._limits = limits
        self._base = len(context)
        self._open: list[_Open] = []
        self._elements = 0
        self._found: Span | None = None
        self._parser = parser = expat.ParserCreate("utf-8", names.SEPARATOR, {})
        parser.ordered_attributes = True
        parser.buffer_text = True
        undeferred: Callable[[bool], None] | None = getattr(parser, "SetReparseDeferralEnabled", None)
        if undeferred is not None:
            undeferred(False)

    def read(self) -> Span:
        parser = self._parser
        try:
            parser.Parse(self._context, False)
            parser.StartElementHandler = self._start
            parser.EndElementHandler = self._end
            parser.CharacterDataHandler = self._text
            parser.Parse(self._raw, False)
        except expat.ExpatError as error:
            reason = expat.ErrorString(error.code)
            raise BadElement(f"An element is not well-formed: {reason}.") from None
        finally:
            parser.StartElementHandler = parser.EndElementHandler = parser.CharacterDataHandler = None
        found = self._found
        if found is None or self._open or found.start != 0 or found.end != len(self._raw):
            raise BadElement("There is something else where one whole element is expected.")
        return found

    def _start(self, name: str, attributes: list[str]) -> None:
        if self._found is not None:
            raise BadElement("There are two elements where one is expected.")
        if len(self._open) >= self._limits.depth:
            raise BadElement(f"An element is nested deeper than {self._limits.depth} levels.")
        self._elements += 1
        if self._elements > MOST_ELEMENTS:
            raise BadElement(f"An element holds more than {MOST_ELEMENTS} others.")
        if len(attributes) > 2 * self._limits.attributes:
            raise BadElement(f"An element has more than {self._limits.attributes} attributes.")
        node = Node(name, dict(zip(attributes[::2], attributes[1::2], strict=True)))
        if self._open:
            self._open[-1].node.children.append(node)
        self._open.append(_Open(self._parser.CurrentByteIndex - self._base, node))

    def _end(self, _name: str) -> None:
        at = self._parser.CurrentByteIndex - self._base
        if not self._open:
            raise BadElement("An element ends that never began.")
        ended = self._open.pop()
        raw = self._raw
        end = at if self._is_empty(ended.start, at) else raw.index(b">", at) + 1
        span = Span(raw, ended.start, end, ended.node, tuple(ended.children))
        if self._open:
            self._open[-1].children.append(span)
        else:
            self._found = span

    def _is_empty(self, start: int, at: int) -> bool:
        """Whether an empty-element tag ends at *at*: its end event is behind it, that of an end tag before it."""
        if self._raw[at - 2 : at] != b"/>":
            return False
        tag = START_TAG.match(self._raw, start)
        return tag is not None and tag.end() == at

    def _text(self, text: str) -> None:
        if self._open:
            self._open[-1].node.texts.append(text)
