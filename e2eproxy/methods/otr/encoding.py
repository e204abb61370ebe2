"""How OTR writes numbers and strings of bytes, and a reader that stays within what it was given.

Law 6: every length comes from the peer. A reader never looks behind the end of its data, takes no number that is longer
than any that OTR has a use for, and only numbers in their shortest form, so that each message has one encoding only.
"""

from __future__ import annotations

from typing import Final

from e2eproxy.methods.door import MethodError

MOST_NUMBER_BYTES: Final = 512
"""The longest number: a DSA prime of 4096 bits."""


def short(number: int) -> bytes:
    """A SHORT: 2 bytes."""
    return number.to_bytes(2, "big")


def integer(number: int) -> bytes:
    """An INT: 4 bytes."""
    return number.to_bytes(4, "big")


def data(value: bytes) -> bytes:
    """DATA: *value* behind its length."""
    return integer(len(value)) + value


def mpi(number: int) -> bytes:
    """An MPI: *number* (not negative) in its shortest form, behind its length."""
    return data(number.to_bytes((number.bit_length() + 7) // 8, "big"))


class Reader:
    """Takes a value after the other from bytes that a peer sent; every method raises MethodError where there is none."""

    def __init__(self, value: bytes) -> None:
        """Begin in front of *value*."""
        self._value = value
        self._at = 0

    def take(self, length: int) -> bytes:
        """The next *length* bytes."""
        end = self._at + length
        if end > len(self._value):
            raise MethodError("An OTR message arrived that is cut off.")
        taken = self._value[self._at : end]
        self._at = end
        return taken

    def byte(self) -> int:
        """A BYTE."""
        return self.take(1)[0]

    def short(self) -> int:
        """A SHORT."""
        return int.from_bytes(self.take(2), "big")

    def integer(self) -> int:
        """An INT."""
        return int.from_bytes(self.take(4), "big")

    def data(self) -> bytes:
        """DATA."""
        return self.take(self.integer())

    def mpi(self) -> int:
        """An MPI."""
        length = self.integer()
        if length > MOST_NUMBER_BYTES:
            raise MethodError("An OTR message arrived with a number that is too long.")
        digits = self.take(length)
        if digits[:1] == b"\0":
            raise MethodError("An OTR message arrived with a number that is not in its shortest form.")
        return int.from_bytes(digits, "big")

    def rest(self) -> bytes:
        """All that was not taken yet."""
        return self.take(len(self._value) - self._at)

    def end(self) -> None:
        """Be sure that nothing follows."""
        if self._at != len(self._value):
            raise MethodError("An OTR message arrived with something behind its end.")
