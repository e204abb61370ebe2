"""What holds for all accounts, and so needs none: the methods there are, and the policy where nothing else is set.

Only the administrator at the command line gets here: a stream acts on its own account alone.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from e2eproxy.control import answers as a
from e2eproxy.errors import LocalError
from e2eproxy.proxy import rules
from e2eproxy.proxy.rules import Scope
from e2eproxy.trust.values import PolicyRow

if TYPE_CHECKING:
    from collections.abc import Collection

    from twisted.internet.defer import Deferred

    from e2eproxy.proxy.guards import Guards
    from e2eproxy.trust.transaction import Transaction

#: In the place of an address, for people.
ALL: Final = "all accounts"


def methods(guards: Guards, account: str = "", used: Collection[str] | None = None) -> a.Methods:
    """The end-to-end systems there are; *used*: those of *account*, None for what holds where nothing is set."""
    if used is None:
        used = _defaults(guards)[rules.METHODS].split()
    found = (method.traits for method in guards.methods)
    return a.Methods(
        account=account,
        methods=tuple(
            a.Method(
                name=one.name,
                title=one.title,
                standard=one.standard,
                summary=one.summary,
                used=one.name in used,
                offline=one.survives_offline,
                claims={name: claim.holds for name, claim in one.claims},
            )
            for one in found
        ),
    )


def policy(guards: Guards) -> a.Policy:
    """What holds where nothing is set."""
    given = _defaults(guards)
    settings = tuple(
        a.Setting(name=name, value=given[name], scope=Scope.DEFAULT.value) for name in rules.DEFAULTS
    )
    return a.Policy(account="", contact=ALL, settings=settings, remembered=False, word="")


def _defaults(guards: Guards) -> dict[str, str]:
    return rules.DEFAULTS | dict(guards.rules.settings("", Scope.DEFAULT.value, ""))


def set_policy(guards: Guards, name: str, value: str) -> Deferred[a.PolicySet]:
    """Set *name* to *value* where nothing else is set, "" to take it away."""
    return put(guards, PolicyRow(account="", scope=Scope.DEFAULT.value, key="", setting=name, value=value))


def put(guards: Guards, wanted: PolicyRow) -> Deferred[a.PolicySet]:
    """Store what the user *wanted*, without a value to take it away; fires when that is durable. Raises LocalError."""
    name, scope, key = wanted.setting, wanted.scope, wanted.key
    value = _known(guards, name, rules.edited({}, name, wanted.value).get(name, ""))

    def change(work: Transaction) -> None:
        if value:
            work.policy.set(
                PolicyRow(account=wanted.account, scope=scope, key=key, setting=name, value=value)
            )
        else:
            work.policy.unset(wanted.account, scope, key, name)

    done = a.PolicySet(name=name, value=value, scope=scope, key=key)
    return guards.writer.run(change).addCallback(lambda _: done)


def _known(guards: Guards, name: str, value: str) -> str:
    """*Value*, if each method in it is one that there is: a misspelt one would never be used."""
    there = {method.traits.name for method in guards.methods} | set(rules.DEFAULTS[rules.METHODS].split())
    if name == rules.METHODS and not there.issuperset(value.split()):
        raise LocalError(f"methods is a list of some of {', '.join(sorted(there))}, the first choice first.")
    return value
