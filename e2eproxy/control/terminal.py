"""A page on a terminal: tables for people, QR codes to hold a phone's camera to; plain text where nobody looks."""

from __future__ import annotations

import io
import sys
from typing import TYPE_CHECKING, Final

from e2eproxy.control.pages import Table, plain

if TYPE_CHECKING:
    from collections.abc import Callable

    from rich.console import RenderableType

    from e2eproxy.control.pages import Page

_COLOURS: Final = {
    "verified": "green",
    "accepted": "green",
    "distrusted": "red",
    "undecided": "yellow",
    "require": "green",
    "never": "red",
}


def show(page: Page) -> None:
    """Write *page* to standard output."""
    if not sys.stdout.isatty():
        sys.stdout.write(plain(page) + "\n")
        return
    from rich.console import Console  # noqa: PLC0415 - takes a tenth of a second

    console = Console(highlight=False)
    for part in _rich(page):
        console.print(part)
    for code in page.codes:
        console.print(f"{code} as a QR code:", qr(code), sep="\n", markup=False)


def _rich(page: Page) -> list[RenderableType]:
    from rich import box  # noqa: PLC0415 - as above
    from rich.table import Table as RichTable  # noqa: PLC0415 - as above
    from rich.text import Text  # noqa: PLC0415 - as above

    shown: list[RenderableType] = []
    for part in page.parts:
        if not isinstance(part, Table):
            shown.append(Text(part))
            continue
        table = RichTable(box=box.SIMPLE_HEAD)
        for column in part.columns:
            table.add_column(column, overflow="fold")
        for row in part.rows:
            # Never as markup: a peer chose some of it.
            table.add_row(*(Text(cell, _COLOURS.get(cell.split(" ")[0], "")) for cell in row))
        shown.append(table)
    return shown


def qr(text: str) -> str:
    """*Text* as a QR code in lines of half blocks."""
    import segno  # noqa: PLC0415 - hardly ever needed

    out = io.StringIO()
    segno.make(text, micro=False).terminal(out, compact=True)
    return out.getvalue()


def watch(look: Callable[[], Page], seconds: float, wait: Callable[[float], None]) -> None:
    """Show what *look* gives, anew every so many *seconds*, until Ctrl-C. *wait* sleeps."""
    from rich.console import Group  # noqa: PLC0415 - as above
    from rich.live import Live  # noqa: PLC0415 - as above

    with Live(Group(*_rich(look())), auto_refresh=False) as live:
        while True:
            wait(seconds)
            live.update(Group(*_rich(look())), refresh=True)
