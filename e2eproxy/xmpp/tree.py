"""A slice of a stream as a tree, for the few stanzas that something must look into.

Law 2: nothing that is only read is ever written again, so this tree has no way back to bytes.
"""

from __future__ import annotations

from typing import Final
from xml.parsers import expat

from attrs import field, frozen

from e2eproxy.errors import StreamError
from e2eproxy.xmpp import names

#: More levels than this are not looked at; the framer's limit for a stanza is lower.
_DEEPEST: Final = 200


@frozen
class Node:
    """An element: ``name`` as the framer reports names, attributes, child elements, and its own text joined."""

    name: str
    attributes: dict[str, str]
    children: list[Node] = field(factory=list)
    texts: list[str] = field(factory=list)

    @property
    def text(self) -> str:
        """The character data directly inside this element."""
        return "".join(self.texts)

    def child(self, name: str) -> Node | None:
        """Return the first child element called *name*, or None."""
        return next((child for child in self.children if child.name == name), None)


def parse(root: bytes, raw: bytes) -> Node:
    """Return the one element in *raw*, read in the context of the stream's start tag *root*.

    Raises StreamError where *raw* is not one well-formed element; a slice cut by the framer always is.
    """
    found: list[Node] = []
    ancestors: list[Node] = []

    def start(name: str, attributes: list[str]) -> None:
        if len(ancestors) >= _DEEPEST:
            raise StreamError("policy-violation", "An element is nested too deep to be looked into.")
        node = Node(name, dict(zip(attributes[::2], attributes[1::2], strict=True)))
        (ancestors[-1].children if ancestors else found).append(node)
        ancestors.append(node)

    def end(_name: str) -> None:
        ancestors.pop()

    def text(data: str) -> None:
        if ancestors:
            ancestors[-1].texts.append(data)

    parser = expat.ParserCreate("utf-8", names.SEPARATOR)
    parser.ordered_attributes = True
    try:
        parser.Parse(root, False)
        parser.StartElementHandler = start
        parser.EndElementHandler = end
        parser.CharacterDataHandler = text
        parser.Parse(raw, False)
    except expat.ExpatError as error:
        raise StreamError("not-well-formed", f"An element is not well-formed: {error}.") from None
    if len(found) != 1 or ancestors:
        raise StreamError("not-well-formed", f"There are {len(found)} elements where one is expected.")
    return found[0]
