"""A stanza as bytes that can be looked into and changed, with everything else as it was.

Keeps law 2: a stanza is read into a tree only when something asks for its inside, and a change replaces only the bytes
that are changed. All functions that change return new bytes; ``Stanza.changed`` makes a stanza of them again. Keeps law
6: bytes that are no stanza raise ``BadElement``, a ``RemoteError``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Literal, cast

from attrs import field, frozen

from e2eproxy.errors import LocalError
from e2eproxy.xmpp import names
from e2eproxy.xmpp.context import Context, context_of
from e2eproxy.xmpp.markup import (
    Attribute,
    attributes_of,
    element,
    escape_text,
    escape_value,
    is_declaration,
    is_unprefixed,
    tag_name,
)
from e2eproxy.xmpp.pieces import Limits
from e2eproxy.xmpp.spans import LIMITS, NO_CONTEXT, BadElement, Span, read

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from e2eproxy.xmpp.pieces import Element
    from e2eproxy.xmpp.tree import Node

__all__ = [
    "LIMITS",
    "NO_CONTEXT",
    "BadElement",
    "Kind",
    "Span",
    "Stanza",
    "build",
    "element",
    "escape_text",
    "escape_value",
    "injected",
]

Kind = Literal["message", "presence", "iq"]

#: What the framer has let pass is only held to what the framer does not count.
_FRAMED: Final = Limits(element_bytes=2**31)


@frozen(repr=False)
class Stanza:
    """A message, presence or IQ: ``raw`` as it was written inside an element with the start tag ``root``.

    ``attributes`` are those of the stanza itself, by name as the framer reports names.
    """

    raw: bytes
    root: bytes
    name: str = field(eq=False)
    attributes: dict[str, str] = field(eq=False)
    _limits: Limits = field(eq=False, default=LIMITS)
    _span: list[Span] = field(eq=False, factory=list)

    @classmethod
    def of(cls, framed: Element, root: bytes) -> Stanza:
        """Return the stanza that *framed*, an element of the stream with the start tag *root*, is, without reading it.

        Raises BadElement for another element.
        """
        if framed.name not in names.STANZAS:
            raise BadElement("An element is no stanza.")
        flat = framed.attributes
        return cls(framed.raw, root, framed.name, dict(zip(flat[::2], flat[1::2], strict=True)), _FRAMED)

    @classmethod
    def parse(cls, raw: bytes, root: bytes = NO_CONTEXT, limits: Limits = LIMITS) -> Stanza:
        """Return the stanza that *raw* is inside an element with the start tag *root*.

        Without *root* it has to declare all it uses. Raises BadElement for anything else.
        """
        span = read(raw, root, limits)
        if span.name not in names.STANZAS:
            raise BadElement("An element is no stanza.")
        return cls(raw, root, span.name, span.attributes, limits, [span])

    def changed(self, raw: bytes) -> Stanza:
        """Return *raw*, made of this stanza by one of its functions, as a stanza where this one stands."""
        return Stanza.parse(raw, self.root, self._limits)

    def __repr__(self) -> str:
        """Say what it is and how large, without its text (law 8)."""
        return f"<Stanza {self.kind} of {len(self.raw)} bytes>"

    # -- what it says ------------------------------------------------------------------------------------------------

    @property
    def kind(self) -> Kind:
        """What it is: ``message``, ``presence`` or ``iq``."""
        return cast("Kind", names.split_name(self.name)[1])

    @property
    def to(self) -> str | None:
        """The address it goes to, as written."""
        return self.attributes.get("to")

    @property
    def from_(self) -> str | None:
        """The address it comes from, as written."""
        return self.attributes.get("from")

    @property
    def id(self) -> str | None:
        """Its id, as its sender chose it."""
        return self.attributes.get("id")

    @property
    def type(self) -> str | None:
        """Its type; what a missing one means depends on the kind."""
        return self.attributes.get("type")

    @property
    def lang(self) -> str | None:
        """The language of its texts: its own ``xml:lang`` or that of its stream; None if neither has one."""
        own = self.attributes.get(names.LANG)
        if own is not None or b"xml:lang" not in self.root:
            return own
        # An inner element of the context is the cheapest way to let expat read the value.
        return read(context_of(self.root).onto(b"<x/>")).attributes.get(names.LANG)

    @property
    def span(self) -> Span:
        """The stanza's inside with the places of its parts. Raises BadElement if it cannot be read."""
        if not self._span:
            self._span.append(read(self.raw, self.root, self._limits))
        return self._span[0]

    @property
    def tree(self) -> Node:
        """The stanza as a tree. Raises BadElement if it cannot be read."""
        return self.span.node

    @property
    def children(self) -> tuple[Span, ...]:
        """The child elements in their order. Raises BadElement if the stanza cannot be read."""
        return self.span.children

    def child(self, name: str) -> Span | None:
        """Return the first child element called *name*, or None. Raises BadElement as ``span``."""
        return self.span.child(name)

    def all(self, name: str) -> list[Span]:
        """Return all child elements called *name*. Raises BadElement as ``span``."""
        return self.span.all(name)

    # -- changed copies ----------------------------------------------------------------------------------------------

    def replaced(self, parts: Mapping[Span, bytes]) -> bytes:
        """Return the stanza with other bytes in the place of these parts, at whatever depth, which must not overlap.

        The new bytes are read where the old ones stood, and so may use the namespaces declared there.
        """
        kept: list[bytes] = []
        at = 0
        for part in sorted(parts, key=lambda one: one.start):
            if part.whole is not self.span.whole or part.start < at:
                raise ValueError("A part is not one of this stanza, or inside another one.")
            kept += (self.raw[at : part.start], parts[part])
            at = part.end
        return b"".join(kept) + self.raw[at:]

    def without(self, parts: Iterable[Span]) -> bytes:
        """Return the stanza without these parts, at whatever depth."""
        return self.replaced(dict.fromkeys(parts, b""))

    def with_only(self, children: Iterable[Span]) -> bytes:
        """Return the stanza with these of its children and nothing else: no other child, text or comment."""
        return self.with_content(b"".join(child.raw for child in children))

    def with_content(self, content: bytes) -> bytes:
        """Return the stanza with *content* in the place of everything between its start and its end tag."""
        start, end = self.span.content
        if start < len(self.raw):
            return self.raw[:start] + content + self.raw[end:]
        return self._opened(content) if content else self.raw

    def appended(self, *content: bytes) -> bytes:
        """Return the stanza with *content* (elements) behind its last child."""
        new = b"".join(content)
        start, end = self.span.content
        if start < len(self.raw):
            return self.raw[:end] + new + self.raw[end:]
        return self._opened(new) if new else self.raw

    def _opened(self, content: bytes) -> bytes:
        """Write an empty-element tag as a start tag, *content* and an end tag."""
        return self.raw.removesuffix(b"/>") + b">" + content + b"</" + tag_name(self.raw) + b">"

    def with_attributes(self, changes: Mapping[str, str | None]) -> bytes:
        """Return the stanza with these attributes changed: a text sets one, None removes it.

        Names are as the framer reports them. A value that is there keeps its place and its quotes; a new one stands
        behind the others. Raises ValueError for a value XML has no place for, and for a new attribute that has a
        namespace other than that of ``xml:lang``.
        """
        tag = self.span.start_tag
        written = self._written_attributes(tag)
        edits = []
        for name, value in changes.items():
            place = written.get(name)
            if place is None:
                if value is not None:
                    edits.append((*_behind_last(tag), _new_attribute(tag, name, value)))
            elif value is None:
                edits.append((place.start, place.end, b""))
            elif value != self.attributes[name]:
                quote = tag[place.value_end : place.value_end + 1].decode()
                edits.append((place.value_start, place.value_end, escape_value(value, quote).encode()))
        return _edited(tag, edits) + self.raw[len(tag) :]

    def _written_attributes(self, tag: bytes) -> dict[str, Attribute]:
        """Return where each attribute stands: expat gives them in the order they are written in."""
        written = [one for one in attributes_of(tag) if not is_declaration(one.name)]
        return dict(zip(self.span.attributes, written, strict=True))

    # -- out of its stream -------------------------------------------------------------------------------------------

    def standalone(self) -> bytes:
        """Return the stanza with the declarations it uses and its language on its root: it means the same anywhere."""
        return context_of(self.root).onto(self.raw)

    def standalone_part(self, part: Span) -> bytes:
        """Return a part of the stanza with the declarations it uses and its language on its root."""
        return self.context_around(part).onto(part.raw)

    def inner(self, part: Span) -> Stanza:
        """Return the stanza that *part* is, in the context of where it stands. Raises BadElement if it is none."""
        if part.name not in names.STANZAS:
            raise BadElement("An element is no stanza.")
        return Stanza(part.raw, self.context_around(part).tag, part.name, part.attributes, self._limits)

    def context_around(self, part: Span) -> Context:
        """Return what *part*, at whatever depth, inherits where it stands."""
        context = context_of(self.root)
        around = self.span
        while around is not part:
            context = context.inside(around.start_tag)
            inner = [child for child in around.children if child.start <= part.start < child.end]
            if not inner:
                raise ValueError("The part is not one of this stanza.")
            around = inner[0]
        return context


