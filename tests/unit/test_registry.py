"""Methods by entry point: whoever cannot be loaded is named and left out, and nothing else suffers."""

from __future__ import annotations

import sys

import pytest
from attrs import evolve, frozen

from e2eproxy.methods import registry
from e2eproxy.methods.door import Method
from e2eproxy.methods.miller.method import MillerMethod
from e2eproxy.methods.otr.method import OtrMethod
from e2eproxy.testing import ObjectMethod, SessionMethod


@frozen
class Point:
    name: str
    what: object
    value: str = "some:thing"

    def load(self):
        if isinstance(self.what, BaseException):
            raise self.what
        return self.what


def named(name, **changes):
    method = SessionMethod()
    method.traits = evolve(method.traits, name=name)
    for attribute, value in changes.items():
        setattr(method, attribute, value)
    return method


class Leaving:
    @property
    def traits(self):
        sys.exit("secret")


class NoArguments:
    def __init__(self, needed):
        self.needed = needed


class Quitting:
    def __init__(self):
        sys.exit("bye")


class Sly:
    @property
    def traits(self):
        raise KeyError("secret")


BAD = {
    "import error": (ImportError("secret"), "raised ImportError"),
    "exit at import": (SystemExit(3), "raised SystemExit"),
    "nothing": (None, "not all that a method needs"),
    "a number": (7, "not all that a method needs"),
    "a class that needs arguments": (NoArguments, "raised TypeError"),
    "a class that quits": (Quitting, "raised SystemExit"),
    "properties that raise": (Sly(), "raised KeyError"),
    "properties that quit": (Leaving(), "raised SystemExit"),
    "another door": (named("bad", door_version=2), "version 2 of the door, this is 1"),
    "no traits": (named("bad", traits={"name": "bad"}), "traits are not Traits"),
    "another name": (named("other"), "says bad, its traits say other"),
}


@pytest.mark.parametrize("what", BAD)
def test_a_broken_plug_in_is_left_out_and_the_others_stay(what):
    thing, why = BAD[what]
    points = [Point("bad", thing), Point("reference-object", ObjectMethod)]
    found = registry.load(points, built_in=())
    assert list(found.methods) == ["reference-object"]
    [broken] = found.broken
    assert (broken.name, broken.value) == ("bad", "some:thing")
    assert why in broken.why
    assert "secret" not in broken.why


def test_an_object_and_a_class_are_taken():
    found = registry.load(
        [Point("reference-session", SessionMethod), Point("reference-object", ObjectMethod())], built_in=()
    )
    assert list(found.methods) == ["reference-session", "reference-object"]
    assert all(isinstance(one, Method) for one in found.methods.values())
    assert found.broken == ()


def test_the_first_of_a_name_stays_and_built_in_ones_are_first():
    mine = SessionMethod()
    found = registry.load([Point("reference-session", SessionMethod)], built_in=[mine])
    assert found.methods == {"reference-session": mine}
    assert "already a method called reference-session" in found.broken[0].why


def test_otr_and_miller_e2e_come_with_the_program():
    found = registry.load([Point("otr", SessionMethod)])
    assert list(found.methods) == ["otr", "miller-e2e"]
    assert isinstance(found.methods["otr"], OtrMethod)
    assert isinstance(found.methods["miller-e2e"], MillerMethod)
    assert [one.name for one in found.broken] == ["otr"]


def test_the_reference_methods_are_not_offered():
    assert not {"reference-session", "reference-object"} & set(registry.load().methods)


def install(directory, package, points):
    place = directory / f"{package}-1.0.dist-info"
    place.mkdir()
    (place / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {package}\nVersion: 1.0\n")
    (place / "entry_points.txt").write_text(f"[e2eproxy.methods]\n{points}\n")


def test_installed_entry_points_are_found(tmp_path, monkeypatch):
    install(tmp_path, "plugin", "reference-object = e2eproxy.testing:ObjectMethod\nbroken = nosuchmodule:X")
    monkeypatch.syspath_prepend(str(tmp_path))
    found = registry.load()
    assert "reference-object" in found.methods
    assert [one.name for one in found.broken] == ["broken"]
    assert "ModuleNotFoundError" in found.broken[0].why


@pytest.mark.parametrize("first", ["one", "two"])
def test_which_plug_in_gets_a_name_depends_on_no_order_of_installation(tmp_path, monkeypatch, first):
    for place in ("one", "two"):
        (tmp_path / place).mkdir()
    install(tmp_path / "one", "plugin_one", "zz = early:Y\ntwice = late:X")
    install(tmp_path / "two", "plugin_two", "twice = early:Z\naa = late:Z")
    for place in sorted(("one", "two"), key=lambda name: name == first):
        monkeypatch.syspath_prepend(str(tmp_path / place))
    assert [(point.name, point.value) for point in registry.installed()] == [
        ("aa", "late:Z"),
        ("twice", "early:Z"),
        ("twice", "late:X"),
        ("zz", "early:Y"),
    ]
