"""`e2eproxy demo`: what it shows is what happened, and it says so when a method does not hold."""

from __future__ import annotations

import io
import json
import os
import pty
import re
import signal
import struct
import subprocess
import sys
import tempfile
import termios
import threading
import time
import xml.etree.ElementTree as ET
from fcntl import ioctl
from pathlib import Path
from types import SimpleNamespace

import pytest
from bed import box_method, miller_keys
from bed.box_method import BoxEngine, BoxMethod
from twisted.internet.protocol import Protocol
from twisted.internet.task import Clock

from e2eproxy.demo import command, frames
from e2eproxy.demo.attacker import Turncoat
from e2eproxy.demo.command import FAILED, GOOD, INTERRUPTED, REFERENCE, USAGE, Wanted, demo_command
from e2eproxy.demo.picture import COLUMN, picture
from e2eproxy.demo.play import Play
from e2eproxy.demo.scenes import LEGEND, Kind, Line, Place, Scene, difference
from e2eproxy.demo.wire import Wires
from e2eproxy.methods.otr import smp
from e2eproxy.methods.otr.method import OtrMethod
from e2eproxy.methods.registry import Broken, Registry
from e2eproxy.testing import ObjectMethod, SessionMethod

pytestmark = pytest.mark.once

CHECKOUT = Path(__file__).resolve().parents[2]
PICTURE = CHECKOUT / "docs" / "demo.svg"
METHODS = {
    "otr": OtrMethod,
    "miller-e2e": miller_keys.method,
    "reference-session": SessionMethod,
    "reference-object": ObjectMethod,
}
#: How their keys are shown.
KEY = re.compile(
    r"(?:reference-\w+:[0-9a-f]{64}|otr:(?:[0-9A-F]{8} ){4}[0-9A-F]{8}|miller-e2e:(?:[0-9A-F]{8} ){7}[0-9A-F]{8})"
)
#: The reference under which the proxy keeps an original: chosen by chance each time.
REFERENCE_TO_ORIGINAL = re.compile(r"\bshow [0-9a-f]{12}\b")
PLAYED = {}


class Played:
    """All scenes of one run."""

    def __init__(self, method, folder):
        play = Play(method, "note", folder, os.urandom)
        self.asks = "answer" in dict(method.traits.commands)
        self.resent = method.traits.resent
        # With most methods policy refuses the other key before anything leaves; here whoever has it does not get the key to the text.
        self.condition = "bad-request" if method.traits.name == "miller-e2e" else "policy-violation"
        self.scenes = list(play.scenes())
        self.faults = play.faults
        play.close()
        self.lines = [line for scene in self.scenes for line in scene.lines]

    def texts(self, place, *kinds, scene=None):
        lines = self.lines if scene is None else self.scenes[scene - 1].lines
        return [line.text for line in lines if line.place is place and line.kind in kinds]


@pytest.fixture(params=METHODS)
def played(request, tmp_path_factory):
    """A run with each method; each is played once."""
    if request.param not in PLAYED:
        PLAYED[request.param] = Played(METHODS[request.param](), tmp_path_factory.mktemp("demo"))
    return PLAYED[request.param]


# -- the play ----------------------------------------------------------------------------------------------------------


def test_what_is_typed_is_read(played):
    for one, other in ((Place.ROMEO, Place.JULIET), (Place.JULIET, Place.ROMEO)):
        for scene in (1, 2):
            typed = played.texts(one, Kind.TYPED, scene=scene)
            assert played.texts(other, Kind.READ, scene=scene) == typed
    assert played.texts(Place.JULIET, Kind.READ, scene=2), "there was something to be read"


def test_the_server_sees_stanzas_and_no_texts(played):
    saw = [line for line in played.lines if line.kind is Kind.SAW]
    assert len(saw) >= 5
    assert all(line.place is Place.SERVER and line.raw.startswith((b"<message", b"<iq")) for line in saw)
    typed = played.texts(Place.ROMEO, Kind.TYPED) + played.texts(Place.JULIET, Kind.TYPED)
    assert len(typed) >= 7
    said = [text.rpartition("? ")[2] for text in typed if text.startswith("/e2e verify question ")]
    assert bool(said) is played.asks
    assert not [text for text in said if any(text.encode() in line.raw for line in saw)]
    assert not [text for text in typed if any(text.encode() in line.raw for line in saw)]


