"""Writing to the socket first: order is kept whatever the socket takes, and the rest is the transport's affair."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from e2eproxy.xmpp.prompt import PromptTransport


class Socket:
    """A socket that takes as many bytes as it is told to, or fails."""

    def __init__(self, wire, room):
        self.wire = wire
        self.room = room
        self.error = None

    def send(self, data):
        if self.error is not None:
            raise self.error
        if not self.room:
            raise BlockingIOError
        taken = data[: self.room]
        self.room -= len(taken)
        self.wire += taken
        return len(taken)


class Transport:
    """As much of a Twisted transport as matters: a buffer in front of the socket, and a producer."""

    def __init__(self, room=10**9):
        self.wire = bytearray()
        self.socket = Socket(self.wire, room)
        self.buffer = bytearray()
        self.producer = None
        self.paused = False
        self.name = "tcp"

    def getHandle(self):  # noqa: N802 - Twisted's name
        return self.socket

    def write(self, data):
        self.buffer += data
        if len(self.buffer) > 100 and self.producer is not None and not self.paused:
            self.paused = True
            self.producer.pauseProducing()

    def registerProducer(self, producer, streaming):  # noqa: N802 - Twisted's name
        assert streaming
        self.producer = producer

    def writable(self, room):
        """The socket has room: the reactor writes."""
        self.socket.room += room
        sent = self.socket.send(bytes(self.buffer)) if self.buffer and self.socket.room else 0
        del self.buffer[:sent]
        if not self.buffer and self.paused:
            self.paused = False
            self.producer.resumeProducing()


class Producer:
    def __init__(self):
        self.calls = []

    def pauseProducing(self):  # noqa: N802 - Twisted's name
        self.calls.append("pause")

    def resumeProducing(self):  # noqa: N802 - Twisted's name
        self.calls.append("resume")

    def stopProducing(self):  # noqa: N802 - Twisted's name
        self.calls.append("stop")


def test_with_room_nothing_waits_for_the_reactor():
    transport = Transport()
    prompt = PromptTransport(transport)
    prompt.write(b"one")
    prompt.writeSequence([b"two", b"three"])
    assert transport.wire == b"onetwothree"
    assert not transport.buffer
    assert prompt.name == "tcp"


def test_what_the_socket_does_not_take_is_not_overtaken():
    transport = Transport(room=2)
    prompt = PromptTransport(transport)
    prompt.write(b"one")
    transport.socket.room = 100
    prompt.write(b"two")
    assert transport.wire == b"on"
    assert transport.buffer == b"etwo"


def test_a_dead_socket_is_left_to_the_transport():
    transport = Transport()
    transport.socket.error = ConnectionResetError()
    PromptTransport(transport).write(b"one")
    assert transport.buffer == b"one"


def test_it_is_prompt_again_when_the_buffer_has_been_emptied():
    transport = Transport(room=1)
    prompt = PromptTransport(transport)
    producer = Producer()
    prompt.registerProducer(producer, True)
    prompt.write(b"x" * 200)
    assert producer.calls == ["pause"]
    transport.writable(1000)
    assert producer.calls == ["pause", "resume"]
    prompt.write(b"y")
    assert transport.wire == b"x" * 200 + b"y"
    transport.producer.stopProducing()
    assert producer.calls[-1] == "stop"


def test_without_a_socket_it_is_the_transport():
    class InMemory:
        written = b""

        def write(self, data):
            self.written += data

    transport = InMemory()
    prompt = PromptTransport(transport)
    prompt.caught_up()
    prompt.write(b"one")
    assert transport.written == b"one"


@given(st.lists(st.one_of(st.binary(max_size=150), st.integers(0, 200))), st.integers(0, 50))
def test_everything_arrives_in_order(steps, room):
    transport = Transport(room)
    prompt = PromptTransport(transport)
    prompt.registerProducer(Producer(), True)
    said = b""
    for step in steps:
        if isinstance(step, bytes):
            said += step
            prompt.write(step)
        else:
            transport.writable(step)
        assert said.startswith(bytes(transport.wire))
    transport.writable(10**9)
    assert transport.wire == said
