"""Cut one direction of an XMPP stream into byte slices, without building trees.

Keeps law 2 (verbatim): every piece is the bytes that came, and the pieces in order are the stream. Keeps law 6: a
client over its limits raises ``StreamError``; a server's excess is marked, or passed on in parts, since otherwise
any contact could lock a user out with one offline message.

expat does the reading; its byte offsets say where to cut. What has to be known about it (each measured, each tested):

* from 2.6 on it may keep a finished stanza back until more bytes come (reparse deferral): switched off;
* without that, one long token in small pieces costs quadratic time: held back here (``tokens``);
* it keeps each new name until the parser goes: the parser is renewed between stanzas;
* an empty element's end event lies behind it, a written end tag's event at its start: told apart in ``_is_empty``;
* a second stream header is a child, or with an XML declaration an error: both start a new parser at that very byte;
* it accepts other encodings unless UTF-8 is forced, and then ignores the declared one: forced, and checked.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final
from xml.parsers import expat

from e2eproxy.errors import StreamError
from e2eproxy.xmpp import names
from e2eproxy.xmpp.pieces import Element, End, Excess, Header, Limits, Part, Piece, Whitespace
from e2eproxy.xmpp.tokens import UnfinishedToken

if TYPE_CHECKING:
    from collections.abc import Callable

#: A parser that has read this much is replaced at the next gap between stanzas: its names cannot be more than that.
RENEW_AFTER_BYTES: Final = 64 * 1024
#: Python's table of names is emptied whenever it has grown over this.
INTERNED_NAMES: Final = 2_000
#: From this length on an unfinished token is held back from expat.
LONG_TOKEN: Final = 1_024
#: New names one stanza may bring before even a server's stream ends: they cost about 100 bytes each until it is over.
NAMES_IN_ONE_STANZA: Final = 1_000_000

# What a named tuple's constructor does, without its call: it is once per stanza.
_new_tuple: Final = tuple.__new__

_SPACE: Final = b" \t\r\n"
_STREAM: Final = names.STREAM
# A byte order mark, or a zero byte in the first two, makes expat read UTF-16 even where UTF-8 is forced.
_UTF16: Final = re.compile(rb"[\xfe\xff\0]|.\0", re.DOTALL)
# Only ever applied where expat has just accepted a start tag.
_START_TAG: Final = re.compile(rb"<[^\s>'\"]++(?:[^>'\"]++|'[^']*+'|\"[^\"]*+\")*+>")
_MISPLACED_DECLARATION: Final = 17  # XML_ERROR_MISPLACED_XML_PI, which pyexpat names only by its text


class _Restart(Exception):  # noqa: N818 - not an error: it leaves expat where the next stream begins
    """The stream starts anew at offset ``at`` of the bytes being read."""

    def __init__(self, at: int) -> None:
        super().__init__()
        self.at = at


class Framer:
    """One direction of a stream: bytes in, pieces out.

    ``restart_after`` names the elements behind which a new stream begins (a server's ``<success/>``); a second
    header begins one anywhere. ``watch_for``: names (namespace and local name) that mark an element which holds one, at any
    depth. After the end of the stream nothing more comes out.
    """

    __slots__ = (
        "__weakref__",
        "_attributes",
        "_cursor",
        "_deepest",
        "_depth",
        "_excess",
        "_fed",
        "_inner",
        "_intern",
        "_limits",
        "_longest",
        "_most_attributes",
        "_name",
        "_names",
        "_origin",
        "_parser",
        "_pieces",
        "_rest",
        "_restart_after",
        "_root",
        "_since_renewal",
        "_source",
        "_streaming",
        "_token",
        "_watch_for",
        "_watched",
        "ended",
    )

    _attributes: list[str]
    _depth: int
    _excess: Excess | None
    _fed: int
    _inner: bool
    _name: str
    _origin: int
    _pieces: list[Piece]
    _rest: bytearray
    _root: bytes
    _source: bytes | bytearray
    _streaming: bool
    _token: UnfinishedToken | None
    _watched: bool

    def __init__(
        self,
        limits: Limits,
        *,
        restart_after: frozenset[str] = frozenset(),
        watch_for: frozenset[str] = frozenset(),
    ) -> None:
        self.limits = limits
        self.ended = False
        self._restart_after = restart_after
        self._watch_for = watch_for
        self._pieces = []
        self._begin()

    @property
    def limits(self) -> Limits:
        """The limits in force; may be replaced between two calls of ``receive``, but for ``strict``."""
        return self._limits

    @limits.setter
    def limits(self, limits: Limits) -> None:
        self._limits = limits
        self._longest = limits.element_bytes
        # The root is the first level for expat, so a stanza's n-th level is the n+1st.
        self._deepest = limits.depth + 1
        self._most_attributes = 2 * limits.attributes

    @property
    def completed(self) -> list[Piece]:
        """What the last call of ``receive`` had completed: all it returned or, if it raised, what came before."""
        return self._pieces

    @property
    def between_elements(self) -> bool:
        """Whether a header has come and nothing of an unfinished element is held."""
        return bool(self._root) and not self._rest and not self._streaming

    # -- bytes in ----------------------------------------------------------------------------------------------------

    def receive(self, data: bytes) -> list[Piece]:
        """Take the next bytes, return the pieces that are complete now.

        Raises StreamError: not well-formed or restricted XML, a wrong root or encoding, and for a strict framer any
        excess. The framer is of no use afterwards.
        """
        pieces: list[Piece] = []
        self._pieces = pieces
        self._cursor = 0
        if self._rest or not self._root or self.ended:
            self._receive_more(data)
            return pieces
        # Between two stanzas, the common case: as little as possible is done here.
        self._source = data
        self._since_renewal += len(data)
        restart_at = None
        try:
            self._parser.Parse(data, False)
        except _Restart as restart:
            restart_at = restart.at
        except expat.ExpatError as error:
            restart_at = self._parse_failed(error)
        if restart_at is None and self._cursor == len(data) and self._since_renewal <= RENEW_AFTER_BYTES:
            self._origin += self._cursor
        else:
            self._fed = len(data)
            self._finish(data, restart_at)
        return pieces

    def _receive_more(self, data: bytes) -> None:
        """Take bytes that follow on others held, or that begin a stream."""
        if self.ended:
            return
        source: bytes | bytearray = data
        if self._rest:
            source = self._rest
            source += data
            if self._token is not None and not self._worth_feeding(self._token, data):
                return
        self._finish(source, self._parse(source))

    def _finish(self, source: bytes | bytearray, restart_at: int | None) -> None:
        """Go through the streams that begin in *source*, keep what is left over of the last."""
        while restart_at is not None:
            source = bytes(source[restart_at:])
            self._begin()
            restart_at = self._parse(source)
        if not self.ended:
            self._keep(source)
        self._source = b""

    def _worth_feeding(self, token: UnfinishedToken, data: bytes) -> bool:
        """Whether expat gets the held bytes now: the token ends in them, they have doubled, or they are too many."""
        ends = token.feed(data)
        held = len(self._rest)
        return ends or held >= 2 * self._fed or held > self._longest

    def _parse(self, source: bytes | bytearray) -> int | None:
        """Give expat what it has not had of *source*; return the offset where a new stream begins, or None."""
        new: bytes | bytearray | memoryview = source
        if self._fed:
            new = memoryview(source)[self._fed :]
        elif not self._root:
            # expat allows no white space before an XML declaration.
            new = source.lstrip(_SPACE)
            self._cursor = len(source) - len(new)
            self._origin = -self._cursor
            if self._cursor:
                self._pieces.append(Whitespace(bytes(source[: self._cursor])))
        if not self._root and _UTF16.match(source, self._cursor):
            raise StreamError("unsupported-encoding", _NOT_UTF8)
        self._source = source
        self._since_renewal += len(new)
        try:
            self._parser.Parse(new, False)
        except _Restart as restart:
            return restart.at
        except expat.ExpatError as error:
            return self._parse_failed(error)
        self._fed = len(source)
        return None

    def _parse_failed(self, error: expat.ExpatError) -> int | None:
        if self.ended:
            return None
        if error.code == _MISPLACED_DECLARATION and self._depth == 1:
            at = self._parser.ErrorByteIndex - self._origin
            self._gap(at)
            return at
        reason = expat.ErrorString(error.code)
        raise StreamError("not-well-formed", f"The XML is not well-formed: {reason}.") from None

    # -- expat's events, and the pieces made of them -------------------------------------------------------------------

    def _start_element(self, name: str, attributes: list[str]) -> None:
        depth = self._depth = self._depth + 1
        if depth > 2:
            self._inner = True
            if name in self._watch_for:
                self._watched = True
            if depth > self._deepest or (attributes and len(attributes) > self._most_attributes):
                self._exceed("depth" if depth > self._deepest else "attributes")
            return
        start = self._parser.CurrentByteIndex - self._origin
        if depth == 1:
            self._header(name, attributes, start)
            return
        if start != self._cursor:
            self._gap(start)
        if name == _STREAM:
            raise _Restart(start)
        self._name = name
        self._attributes = attributes
        self._inner = self._watched = False
        if len(attributes) > self._most_attributes:
            self._exceed("attributes")

    def _header(self, name: str, attributes: list[str], start: int) -> None:
        if name != _STREAM:
            raise StreamError(
                "invalid-namespace", "A stream begins with <stream:stream> in its own namespace."
            )
        if self._limits.strict and len(attributes) > self._most_attributes:
            self._exceed("attributes")
        tag = _START_TAG.match(self._source, start)
        assert tag is not None  # noqa: S101 - expat has just accepted this tag
        self._root = bytes(tag[0])
        self._pieces.append(Header(bytes(self._source[self._cursor : tag.end()]), attributes, self._root))
        self._cursor = tag.end()

    def _end_element(self, name: str) -> None:
        depth = self._depth = self._depth - 1
        if depth > 1:
            return
        source = self._source
        at = self._parser.CurrentByteIndex - self._origin
        if depth == 0:
            self._end_stream(at)
            return
        start = self._cursor
        if not self._inner and source[at - 2 : at] == b"/>" and self._is_empty(start, at):
            end = at
        else:
            # A written end tag is there whole and holds a name and white space, so the next ">" is its own.
            end = source.find(b">", at) + 1
        self._cursor = end
        raw = source[start:end]
        if self._excess or end - start > self._longest:
            # Also the last part of one that has passed in parts: it did so because it was too long.
            self._end_large(bytes(raw), name)
        else:
            if raw.__class__ is not bytes:
                raw = bytes(raw)
            self._pieces.append(_new_tuple(Element, (raw, name, self._attributes, None, self._watched)))
        if name in self._restart_after:
            raise _Restart(end)

    def _end_large(self, raw: bytes, name: str) -> None:
        """Finish an element that is over a limit."""
        if self._streaming:
            self._streaming = False
            self._pieces.append(Part(raw, name, self._attributes, first=False, last=True))
        else:
            if len(raw) > self._longest:
                self._exceed("bytes")
            self._pieces.append(Element(raw, name, self._attributes, self._excess, self._watched))
        self._excess = None

    def _is_empty(self, start: int, at: int) -> bool:
        """Whether the element that starts at *start*, without children, is an empty one: its start tag ends at *at*."""
        tag = None if self._streaming else _START_TAG.match(self._source, start)
        return tag is not None and tag.end() == at

    def _end_stream(self, at: int) -> None:
        self._gap(at)
        self.ended = True
        end = at if self._root.endswith(b"/>") else self._source.index(b">", at) + 1
        self._pieces.append(End(bytes(self._source[at:end])))
        self._cursor = end

    def _exceed(self, what: Excess) -> None:
        if self._limits.strict:
            raise StreamError("policy-violation", _EXCESS_TEXT[what].format(limits=self._limits))
        self._excess = self._excess or what

    def _declaration(self, _version: str, encoding: str | None, _standalone: int) -> None:
        if encoding is not None and encoding.upper() not in {"UTF-8", "UTF8"}:
            raise StreamError("unsupported-encoding", _NOT_UTF8)

    def _gap(self, end: int) -> None:
        """Go on to *end*: white space there is a piece; text ends a client's stream and is left out of a server's."""
        gap = bytes(self._source[self._cursor : end])
        self._cursor = end
        if gap.strip(_SPACE):
            if self._limits.strict:
                raise StreamError("bad-format", "There is text between two stanzas.")
        elif gap:
            self._pieces.append(Whitespace(gap))

    # -- what is left over ---------------------------------------------------------------------------------------------

    def _keep(self, source: bytes | bytearray) -> None:
        """Keep what is no whole piece yet, within bounds; renew the parser if it is time."""
        consumed = max(self._cursor, self._parser.CurrentByteIndex - self._origin)
        if self._depth == 1:
            self._gap(consumed)
        elif self._depth > 1:
            self._pass_on_part(source, consumed)
        cursor = self._cursor
        self._fed = held = len(source) - cursor
        if held > self._longest:
            raise StreamError("policy-violation", _EXCESS_TEXT["bytes"].format(limits=self._limits))
        self._origin += cursor
        rest = self._rest
        if source is rest:
            del rest[:cursor]
        else:
            self._rest = bytearray(source[cursor:])
        pending = len(source) - consumed
        self._token = UnfinishedToken(bytes(self._rest[-pending:])) if pending > LONG_TOKEN else None
        if len(self._intern) > INTERNED_NAMES:
            self._forget_names()
        if self._since_renewal > RENEW_AFTER_BYTES and self._depth == 1 and not held:
            self._renew()

    def _pass_on_part(self, source: bytes | bytearray, consumed: int) -> None:
        """Pass on what there is of an element that has grown too large to be held (a server's; a client's ends)."""
        first = not self._streaming
        if first and len(source) - self._cursor > self._longest:
            self._exceed("bytes")
            self._streaming = True
        if self._streaming and consumed > self._cursor:
            raw = bytes(source[self._cursor : consumed])
            self._cursor = consumed
            self._pieces.append(Part(raw, self._name, self._attributes, first=first, last=False))

    def _forget_names(self) -> None:
        self._names += len(self._intern)
        self._intern.clear()
        if self._depth > 1 and self._names > NAMES_IN_ONE_STANZA:
            raise StreamError("policy-violation", "A stanza has too many different names.")

    # -- the parser's life ---------------------------------------------------------------------------------------------

    def _begin(self) -> None:
        """Start on a new stream: nothing of the old one counts any more."""
        self._root = b""
        self._source = b""
        self._rest = bytearray()
        self._depth = 0
        self._fed = 0
        self._origin = 0
        self._cursor = 0
        self._name = ""
        self._attributes = []
        self._excess = None
        self._streaming = False
        self._token = None
        self._new_parser()
        self._listen()

    def _renew(self) -> None:
        """Replace the parser between two stanzas by a fresh one inside the same stream."""
        self._ignore()
        self._new_parser()
        self._parser.Parse(self._root, False)
        self._origin = len(self._root)
        self._listen()

    def _new_parser(self) -> None:
        self._intern: dict[str, str] = {}
        parser = expat.ParserCreate("utf-8", names.SEPARATOR, self._intern)
        parser.ordered_attributes = True
        disable_deferral: Callable[[bool], None] | None = getattr(parser, "SetReparseDeferralEnabled", None)
        if disable_deferral is not None:
            disable_deferral(False)
        self._parser = parser
        self._since_renewal = 0
        self._names = 0

    def _listen(self) -> None:
        parser = self._parser
        parser.StartElementHandler = self._start_element
        parser.EndElementHandler = self._end_element
        parser.XmlDeclHandler = self._declaration
        parser.StartDoctypeDeclHandler = _refuse_doctype
        if self._limits.strict:
            parser.CommentHandler = _refuse_comment
            parser.ProcessingInstructionHandler = _refuse_instruction

    def _ignore(self) -> None:
        """Take our handlers off, so that the old parser is freed at once and not by the garbage collector."""
        parser = self._parser
        parser.StartElementHandler = None
        parser.EndElementHandler = None
        parser.XmlDeclHandler = None


_NOT_UTF8: Final = "A stream is encoded in UTF-8."
_EXCESS_TEXT: Final[dict[Excess, str]] = {
    "bytes": "An element is longer than {limits.element_bytes} bytes.",
    "depth": "An element is nested deeper than {limits.depth} levels.",
    "attributes": "An element has more than {limits.attributes} attributes.",
}


def _refuse_doctype(*_about: object) -> None:
    raise StreamError("restricted-xml", "A stream holds no document type or entity declaration.")


def _refuse_comment(_text: str) -> None:
    raise StreamError("restricted-xml", "A stream holds no comments.")


def _refuse_instruction(_target: str, _data: str) -> None:
    raise StreamError("restricted-xml", "A stream holds no processing instructions.")
