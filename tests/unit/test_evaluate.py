"""`e2eproxy evaluate`: the experiments tell healthy methods from broken ones, and claims from facts."""

from __future__ import annotations

import io
import json

import pytest
import twins
from attrs import evolve

from e2eproxy.evaluate import secrecy
from e2eproxy.evaluate.command import DISAGREES, GOOD, USAGE, evaluate_command
from e2eproxy.evaluate.experiments import COLUMNS, EXPERIMENTS, evaluate, make
from e2eproxy.evaluate.lab import Lab, PlainMethod
from e2eproxy.methods.registry import Broken, Registry
from e2eproxy.methods.traits import Claim
from e2eproxy.testing import ObjectMethod, SessionMethod, ratchet
from e2eproxy.testing.object_method import ObjectEngine
from e2eproxy.testing.session_method import SessionEngine

pytestmark = pytest.mark.once

BY_NAME = {one.name: one for one in EXPERIMENTS}
REFERENCES = {"session": SessionMethod, "object": ObjectMethod}


@pytest.fixture(scope="module")
def reports():
    return {name: evaluate(method()) for name, method in REFERENCES.items()}


@pytest.mark.parametrize("name", REFERENCES)
def test_reference_methods_are_what_they_claim(reports, name):
    report = reports[name]
    assert report.bugs == ()
    assert report.disagreements == ()
    assert report.good
    assert {one.column for one in report.cells} == {*COLUMNS, "recovery"}


def test_reference_methods_are_opposites(reports):
    differing = {
        one.column
        for one, other in zip(reports["session"].cells, reports["object"].cells, strict=True)
        if one.holds != other.holds
    }
    assert differing == {
        "forward_secrecy",
        "malleable_encryption",
        "group_chat",
        "offline_messages",
        "multiple_resources",
        "recovery",
    }


def test_every_column_of_the_table_is_backed_and_the_names_are_unique():
    assert {one.column for one in EXPERIMENTS if not one.informs} == {*COLUMNS, "recovery"}
    assert len(BY_NAME) == len(EXPERIMENTS)
    assert all(one.question.endswith(".") for one in EXPERIMENTS)
    assert COLUMNS == (
        "authenticity",
        "integrity",
        "encryption",
        "forward_secrecy",
        "malleable_encryption",
        "one_to_one",
        "group_chat",
        "online_chats",
        "offline_messages",
        "multiple_resources",
        "discovery_of_support",
        "replay_protection",
    )


TWINS = {
    "authenticity.no-keys": lambda: twins.GullibleMethod(SessionMethod(), twins.Gullible),
    "authenticity.key-change": lambda: twins.session(twins.OneName),
    "authenticity.verified": lambda: twins.session(twins.OneName),
    "integrity.bit-flips": lambda: twins.session(twins.Naive),
    "integrity.truncation": lambda: twins.session(twins.Naive),
    "integrity.splicing": lambda: twins.session(twins.Naive),
    "encryption.canary": lambda: twins.session(twins.Naive),
    "forward-secrecy.theft": lambda: twins.session(twins.StaticKeys),
    "recovery.theft": lambda: twins.session(twins.StaticKeys),
    "malleable.forgery": lambda: twins.session(twins.Secretive),
    "one-to-one.conversation": lambda: twins.session(twins.changing(SessionEngine, twins.flattening)),
    "group.room": lambda: twins.sealed(twins.Excluding),
    "online.at-once": lambda: twins.session(twins.Slow),
    "offline.next-day": lambda: twins.sealed(twins.changing(ObjectEngine, twins.not_lasting)),
    "resources.two": lambda: twins.sealed(twins.changing(ObjectEngine, twins.to_one_device)),
    "discovery.first-text": lambda: twins.session(twins.Presuming),
    "replay.same-session": lambda: twins.sealed(twins.Forgetful),
    "replay.after-restart": lambda: twins.sealed(twins.Sleepy),
    "replay.reflection": lambda: twins.sealed(twins.Vain),
}


def test_every_deciding_experiment_has_a_broken_twin():
    assert set(TWINS) == {one.name for one in EXPERIMENTS if not one.informs}


