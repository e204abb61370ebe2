"""The proxy's own contact under a name that was chosen: it is never anybody else's, and nothing of it leaves."""

from __future__ import annotations

import pytest
from bed.guard_world import DOMAIN, World
from bed.requests import ask

from e2eproxy import options
from e2eproxy.config import ConfigError, load
from e2eproxy.proxy.notices import PROXY
from e2eproxy.testing.session_method import SessionMethod
from e2eproxy.xmpp.jid import JID

NAME = JID.parse("door.house.invalid")


@pytest.fixture(params=[True, False], ids=["with a method", "without methods"])
def world(request):
    return World(*([SessionMethod()] if request.param else []), proxy=NAME)


def test_the_usual_name_is_the_one_of_the_table():
    assert str(PROXY) == options.CONTACT_NAME


@pytest.mark.parametrize("to", [NAME, "DOOR.house.Invalid/x", "door.house.invalid."])
def test_the_chosen_name_answers_and_nothing_of_it_leaves(world, to):
    romeo, _ = world.sides
    before = len(world.seen)
    romeo.say(to, "status")
    assert "e2eproxy 0.0.test" in romeo.notices[-1]
    assert len(world.seen) == before


def test_the_usual_name_is_like_any_other_address_then(world):
    romeo, _ = world.sides
    before = len(world.seen)
    romeo.say(PROXY, "status")
    world.wait(5)
    assert "e2eproxy 0.0.test" not in "".join(romeo.notices)
    assert len(world.seen) > before


def test_the_contact_calls_itself_by_the_chosen_name(world):
    romeo, _ = world.sides
    items = ask(
        romeo,
        "<query xmlns='http://jabber.org/protocol/disco#items' node='http://jabber.org/protocol/commands'/>",
        to=str(NAME),
    )
    assert {item.get("jid") for item in items.iter() if item.get("jid")} == {str(NAME)}
    romeo.write(b"<presence to='door.house.invalid' type='probe'/>")
    assert romeo.read()[-1].from_ == str(NAME)


@pytest.mark.parametrize(
    "sender", ["door.house.invalid", "DOOR.House.invalid/x", "somebody@door.house.invalid"]
)
def test_whoever_claims_the_chosen_name_is_dropped(world, sender):
    _, juliet = world.sides
    juliet.server.deliver(f"<message from='{sender}'><body>all is well</body></message>".encode())
    assert "all is well" not in "".join(juliet.texts + [one for one in juliet.notices if "forged" not in one])
    assert len(juliet.notices) == 1
    juliet.server.deliver(f"<presence from='{sender}'/>".encode())
    assert not [one for one in juliet.read() if one.kind == "presence"]


def test_a_name_that_only_looks_alike_is_delivered(world):
    _, juliet = world.sides
    juliet.server.deliver(b"<message from='indoor.house.invalid' type='chat'><body>hark</body></message>")
    assert juliet.texts == ["hark"]


def test_an_account_of_a_server_with_that_very_name_is_told_so():
    romeo, _ = World(proxy=JID.parse(DOMAIN)).sides
    assert b"not-authorized xmlns" in romeo.told_at_login
    assert b"contact_name" in romeo.told_at_login
    assert romeo.client.finished


BAD = ("", "a b", "juliet@example.org", "example.org/x", "127.0.0.1", "[::1]", "localhost", "-", "x" * 254)


@pytest.mark.parametrize("name", BAD)
def test_a_name_that_is_no_domain_is_refused_at_the_start(name, tmp_path):
    (tmp_path / "c.toml").write_text(f'contact_name = "{name}"')
    with pytest.raises(ConfigError, match=r"contact_name: .*such as e2eproxy\.localhost"):
        load({"config": str(tmp_path / "c.toml")}, {"HOME": str(tmp_path)})


def test_the_name_of_the_server_is_refused_at_the_start(tmp_path):
    given = {"contact_name": "Chat.Example.ORG", "upstream": "chat.example.org:5222", "data": str(tmp_path)}
    with pytest.raises(ConfigError, match=r"--contact-name: chat\.example\.org is the server itself"):
        load(given, {})


def test_another_spelling_is_the_same_name(tmp_path):
    settings = load({"contact_name": "T\u00fcr.Haus.invalid", "data": str(tmp_path)}, {})
    assert settings.contact_name == "xn--tr-xka.haus.invalid"
