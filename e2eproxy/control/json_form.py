"""An answer as JSON: its values by their names, and the page for people beside them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from attrs import asdict

from e2eproxy.control.pages import Page, Table, page

if TYPE_CHECKING:
    from e2eproxy.control.answers import Answer


def as_json(answer: Answer) -> dict[str, Any]:
    """Return what a face that is another program gets: ``result`` with the values, ``page`` for people."""
    shown = page(answer)
    parts = [
        {"columns": list(part.columns), "rows": [list(row) for row in part.rows]}
        if isinstance(part, Table)
        else part
        for part in shown.parts
    ]
    return {
        "answer": type(answer).__name__,
        "result": asdict(answer),
        "page": {"parts": parts, "codes": list(shown.codes)},
    }


def page_of(shown: Any) -> Page:  # noqa: ANN401 - what JSON can be
    """Return the page that ``as_json`` wrote. Raises ValueError for anything else."""
    try:
        parts = tuple(
            part
            if isinstance(part, str)
            else Table(tuple(map(str, part["columns"])), tuple(tuple(map(str, row)) for row in part["rows"]))
            for part in shown["parts"]
        )
        return Page(parts, tuple(map(str, shown["codes"])))
    except (KeyError, TypeError) as error:
        raise ValueError(f"not a page: {error}") from None
