"""What a slice inherits from the stream it stands in: namespace declarations and the language.

A slice that leaves its stream (sealed, stored, held over a reconnect, put into another stanza) gets these on its own
root first, so that it means the same wherever it goes (DESIGN, "The wire's traps": context).
"""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, Final
from xml.parsers import expat

from attrs import field, frozen

from e2eproxy.xmpp.markup import START_TAG, Attribute, attributes_of, is_declaration, tag_name

if TYPE_CHECKING:
    from collections.abc import Iterable

_LANG: Final = b"xml:lang"
_DEFAULT: Final = b""
_NO_NAMESPACE: Final = b"''"


@frozen
class Context:
    """Declarations by prefix (empty for the default namespace) and the language, each as written with its quotes."""

    declared: dict[bytes, bytes] = field(factory=dict)
    language: bytes | None = None

    def inside(self, tag: bytes) -> Context:
        """Return what is inherited inside an element with the start tag *tag* that stands in this context."""
        attributes = attributes_of(tag)
        declared = {
            **self.declared,
            **{_prefix(one): _quoted(tag, one) for one in attributes if is_declaration(one.name)},
        }
        languages = [_quoted(tag, one) for one in attributes if one.name == _LANG]
        return Context(declared, languages[0] if languages else self.language)

    @property
    def tag(self) -> bytes:
        """A start tag that puts what it holds into this context."""
        return b"<context" + self._written(self.declared) + self._language() + b">"

    def onto(self, raw: bytes) -> bytes:
        """Return the element *raw* with the declarations it uses and its language written on its root.

        Its own declarations and its own language stay. *raw* has to be well-formed in this context. A prefix counts as
        used if the name of an element or attribute has it; values are not looked into.
        """
        root = attributes_of(_start_tag(raw))
        declared = {_prefix(one) for one in root if is_declaration(one.name)}
        added = self._written(prefix for prefix in _inherited_prefixes(raw) if prefix not in declared)
        if not any(one.name == _LANG for one in root):
            added += self._language()
        at = 1 + len(tag_name(raw))
        return raw[:at] + added + raw[at:]

    def _written(self, prefixes: Iterable[bytes]) -> bytes:
        """Write the declarations of *prefixes*; a default namespace that there is not is written as ``xmlns=''``."""
        return b"".join(
            b" xmlns=" + self.declared.get(_DEFAULT, _NO_NAMESPACE)
            if prefix == _DEFAULT
            else b" xmlns:" + prefix + b"=" + self.declared[prefix]
            for prefix in prefixes
        )

    def _language(self) -> bytes:
        return b"" if self.language is None else b" " + _LANG + b"=" + self.language


@lru_cache(16)
def context_of(tag: bytes) -> Context:
    """Return the context inside a stream's start tag; every stanza of a stream has the same one."""
    return Context().inside(tag)


def _start_tag(raw: bytes) -> bytes:
    tag = START_TAG.match(raw)
    assert tag is not None  # noqa: S101 - the caller's element has been read
    return tag[0]


def _prefix(declaration: Attribute) -> bytes:
    return declaration.name[len(b"xmlns:") :]


def _quoted(tag: bytes, one: Attribute) -> bytes:
    return tag[one.value_start - 1 : one.value_end + 1]


def _inherited_prefixes(raw: bytes) -> list[bytes]:
    """Return the prefixes that names in *raw* have and that nothing in it declares; empty for the default namespace."""
    found: dict[bytes, None] = {}
    scopes: list[frozenset[str]] = [frozenset(("xml", "xmlns"))]

    def start(name: str, attributes: list[str]) -> None:
        own = attributes[::2]
        declared = {key[6:] for key in own if key == "xmlns" or key.startswith("xmlns:")}
        scope = scopes[-1] | declared if declared else scopes[-1]
        scopes.append(scope)
        prefixes = [name.rpartition(":")[0], *(key.partition(":")[0] for key in own if ":" in key)]
        found.update(dict.fromkeys(prefix.encode() for prefix in prefixes if prefix not in scope))

    def end(_name: str) -> None:
        scopes.pop()

    parser = expat.ParserCreate("utf-8", None, {})
    parser.ordered_attributes = True
    parser.StartElementHandler = start
    parser.EndElementHandler = end
    parser.Parse(raw, True)
    return list(found)