def qualified(namespace: str, local: str) -> str:
    """The name by which ``Stanza.child`` and ``Stanza.all`` find elements."""
    return namespace + names.SEPARATOR + local


def build(kind: Kind, attributes: Mapping[str, str | None], content: bytes = b"") -> bytes:
    """Return a stanza that declares ``jabber:client``; attributes that are None are left out.

    *content* are elements that declare all else they use. Raises ValueError for an attribute that cannot be written.
    """
    written = {("xml:lang" if name == names.LANG else name): value for name, value in attributes.items()}
    return element(kind, {"xmlns": names.CLIENT, **written}, content)


def injected(raw: bytes) -> Stanza:
    """Return the stanza *raw* that the proxy or a method made, to be sent on whatever stream.

    Raises LocalError, since it is our own fault, if it is not one stanza in ``jabber:client`` that declares itself
    everything it uses.
    """
    try:
        return Stanza.parse(raw)
    except BadElement as error:
        raise LocalError(f"A stanza made here cannot be sent: {error}") from None


def _behind_last(tag: bytes) -> tuple[int, int]:
    written = attributes_of(tag)
    at = written[-1].end if written else 1 + len(tag_name(tag))
    return at, at


def _new_attribute(tag: bytes, name: str, value: str) -> bytes:
    if name != names.LANG and not is_unprefixed(name):
        raise ValueError("An attribute in another namespace cannot be added.")
    written = attributes_of(tag)
    quote = tag[written[-1].value_end : written[-1].value_end + 1].decode() if written else "'"
    key = "xml:lang" if name == names.LANG else name
    return f" {key}={quote}{escape_value(value, quote)}{quote}".encode()


def _edited(tag: bytes, edits: list[tuple[int, int, bytes]]) -> bytes:
    """Replace each (start, end) of *tag*; several at one place come in the order they were asked for."""
    out: list[bytes] = []
    at = 0
    for start, end, new in sorted(edits, key=lambda edit: edit[0]):
        out += (tag[at:start], new)
        at = end
    return b"".join(out) + tag[at:]