def test_what_is_said_to_the_proxy_does_not_reach_the_server(played):
    assert played.texts(Place.ROMEO, Kind.TYPED, scene=3) == ["/e2e keys"]
    assert played.scenes[2].at(Place.SERVER) == []


def test_both_sides_show_the_same_key_and_its_state_becomes_verified(played):
    (romeos,) = played.texts(Place.ROMEO, Kind.NOTICE, scene=3)
    (juliets,) = played.texts(Place.JULIET, Kind.NOTICE, scene=3)
    assert KEY.findall(romeos) == KEY.findall(juliets)
    assert len(KEY.findall(romeos)) == 1
    assert romeos.endswith(": is tofu, used yes")
    *answered, after = played.texts(Place.ROMEO, Kind.NOTICE, scene=4)
    if played.asks:
        assert answered[-1] == "juliet@verona.example: The secrets are the same."
        assert played.texts(Place.JULIET, Kind.NOTICE, scene=4)[-1].endswith(
            "that you have the right answer."
        )
    else:
        assert answered[-1].endswith(" is verified now.")
        assert KEY.findall(answered[-1]) == KEY.findall(romeos)
    assert f": is verified ({'smp' if played.asks else 'fingerprint'})" in after
    assert KEY.findall(after) == KEY.findall(romeos)


def test_a_changed_message_is_not_read(played):
    (typed,) = played.texts(Place.JULIET, Kind.TYPED, scene=5)
    shown, *again = played.texts(Place.ROMEO, Kind.READ, scene=5)
    assert "could not be opened" in shown
    assert typed not in shown
    # OTR goes on with a new handshake, which the server lets pass, and says it once more.
    assert again == ([played.resent + typed] if played.resent else [])
    (saw, *_), (did,) = (
        [line for line in played.scenes[4].at(Place.SERVER) if line.kind is kind]
        for kind in (Kind.SAW, Kind.DID)
    )
    assert did.raw != saw.raw
    assert "becomes" in did.text


def test_another_key_is_refused_and_the_text_comes_back(played):
    (typed,) = [one for one in played.texts(Place.ROMEO, Kind.TYPED, scene=6) if not one.startswith("/e2e")]
    (returned,) = played.texts(Place.ROMEO, Kind.RETURNED, scene=6)
    assert typed in returned
    assert played.condition in returned
    assert any("A NEW KEY" in one for one in played.texts(Place.ROMEO, Kind.NOTICE, scene=6))
    did = played.texts(Place.SERVER, Kind.DID, scene=6)
    assert "its Juliet has read: nothing of Romeo's" in did
    assert did[-1].startswith("its Juliet guesses: ") is played.asks


def test_a_guess_is_answered_with_an_alarm():
    played = PLAYED["otr"]
    assert "The secrets are not the same: " in played.texts(Place.ROMEO, Kind.NOTICE, scene=6)[-1]


def test_nothing_went_wrong_and_every_scene_names_the_method(played):
    assert played.faults == []
    assert [scene.number for scene in played.scenes] == list(range(1, played.scenes[0].of + 1))
    assert {scene.note for scene in played.scenes} == {"note"}
    assert len({scene.method for scene in played.scenes}) == 1
    assert any(f"({name})" in played.scenes[0].method for name in METHODS)


# -- a method that does not hold -----------------------------------------------------------------------------------------


class GlassMethod(BoxMethod):
    """Everybody has the same key, nothing is signed, and the box is of glass."""

    def engine(self, context):
        return BoxEngine(context)


def test_a_method_that_does_not_hold_is_told(monkeypatch, tmp_path):
    monkeypatch.setattr(box_method, "_mixed", lambda data, _salt: data)
    played = Played(GlassMethod(), tmp_path)
    faults = "\n".join(played.faults)
    assert "the impostor read what was meant for Juliet" in faults
    assert re.search(r"the server could read 'I take thee at thy word' \(.*in base64, raw", faults)
    assert played.texts(Place.SERVER, Kind.DID, scene=6)[-1] == "its Juliet has read: I take thee at thy word"


