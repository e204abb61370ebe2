"""The socialist millionaires' protocol: whether both sides know the same secret, without telling it.

A table of stages and records. A state is a value; every step returns a new one. Law 6: what does not hold raises MethodError;
what comes out of order is ``OutOfOrderError``. In both cases the caller aborts and begins from ``NOTHING``.
"""

from __future__ import annotations

import enum
from typing import TYPE_CHECKING, Final

from attrs import evolve, field, frozen

from e2eproxy.methods.door import MethodError
from e2eproxy.methods.otr import records as r
from e2eproxy.methods.otr import zero_knowledge as zk
from e2eproxy.methods.otr.arithmetic import G, P, Q, checked, inverse, number_of, secret_below, secret_power
from e2eproxy.methods.otr.ciphers import sha256
from e2eproxy.methods.otr.encoding import Reader, integer, mpi

if TYPE_CHECKING:
    from collections.abc import Callable

    Random = Callable[[int], bytes]

_VERSION: Final = b"\x01"


class OutOfOrderError(MethodError):
    """A record that is not the one which is waited for."""


class Stage(enum.Enum):
    """What is waited for."""

    FIRST = "the peer's first record"
    ANSWER = "our user's answer"
    SECOND = "the peer's second record"
    THIRD = "the peer's third record"
    FOURTH = "the peer's fourth record"


@frozen(kw_only=True)
class Comparison:
    """A comparison under way. Exponents: *second* and *third* are a2, a3 of who asks and b2, b3 of who answers.

    ``peer_second``, ``peer_third``: the peer's powers of G by its own. ``g2``, ``g3``: the bases that both made. ``p``, ``q``: our
    numbers, or (Stage.FOURTH) the quotients Pa/Pb and Qa/Qb.
    """

    stage: Stage = Stage.FIRST
    secret: int = field(default=0, repr=False)
    second: int = field(default=0, repr=False)
    third: int = field(default=0, repr=False)
    peer_second: int = 0
    peer_third: int = 0
    g2: int = field(default=0, repr=False)
    g3: int = field(default=0, repr=False)
    p: int = 0
    q: int = 0


NOTHING: Final = Comparison()


@frozen(kw_only=True)
class Step:
    """What came of a record. ``question``: the peer asks (maybe with an empty text). ``holds``: the end, and its result."""

    comparison: Comparison
    reply: r.Record | None = field(default=None, repr=False)
    question: str | None = field(default=None, repr=False)
    holds: bool | None = None


def secret_of(asker: bytes, answerer: bytes, ssid: bytes, text: bytes) -> int:
    """What is compared: the users' *text* bound to both fingerprints (20 bytes each) and the session."""
    return number_of(sha256(_VERSION + asker + answerer + ssid + text))


def ask(secret: int, question: str, random: Random) -> Step:
    """Begin, with a *question* or without ("")."""
    second, third = secret_below(Q, random), secret_below(Q, random)
    numbers = _bases(1, second, third, random)
    begun = Comparison(stage=Stage.SECOND, secret=secret, second=second, third=third)
    body = _body(numbers)
    if not question:
        return Step(comparison=begun, reply=r.Record(r.SMP_1, body))
    text = question.encode().replace(b"\0", b"")
    if len(text) + 1 + len(body) > r.MOST_VALUE:
        text = text[: r.MOST_VALUE - 1 - len(body)].decode("utf-8", "ignore").encode()
    return Step(comparison=begun, reply=r.Record(r.SMP_1_QUESTION, text + b"\0" + body))


def answer(comparison: Comparison, secret: int, random: Random) -> Step:
    """Answer what the peer asked; raises OutOfOrderError if it asked nothing."""
    if comparison.stage is not Stage.ANSWER:
        raise OutOfOrderError("The contact has asked nothing that could be answered.")
    second, third = secret_below(Q, random), secret_below(Q, random)
    numbers = _bases(3, second, third, random)
    g2, g3 = secret_power(comparison.peer_second, second), secret_power(comparison.peer_third, third)
    p, q, proof = _composed(5, (g2, g3), secret, random)
    waiting = evolve(
        comparison,
        stage=Stage.THIRD,
        secret=secret,
        second=second,
        third=third,
        g2=g2,
        g3=g3,
        p=p,
        q=q,
    )
    return Step(comparison=waiting, reply=r.Record(r.SMP_2, _body((*numbers, p, q, *proof))))


def receive(comparison: Comparison, record: r.Record, random: Random) -> Step:
    """Take in a record of types 2 to 5 or 7; raises OutOfOrderError or MethodError."""
    action = TABLE.get((comparison.stage, record.type))
    if action is None:
        raise OutOfOrderError("The contact's client compares secrets in another order than ours.")
    return action(comparison, record.value, random)


def _first(comparison: Comparison, value: bytes, random: Random) -> Step:  # noqa: ARG001 - a row of the table
    return _asked(value, "")


def _first_with_question(comparison: Comparison, value: bytes, random: Random) -> Step:  # noqa: ARG001 - a row
    text, zero, body = value.partition(b"\0")
    if not zero:
        raise MethodError("The contact's client asked a question without an end.")
    return _asked(body, text.decode("utf-8", "replace"))


def _asked(body: bytes, question: str) -> Step:
    second, third = _checked_bases(1, _numbers(body, 6))
    waiting = Comparison(stage=Stage.ANSWER, peer_second=second, peer_third=third)
    return Step(comparison=waiting, question=question)