@pytest.mark.parametrize("name", TWINS)
def test_broken_twin_turns_the_cell_to_no(name):
    twin = TWINS[name]()
    found = make(BY_NAME[name], twin)
    healthy = make(BY_NAME[name], twin.healthy)
    assert healthy.finding.holds
    assert not found.finding.holds
    assert found.finding.how not in {"nothing was sent", "nothing arrived", "failed"}
    assert found.bugs == ()
    column = BY_NAME[name].column
    report = evaluate(twin, [one for one in EXPERIMENTS if one.column == column])
    assert [one.column for one in report.disagreements] == [column]
    assert not report.good


def test_restart_twin_is_found_only_by_the_restart():
    assert make(BY_NAME["replay.same-session"], twins.sealed(twins.Sleepy)).finding.holds


@pytest.mark.parametrize("name", ["integrity.bit-flips", "integrity.truncation"])
def test_a_method_that_encrypts_but_checks_no_mac_is_found(monkeypatch, name):
    monkeypatch.setattr(ratchet, "same", lambda _one, _other: True)
    assert not make(BY_NAME[name], SessionMethod()).finding.holds


def test_a_ratchet_without_diffie_hellman_does_not_heal(monkeypatch):
    healthy = ratchet.step_root
    monkeypatch.setattr(ratchet, "step_root", lambda root, _shared: healthy(root, b""))
    assert not make(BY_NAME["recovery.theft"], SessionMethod()).finding.holds
    assert make(BY_NAME["forward-secrecy.theft"], SessionMethod()).finding.holds


@pytest.mark.parametrize("way", twins.LEAKS)
def test_the_canary_is_found_however_it_leaks(way):
    found = make(BY_NAME["encryption.canary"], twins.leaking(twins.LEAKS[way]))
    assert found.finding.how == "the server reads it"


def test_a_fragmented_leak_is_found_when_joined():
    """Each stanza carries one piece of the token; only together they show it."""
    token = secrecy.CANARY.token
    seen = [
        f"<message><body>{token[at : at + 5]}</body></message>".encode() for at in range(0, len(token), 5)
    ]
    assert secrecy.CANARY.places(seen)
    assert not any(secrecy.CANARY.places([one]) for one in seen)


def test_support_that_is_never_found_is_a_no():
    found = make(BY_NAME["discovery.first-text"], twins.session(twins.Blind))
    assert (found.finding.holds, found.finding.how) == (False, "support is not found")


def test_first_contact_is_told_in_the_cell_but_does_not_decide_it(reports):
    for report in reports.values():
        cell = next(one for one in report.cells if one.column == "authenticity")
        assert cell.holds
        assert "once keys are compared" in cell.how


def test_a_clone_of_stolen_long_term_keys_reads_without_the_authors_help(monkeypatch):
    monkeypatch.setattr(ObjectMethod, "open_recorded", lambda *_: ())
    assert not make(BY_NAME["forward-secrecy.theft"], ObjectMethod()).finding.holds


def test_a_false_claim_of_forgery_is_measured():
    class Boasting(SessionMethod):
        def forge(self, transcript, accomplice):  # noqa: ARG002
            first = next(one for one in transcript if one.text)
            from e2eproxy.methods.door import Forgery

            return Forgery(instead_of=first.number, raw=first.raw, text="never accepted")

    found = make(BY_NAME["malleable.forgery"], Boasting())
    assert (found.finding.holds, found.finding.how) == (False, "the forgery failed")


def test_a_method_without_encryption_has_nothing():
    report = evaluate(PlainMethod())
    assert report.good
    assert not any(one.holds for one in report.cells)


def test_a_crash_in_the_benchs_own_question_is_a_bug_and_not_a_crash_of_the_bench():
    class Crashing(SessionMethod):
        def open_recorded(self, stolen, transcript):  # noqa: ARG002
            raise ZeroDivisionError

    found = make(BY_NAME["forward-secrecy.theft"], Crashing())
    assert not found.finding.holds
    assert "ZeroDivisionError" in found.bugs[0]


def test_a_bug_of_the_engine_fails_the_command_even_if_all_cells_agree():
    class Buggy(SessionEngine):
        def handle(self, event):
            if type(event).__name__ == "PeerPresence" and not event.available:
                raise KeyError("oops")
            return super().handle(event)

    report = evaluate(twins.session(Buggy), [BY_NAME["offline.next-day"]])
    assert report.disagreements == ()
    assert any("KeyError" in one for one in report.bugs)
    assert not report.good