def test_a_comparison_that_takes_every_answer_is_told(monkeypatch, tmp_path):
    monkeypatch.setattr(smp, "secret_of", lambda *_: 7)
    assert Played(OtrMethod(), tmp_path).faults == ["the impostor's key is taken for one that was verified"]


def test_a_comparison_that_takes_no_answer_is_told(monkeypatch, tmp_path):
    numbers = iter(range(1, 100))
    monkeypatch.setattr(smp, "secret_of", lambda *_: next(numbers))
    assert "the same secret on both sides did not verify Juliet's key" in Played(OtrMethod(), tmp_path).faults


class LateEngine(BoxEngine):
    """Changes every text that comes in."""

    def _inbound(self, event):
        effects = super()._inbound(event)
        return tuple(
            box_method.e.Deliver(ref=one.ref, inside=box_method.e.Body("so"), protection=one.protection)
            if isinstance(one, box_method.e.Deliver)
            else one
            for one in effects
        )


class LateMethod(BoxMethod):
    """Opens to another text than was put in."""

    def engine(self, context):
        return LateEngine(context)


def test_a_text_that_arrives_as_another_is_told(tmp_path):
    faults = Played(LateMethod(), tmp_path).faults
    assert "'She speaks. O speak again bright angel' did not arrive" in faults
    assert "Romeo was shown a text that the server had changed" in faults


def test_the_command_fails_with_such_a_method():
    out, err = io.StringIO(), io.StringIO()
    registry = Registry(methods={"box": BoxMethod()})
    assert demo_command(Wanted(), registry=registry, out=out, err=err) == FAILED
    assert "this method does not hold what it should: the impostor read" in err.getvalue()
    assert "Method: Box (box)." in out.getvalue()
    assert REFERENCE not in out.getvalue(), "it is not one of the reference methods"


def test_a_login_that_fails_is_told(monkeypatch):
    monkeypatch.setattr(Turncoat, "log_in", lambda *_: None)
    err = io.StringIO()
    assert demo_command(Wanted(), registry=Registry(), out=io.StringIO(), err=err) == FAILED
    assert err.getvalue() == (
        "e2eproxy: the demo cannot be played: romeo@verona.example/garden could not log in at the demo's own server\n"
    )


def test_programs_that_never_stop_writing_are_noticed():
    class Echo(Protocol):
        def dataReceived(self, data):  # noqa: N802 - Twisted's name
            self.transport.write(data)

    wires = Wires(Clock())
    ends = wires.connection()
    for end in ends:
        end.attach(Echo())
    ends[0].write(b"x")
    with pytest.raises(AssertionError, match="for ever"):
        wires.run()


# -- how it looks --------------------------------------------------------------------------------------------------------


def scene(*lines, number=1, title="A title"):
    return Scene(number=number, of=7, title=title, method="M (m)", note="A note.", lines=lines)


def test_a_later_line_never_stands_higher():
    found = frames.rows(
        scene(
            Line(Place.ROMEO, Kind.TYPED, "one two three four five six"),
            Line(Place.SERVER, Kind.SAW, "x"),
            Line(Place.SERVER, Kind.SAW, "y"),
            Line(Place.JULIET, Kind.READ, "z"),
            Line(Place.ROMEO, Kind.READ, "later"),
        ),
        12,
    )
    at = {text: number for number, row in enumerate(found) for _, text in filter(None, row)}
    assert at["> one two"] == at["x"] == 0
    assert at["y"] == at["< z"] == 1
    assert at["< later"] > max(at["y"], at["< z"])


@pytest.mark.parametrize("width", [90, 100, 133, 400])
def test_columns_keep_their_width(played, width):
    for one in played.scenes:
        plain = frames.columns(one, width)
        assert max(map(len, plain.splitlines())) <= min(width - 1, frames.WIDEST)
        painted = frames.columns(one, width, frames.coloured)
        assert [
            line.rstrip() for line in re.sub("\x1b\\[[0-9]*m", "", painted).splitlines()
        ] == plain.splitlines()


@pytest.mark.parametrize("width", [command.NARROWEST - 1, 40, 79])
def test_stacked_lines_keep_their_width_and_have_all(played, width):
    for one in played.scenes:
        text = frames.stacked(one, width)
        assert max(map(len, text.splitlines())) <= width
        squeezed = re.sub(r"\s", "", text)
        assert all(re.sub(r"\s", "", line.marked) in squeezed for line in one.lines)
        assert text.isascii()


