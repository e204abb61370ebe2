"""Why a stanza could not be opened, in the words that the draft has for its sender.

Law 6: all that goes wrong with what a peer sent is one of these. That a key does not unwrap, a tag does not hold or a padding
is wrong is the same failure with the same text: who tries variations must not learn which it was.
"""

from __future__ import annotations

from typing import ClassVar

from e2eproxy.methods.door import MethodError


class FailedError(MethodError):
    """A stanza did not open; ``defined`` and ``specific`` are the conditions of the stanza error that says so."""

    defined: ClassVar[str] = "bad-request"
    specific: ClassVar[str] = "decryption-failed"


class DecryptionError(FailedError):
    """What is encrypted does not open, or what was in it is not what the draft puts there."""

    def __init__(self, text: str = "It was altered on its way, or encrypted with another key.") -> None:
        """Keep *text*, a sentence for the user."""
        super().__init__(text)


class VerificationError(FailedError):
    """A signature does not hold, or what was signed is not what the stanza around it says."""

    specific: ClassVar[str] = "verification-failed"


class TimestampError(FailedError):
    """It was written at another time than it was sent at."""

    defined: ClassVar[str] = "not-acceptable"
    specific: ClassVar[str] = "bad-timestamp"


class InsufficientError(FailedError):
    """The key that is needed could not be got."""

    specific: ClassVar[str] = "insufficient-information"


class KeyNeededError(MethodError):
    """The key called ``sid`` is not known yet: nothing is wrong so far."""

    def __init__(self, sid: str) -> None:
        """Keep *sid*."""
        super().__init__("The key for it is not known yet.")
        self.sid = sid
