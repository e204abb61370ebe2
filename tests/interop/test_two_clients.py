"""Two unmodified clients chat with each other through the daemon, on each server, over each kind of upstream TLS."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from bed.clients.mcabber import Mcabber
from bed.clients.profanity import Profanity

if TYPE_CHECKING:
    from bed.route import Route
    from bed.terminal import Tmux

WORDS = "see how she leans her cheek"
ANSWER = 'ay me, <he> & "she" said \N{SMILING FACE WITH SMILING EYES}'


@pytest.mark.matrix("profanity <-> mcabber")
def test_profanity_and_mcabber_chat(route: Route, tmux: Tmux) -> None:
    romeo, juliet = route.server.pair_of()
    one, other = Profanity(tmux, romeo, route), Mcabber(tmux, juliet, route)
    one.connect()
    other.connect()
    route.require_login(romeo, juliet)
    route.require_carried(2)
    one.say(juliet, WORDS)
    other.expect(romeo, WORDS)
    other.say(romeo, ANSWER)
    one.expect(juliet, ANSWER)
    one.say(juliet, "and once more")
    other.expect(romeo, "and once more")