def test_nothing_shown_can_steer_a_terminal():
    line = Line(Place.SERVER, Kind.SAW, "a\x1b[2J\x9b31m\u202eb\nc")
    assert line.marked == "a?[2J?31m?b\nc"


def test_a_difference_is_shown_with_what_stands_around_it():
    assert (
        difference(b"0123456789abcdef", b"0123456789Abcdef")
        == "...456789abcdef... becomes ...456789Abcdef..."
    )


# -- the picture ---------------------------------------------------------------------------------------------------------


def texts_of(svg):
    return [one.text for one in ET.fromstring(svg).iter("{http://www.w3.org/2000/svg}text")]


def test_the_picture_is_what_the_command_draws(tmp_path):
    out, file = io.StringIO(), tmp_path / "demo.svg"
    assert demo_command(Wanted(svg=file), out=out) == GOOD
    old, new = (REFERENCE_TO_ORIGINAL.sub("show x", one.read_text("utf-8")) for one in (PICTURE, file))
    assert new == old, "run: e2eproxy demo --svg docs/demo.svg"
    assert REFERENCE_TO_ORIGINAL.search(file.read_text("utf-8")), "there is one to be left out"


def test_the_picture_says_in_every_scene_what_it_was_made_with():
    texts = texts_of(PICTURE.read_text("utf-8"))
    scenes = [one for one in texts if re.match(r"\d/\d  ", one)]
    assert len(scenes) >= 5
    assert sum(one == "Method: OTR (otr)." for one in texts) == len(scenes)


def test_the_picture_fits(played):
    drawn = ET.fromstring(picture(played.scenes))
    width, height = float(drawn.get("width")), float(drawn.get("height"))
    for one in drawn.iter("{http://www.w3.org/2000/svg}text"):
        assert float(one.get("y")) < height
        if one.get("class") not in {"title", "note"}:
            assert len(one.text) <= COLUMN
            assert float(one.get("x")) + len(one.text) * 6.63 <= width


# -- the command ---------------------------------------------------------------------------------------------------------


def test_an_unknown_method_is_answered_with_the_names_there_are():
    out, err = io.StringIO(), io.StringIO()
    assert demo_command(Wanted(method="reference-sesion"), registry=Registry(), out=out, err=err) == USAGE
    assert err.getvalue() == (
        "e2eproxy: there is no method 'reference-sesion'; did you mean reference-session?"
        " --method takes reference-session, reference-object\n"
    )
    assert out.getvalue() == ""


def test_a_broken_plug_in_is_named_and_left_out():
    broken = Registry(broken=(Broken(name="x", value="x:X", why="it is not there"),))
    err = io.StringIO()
    assert demo_command(Wanted(method="y"), registry=broken, out=io.StringIO(), err=err) == USAGE
    assert err.getvalue().startswith("e2eproxy: the method x (x:X) is left out: it is not there\n")


def test_a_picture_that_cannot_be_written_is_told(tmp_path):
    err = io.StringIO()
    wanted = Wanted(svg=tmp_path / "not" / "there.svg")
    assert demo_command(wanted, registry=Registry(), out=io.StringIO(), err=err) == FAILED
    assert "No such file or directory" in err.getvalue()


def test_nothing_is_left_behind(tmp_path, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    assert demo_command(Wanted(method="reference-object"), registry=Registry(), out=io.StringIO()) == GOOD
    assert list(tmp_path.iterdir()) == []


# -- as a user runs it -----------------------------------------------------------------------------------------------------


def run(*arguments):
    return subprocess.run(
        [sys.executable, "-m", "e2eproxy", "demo", *arguments],
        check=False, capture_output=True, timeout=60, env=os.environ | {"PYTHONWARNINGS": "error::ResourceWarning"},
    )  # fmt: skip


def test_on_a_pipe_it_is_plain_text_and_does_not_wait():
    began = time.monotonic()
    done = run("--method", "reference-session")
    assert time.monotonic() - began < 15
    assert (done.returncode, done.stderr) == (0, b"")
    text = done.stdout.decode("ascii")
    assert text.startswith(LEGEND)
    assert "\x1b" not in text
    assert text.count(REFERENCE[:40]) == len(re.findall(r"^== \d/\d", text, re.MULTILINE)) == 7
    assert text.index("Romeo's client:") < text.index("what the server saw:") < text.index("Juliet's client:")


def test_without_a_name_it_is_played_with_otr():
    began = time.monotonic()
    done = run()
    assert time.monotonic() - began < 15
    assert (done.returncode, done.stderr) == (0, b"")
    text = done.stdout.decode("ascii")
    assert text.count("Method: OTR (otr).\n") == len(re.findall(r"^== \d/\d", text, re.MULTILINE)) == 7
    assert REFERENCE[:40] not in text


def test_the_daemon_loads_nothing_of_it():
    program = (
        "import sys, e2eproxy.service; print([one for one in sys.modules if one.startswith('e2eproxy.demo')])"
    )
    done = subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, timeout=60)
    assert done.stdout == b"[]\n"