def _second(comparison: Comparison, value: bytes, random: Random) -> Step:
    numbers = _numbers(value, 11)
    peer_second, peer_third = _checked_bases(3, numbers[:6])
    g2, g3 = secret_power(peer_second, comparison.second), secret_power(peer_third, comparison.third)
    peer_p, peer_q = numbers[6:8]
    zk.check_composed(5, (g2, g3), (peer_p, peer_q), zk.Composed(*numbers[8:]))
    p, q, proof = _composed(6, (g2, g3), comparison.secret, random)
    p_quotient, q_quotient = _quotients((p, q), (peer_p, peer_q))
    outcome, equal = _outcome(7, q_quotient, comparison.third, random)
    waiting = evolve(
        comparison,
        stage=Stage.FOURTH,
        peer_third=peer_third,
        g2=g2,
        g3=g3,
        p=p_quotient,
        q=q_quotient,
    )
    return Step(comparison=waiting, reply=r.Record(r.SMP_3, _body((p, q, *proof, outcome, *equal))))


def _third(comparison: Comparison, value: bytes, random: Random) -> Step:
    numbers = _numbers(value, 8)
    theirs = numbers[0], numbers[1]
    bases = comparison.g2, comparison.g3
    zk.check_composed(6, bases, theirs, zk.Composed(*numbers[2:5]))
    p_quotient, q_quotient = _quotients(theirs, (comparison.p, comparison.q))
    outcome = numbers[5]
    zk.check_equal(7, q_quotient, (comparison.peer_third, outcome), zk.Known(*numbers[6:]))
    ours, equal = _outcome(8, q_quotient, comparison.third, random)
    holds = secret_power(outcome, comparison.third) == p_quotient
    return Step(comparison=NOTHING, reply=r.Record(r.SMP_4, _body((ours, *equal))), holds=holds)


def _fourth(comparison: Comparison, value: bytes, random: Random) -> Step:  # noqa: ARG001 - a row of the table
    outcome, c, d = _numbers(value, 3)
    zk.check_equal(8, comparison.q, (comparison.peer_third, outcome), zk.Known(c, d))
    return Step(comparison=NOTHING, holds=secret_power(outcome, comparison.third) == comparison.p)


TABLE: Final[dict[tuple[Stage, int], Callable[[Comparison, bytes, Random], Step]]] = {
    (Stage.FIRST, r.SMP_1): _first,
    (Stage.FIRST, r.SMP_1_QUESTION): _first_with_question,
    (Stage.SECOND, r.SMP_2): _second,
    (Stage.THIRD, r.SMP_3): _third,
    (Stage.FOURTH, r.SMP_4): _fourth,
}
"""What is done with a record at a stage; all other pairs are out of order."""


def _bases(label: int, second: int, third: int, random: Random) -> tuple[int, ...]:
    """Our powers of G, each with its proof."""
    numbers: tuple[int, ...] = ()
    for at, exponent in enumerate((second, third)):
        proof = zk.prove_exponent(label + at, exponent, secret_below(Q, random))
        numbers += (secret_power(G, exponent), proof.c, proof.d)
    return numbers


def _checked_bases(label: int, numbers: tuple[int, ...]) -> tuple[int, int]:
    second, c2, d2, third, c3, d3 = numbers
    zk.check_exponent(label, second, zk.Known(c2, d2))
    zk.check_exponent(label + 1, third, zk.Known(c3, d3))
    return second, third


def _composed(
    label: int, bases: tuple[int, int], secret: int, random: Random
) -> tuple[int, int, tuple[int, int, int]]:
    """Our P and Q, which hide *secret*, with their proof."""
    blind = secret_below(Q, random)
    nonces = secret_below(Q, random), secret_below(Q, random)
    p = secret_power(bases[1], blind)
    # A hash of zero cannot be met with; powmod_sec would refuse it.
    q = secret_power(G, blind) * secret_power(bases[0], secret) % P
    proof = zk.prove_composed(label, bases, (blind, secret), nonces)
    return p, q, (proof.c, proof.d5, proof.d6)


def _outcome(label: int, base: int, third: int, random: Random) -> tuple[int, tuple[int, int]]:
    """Our R, with its proof."""
    proof = zk.prove_equal(label, base, third, secret_below(Q, random))
    return secret_power(base, third), (proof.c, proof.d)


def _quotients(asker: tuple[int, int], answerer: tuple[int, int]) -> tuple[int, int]:
    """Pa/Pb and Qa/Qb; raises MethodError where they would say nothing."""
    if asker[0] == answerer[0] or asker[1] == answerer[1]:
        raise MethodError("The contact's client sent our own numbers back when secrets were compared.")
    p, q = (one * inverse(checked(other)) % P for one, other in zip(asker, answerer, strict=True))
    return p, q


def _numbers(body: bytes, count: int) -> tuple[int, ...]:
    """Exactly *count* MPIs behind their count."""
    reader = Reader(body)
    if reader.integer() != count:
        raise MethodError("The contact's client sent a wrong count of numbers when secrets were compared.")
    numbers = tuple(reader.mpi() for _ in range(count))
    reader.end()
    return numbers


def _body(numbers: tuple[int, ...]) -> bytes:
    return integer(len(numbers)) + b"".join(mpi(one) for one in numbers)
