"""Data forms (XEP-0004), as far as commands need them: what is asked, what came back, what is shown."""

from __future__ import annotations

import textwrap
from typing import TYPE_CHECKING, Final

from attrs import field, frozen

from e2eproxy.control.pages import plain
from e2eproxy.xmpp import names
from e2eproxy.xmpp.stanza import element, escape_text

if TYPE_CHECKING:
    from collections.abc import Iterable

    from e2eproxy.control.pages import Page
    from e2eproxy.xmpp.tree import Node

DATA: Final = "jabber:x:data"
FORM: Final = DATA + names.SEPARATOR + "x"
_FIELD: Final = DATA + names.SEPARATOR + "field"
_VALUE: Final = DATA + names.SEPARATOR + "value"
#: Fields that are read of a form.
MOST_FIELDS: Final = 50
#: Letters of a line that is shown. poezio has half a terminal of 80 columns for it, with an arrow at each end, and shows nothing at
#: all of a longer one.
WIDTH: Final = 38
INDENT: Final = "  "


@frozen(kw_only=True)
class Field:
    """A question: *kind* is XEP-0004's type of the field; *options* are (label, value)."""

    name: str
    label: str
    kind: str
    required: bool = False
    options: tuple[tuple[str, str], ...] = ()
    value: str = ""
    help: str = ""


@frozen(kw_only=True)
class Form:
    """What is asked: *instructions* in lines, and the fields."""

    title: str
    instructions: str
    fields: tuple[Field, ...] = field()


def asking(form: Form) -> bytes:
    """*Form* as it is sent."""
    lines = [_text("instructions", line) for line in form.instructions.splitlines() if line]
    fields = [_field(one) for one in form.fields]
    return _x("form", form.title, [*lines, *fields])


def showing(title: str, shown: Page) -> bytes:
    """*Shown* as a form that asks nothing."""
    lines = [_text("value", piece) for line in plain(shown).splitlines() for piece in wrapped(line)]
    head = {"var": "text", "type": "text-multi", "label": title}
    return _x("result", title, [element("field", head, b"".join(lines))])


def wrapped(line: str) -> list[str]:
    """*Line* in pieces that a narrow window has room for, the second and later ones indented; nothing of it is left out."""
    return textwrap.wrap(line, WIDTH, subsequent_indent=INDENT, break_on_hyphens=False) or [line]


def submitted(command: Node) -> dict[str, str] | None:
    """The first value of each field of the form in *command*, None if there is no form that was filled in."""
    form = command.child(FORM)
    if form is None or form.attributes.get("type") != "submit":
        return None
    found: dict[str, str] = {}
    for one in form.children[:MOST_FIELDS]:
        value = one.child(_VALUE)
        name = one.attributes.get("var")
        if one.name == _FIELD and name and value is not None:
            found.setdefault(name, value.text)
    return found


def _x(kind: str, title: str, content: Iterable[bytes]) -> bytes:
    return element("x", {"xmlns": DATA, "type": kind}, _text("title", title) + b"".join(content))


def _text(name: str, text: str) -> bytes:
    return element(name, {}, escape_text(text).encode())


def _field(one: Field) -> bytes:
    content = [_text("desc", one.help)] if one.help else []
    content += [element("required", {})] if one.required else []
    chosen = one.value or any(value == one.value for _, value in one.options)
    content += [_text("value", one.value)] if chosen else []
    content += [element("option", {"label": label}, _text("value", value)) for label, value in one.options]
    return element("field", {"var": one.name, "type": one.kind, "label": one.label}, b"".join(content))