def test_json_has_each_line_with_its_stanza():
    done = run("--json", "--method", "reference-object")
    assert (done.returncode, done.stderr) == (0, b"")
    events = [json.loads(line) for line in done.stdout.splitlines()]
    assert {one["place"] for one in events} == {"romeo", "server", "juliet"}
    assert {one["kind"] for one in events} == {kind.value for kind in Kind}
    assert all(one["method"] == "Reference object (reference-object)" and one["note"] for one in events)
    assert all(one["stanza"].startswith("<") for one in events if one["kind"] == "saw")


class Terminal:
    """The demo in a terminal of a given width."""

    def __init__(self, columns, *arguments):
        self._fd, theirs = pty.openpty()
        ioctl(self._fd, termios.TIOCSWINSZ, struct.pack("HHHH", 40, columns, 0, 0))
        environment = {
            name: value for name, value in os.environ.items() if name not in {"COLUMNS", "NO_COLOR"}
        }
        self._process = subprocess.Popen(
            [sys.executable, "-m", "e2eproxy", "demo", *arguments],
            stdin=theirs, stdout=theirs, stderr=theirs, start_new_session=True,
            env=environment | {"TERM": "xterm"},
        )  # fmt: skip
        os.close(theirs)
        self.shown = ""

    def read_until(self, text):
        """Read until *text* was shown, or (None) to the end."""
        while text is None or text not in self.shown:
            try:
                data = os.read(self._fd, 65536)
            except OSError:  # the other side is closed
                return
            self.shown += data.decode()

    def interrupt(self):
        self._process.send_signal(signal.SIGINT)

    def end(self):
        self.read_until(None)
        os.close(self._fd)
        return self._process.wait(30)


def test_in_a_terminal_there_are_three_columns_with_colours():
    terminal = Terminal(120, "--no-wait")
    assert terminal.end() == 0
    assert re.search("Romeo's client +\\| what the server saw +\\| Juliet's client", terminal.shown)
    assert "\x1b[32m< She speaks" in terminal.shown


def test_in_a_narrow_terminal_it_is_one_after_another():
    terminal = Terminal(70, "--no-wait")
    assert terminal.end() == 0
    assert "  Romeo's client:\r\n" in terminal.shown
    assert max(map(len, terminal.shown.split("\r\n"))) < 70


def test_it_never_takes_longer_than_it_may_however_late_it_is():
    late = command._Pace(Wanted(began=time.monotonic() - 100), threading.Event(), watched=True)
    assert [late.rest(scene(number=number)) for number in range(1, 7)] == [False] * 6
    times = []
    stopped = SimpleNamespace(wait=times.append, is_set=lambda: False)
    in_time = command._Pace(Wanted(), stopped, watched=True)
    for number in range(1, 8):
        in_time.rest(scene(number=number))
    assert len(times) == 6
    assert 0 < sum(times) <= 6 * command.SCENE_SECONDS
    assert command._Pace(Wanted(), stopped, watched=False).rest(scene()) is False
    assert len(times) == 6, "nobody watches, so nobody has to wait"


def test_ctrl_c_ends_it_cleanly():
    terminal = Terminal(120, "--speed", "0.1")
    terminal.read_until("Juliet's client")
    terminal.interrupt()
    assert terminal.end() == INTERRUPTED
    assert "e2eproxy: ended before its end" in terminal.shown
    assert "Traceback" not in terminal.shown
    assert "2/7" not in terminal.shown