def test_the_same_seed_gives_the_same_wire():
    def wire(seed):
        world, alice, bob = Lab(SessionMethod(), seed).pair()
        alice.say(bob.jid.bare, "one")
        bob.say(alice.jid, "two")
        return world.seen

    assert wire(1) == wire(1)
    assert wire(1) != wire(2)


# ---- the command ----


def run(*arguments, registry=None):
    out, err = io.StringIO(), io.StringIO()
    status = evaluate_command(arguments, registry=registry or Registry(), out=out, err=err)
    return status, out.getvalue(), err.getvalue()


def test_one_experiment_alone():
    status, out, err = run("reference-object", "--experiment", "group.room")
    assert (status, err) == (GOOD, "")
    assert "group chat: yes [group.room]" in out
    assert "reference-session" not in out


def test_json_says_all():
    status, out, _ = run("reference-session", "--json", "--experiment", "encryption.canary")
    [method] = json.loads(out)
    assert status == GOOD
    assert method["good"] is True
    [cell] = method["cells"]
    assert (cell["column"], cell["holds"], cell["claimed"], cell["agrees"]) == (
        "encryption",
        True,
        True,
        True,
    )
    assert cell["experiments"][0]["name"] == "encryption.canary"
    assert cell["experiments"][0]["evidence"]


def test_html_is_a_page_with_all_columns_and_nothing_from_elsewhere():
    status, out, _ = run("reference-session", "--html", "--experiment", "encryption.canary")
    assert status == GOOD
    assert out.startswith("<!DOCTYPE html>")
    assert out.count("<th>") == len(COLUMNS) + 2
    assert "class='yes'" in out
    assert "http" not in out


@pytest.mark.parametrize("form", ["--json", "--html"])
def test_what_comes_with_the_program_has_its_row_without_being_named(form):
    out = io.StringIO()
    assert evaluate_command(("--experiment", "online.at-once", form), out=out) == GOOD
    if form == "--json":
        found = [(one["method"], one["good"]) for one in json.loads(out.getvalue())]
        assert found == [("otr", True), ("miller-e2e", True)]
    else:
        assert (
            "<th>OTR<small>Off-the-Record Messaging Protocol, versions 2 and 3 (XEP-0364)</small></th>"
            in out.getvalue()
        )


def lying():
    method = SessionMethod()
    claims = evolve(method.traits.claims, offline_messages=Claim(True))
    method.traits = evolve(method.traits, name="lying", title="<Lying>", claims=claims)
    return method


@pytest.mark.parametrize("form", [(), ("--json",), ("--html",)])
def test_a_claim_that_does_not_hold_fails_the_command(form):
    method = lying()
    registry = Registry(methods={"lying": method})
    status, out, _ = run(*form, "--experiment", "offline.next-day", registry=registry)
    assert status == DISAGREES
    if not form:
        assert "DISAGREES: it claims offline messages, measured was no." in out
        assert "no!" in out
    if form == ("--html",):
        assert "&lt;Lying&gt;" in out
        assert "<Lying>" not in out
        assert "class='no wrong'" in out


def test_a_modest_claim_that_is_exceeded_fails_as_well():
    method = SessionMethod()
    method.traits = evolve(method.traits, claims=evolve(method.traits.claims, encryption=Claim(False)))
    assert not evaluate(method, [BY_NAME["encryption.canary"]]).good


def test_broken_plug_ins_are_named():
    registry = Registry(broken=(Broken(name="bad", value="bad:Bad", why="loading it raised KeyError"),))
    _, _, err = run("reference-object", "--experiment", "group.room", registry=registry)
    assert "bad (bad:Bad) is left out: loading it raised KeyError" in err


@pytest.mark.parametrize("arguments", [("nosuch",), ("--experiment", "nosuch")])
def test_unknown_names_are_refused(arguments):
    status, out, err = run(*arguments)
    assert (status, out) == (USAGE, "")
    assert "nosuch" in err


def test_bad_options_are_refused(capsys):
    assert run("--json", "--html")[0] == USAGE
    assert "not allowed with" in capsys.readouterr().err


def test_list():
    status, out, _ = run("--list")
    assert status == GOOD
    assert out.splitlines()[0].startswith("authenticity.no-keys")
    assert len(out.splitlines()) == len(EXPERIMENTS)
