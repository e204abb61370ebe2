"""What has to be durable before a stanza leaves, waits, or is shown as a placeholder (law 5): the pipeline's own records.

They are committed in one transaction with what the method wants kept, so that no crash leaves one without the other.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from attrs import field, frozen

if TYPE_CHECKING:
    from e2eproxy.trust.values import HeldStanza, KeptOriginal, SentId


@frozen(kw_only=True)
class Leaves:
    """A stanza is about to leave. *stanza*: the client's own bytes; *held*: the reference it was held under, if it was."""

    sent: SentId
    stanza: bytes = field(repr=False)
    held: str | None = None


@frozen(kw_only=True)
class Waits:
    """A stanza has to wait."""

    held: HeldStanza


@frozen(kw_only=True)
class Shown:
    """A placeholder is about to be shown for the original."""

    original: KeptOriginal


Note = Leaves | Waits | Shown
