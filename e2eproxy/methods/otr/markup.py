"""HTML in texts: what Pidgin and Adium write inside OTR becomes plain text, and what they are sent is escaped for them.

A body in XMPP is plain text, so HTML in it would be shown as it is written. Nothing in OTR says which of both a text is; it is
told from the texts themselves. Law 6: a text is the peer's, so each step takes time in proportion to its length, the result
is at most about twice as long, and nothing is fetched or run. Law 4: what is no known mark stays text, and only marks, style
sheets and scripts are left out.
"""

from __future__ import annotations

import html
import re
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterator

_LONGEST_ATTRIBUTES: Final = 4096
_BREAKS: Final = frozenset(("br", "hr"))
_BLOCKS: Final = frozenset(
    ("p", "div", "li", "ul", "ol", "tr", "table", "blockquote", "pre", "h1", "h2", "h3", "h4", "h5", "h6")
)
_INLINE: Final = frozenset(
    (
        "a",
        "b",
        "i",
        "u",
        "s",
        "em",
        "strong",
        "strike",
        "del",
        "ins",
        "sub",
        "sup",
        "code",
        "tt",
        "big",
        "small",
    )
)
_FRAME: Final = frozenset(("html", "body", "font", "span", "center", "img", "td", "th", "tbody", "thead"))
_HIDDEN: Final = frozenset(("head", "style", "script", "title"))
_KNOWN: Final = _BREAKS | _BLOCKS | _INLINE | _FRAME | _HIDDEN

# A mark ends before the next one begins, so that each character is looked at once, whatever is left open.
_MARK: Final = re.compile(r"<(/?)([A-Za-z][A-Za-z0-9]{0,15})((?:\s[^<>]*)?)/?>")
_ENTITY: Final = re.compile(r"&(?:#[0-9]{1,7}|#[xX][0-9A-Fa-f]{1,6}|[A-Za-z][A-Za-z0-9]{1,30});")
_VALUE: Final = r"""\s*=\s*(?:"([^"]*)"|'([^']*)'|([^\s"'>]+))"""
_HREF: Final = re.compile(rf"\bhref{_VALUE}", re.IGNORECASE)
_ALT: Final = re.compile(rf"\balt{_VALUE}", re.IGNORECASE)
# XML 1.0 section 2.2: what no stanza can hold.
_FORBIDDEN: Final = re.compile("[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def allowed(text: str) -> str:
    """*Text* with a sign in the place of each character that XML cannot hold."""
    return _FORBIDDEN.sub("\ufffd", text)


def verdict(text: str) -> bool | None:
    """Whether whoever wrote *text* writes HTML; None if it does not tell.

    Who writes HTML escapes ``<``, ``>`` and ``&``: one of these alone means that he does not.
    """
    rest = _MARK.sub(lambda mark: "" if _is_known(mark) else mark[0], text)
    rest = _ENTITY.sub("", rest)
    if "<" in rest or ">" in rest or "&" in rest:
        return False
    return True if rest != text else None


def escaped(text: str) -> str:
    """*Text* as HTML."""
    return html.escape(text, quote=False).replace("\n", "<br>")


def plain(text: str) -> str:
    """The plain text that the HTML *text* shows; of a link that is named otherwise also where it goes."""
    page = _Page()
    for piece, mark in _pieces(text):
        page.write(piece)
        if mark is not None:
            page.mark(mark)
    return page.text()


def _pieces(text: str) -> Iterator[tuple[str, re.Match[str] | None]]:
    """What stands before each known mark, and the mark; then the rest."""
    at = 0
    for mark in _MARK.finditer(text):
        if _is_known(mark):
            yield text[at : mark.start()], mark
            at = mark.end()
    yield text[at:], None


def _is_known(mark: re.Match[str]) -> bool:
    return mark[2].lower() in _KNOWN


class _Page:
    """What is shown so far; one link at most is open."""

    def __init__(self) -> None:
        self._shown: list[str] = []
        self._hidden = ""
        self._kept: list[str] = []
        self._link = ""
        self._label = 0

    def write(self, piece: str) -> None:
        """Show *piece*, its entities as what they stand for."""
        shown = self._kept if self._hidden else self._shown
        if piece:
            shown.append(_ENTITY.sub(lambda entity: html.unescape(entity[0]), piece))

    def mark(self, mark: re.Match[str]) -> None:
        """Do what *mark* says."""
        name, closes = mark[2].lower(), bool(mark[1])
        if self._hidden:
            if closes and name == self._hidden:
                self._hidden, self._kept = "", []
        elif name in _HIDDEN:
            self._hidden = "" if closes else name
        elif name == "br" or (
            name in _BREAKS | _BLOCKS and self._shown and not self._shown[-1].endswith("\n")
        ):
            self._shown.append("\n")
        elif name == "img":
            self.write(_value(_ALT, mark))
        elif name == "a":
            self._end_link()
            self._link, self._label = ("" if closes else _value(_HREF, mark)), len(self._shown)

    def _end_link(self) -> None:
        where = " ".join(html.unescape(self._link).split())
        label = "".join(self._shown[self._label :]).strip() if where else ""
        if where and label.rstrip("/") not in {where.rstrip("/"), where.partition(":")[2].strip("/")}:
            self._shown.append(f" ({where})")
        self._link = ""

    def text(self) -> str:
        """All of it; what was hidden and never ended is shown after all."""
        self._end_link()
        return "".join((*self._shown, *self._kept)).strip("\n")


def _value(attribute: re.Pattern[str], mark: re.Match[str]) -> str:
    found = attribute.search(mark[3][:_LONGEST_ATTRIBUTES])
    return next((one for one in found.groups() if one is not None), "") if found else ""
