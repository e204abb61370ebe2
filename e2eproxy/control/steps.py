"""Which questions a command's form asks, in one step or two, made from the table.

First whom it is about and what there is a choice of; then what depends on that: a key of the contact that was named, a secret
for the way that was chosen.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from e2eproxy.control.forms import Field, Form
from e2eproxy.control.words import About, Face, Takes, checked
from e2eproxy.errors import LocalError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from e2eproxy.control import answers as a
    from e2eproxy.control.words import Argument, Command

CONTACT: Final = "contact"
#: The option of a list that may be left alone, as label and value.
LEFT_OUT: Final = ("(leave it out)", "")
_KINDS: Final = {
    Takes.CHOICE: "list-single",
    Takes.FINGERPRINT: "list-single",
    Takes.SECRET: "text-private",
}
_LATER: Final = frozenset((Takes.FINGERPRINT, Takes.TEXT, Takes.SECRET))


def first(command: Command) -> Form | None:
    """The first step's form, None if nothing has to be asked."""
    fields: list[Field] = []
    if command.about in {About.CONTACT, About.EITHER}:
        required = command.about is About.CONTACT
        label = "Contact" if required else "Contact (none: your own account)"
        fields.append(Field(name=CONTACT, label=label, kind="jid-single", required=required))
    fields += [_field(one) for one in command.arguments if one.takes not in _LATER]
    return Form(title=command.name, instructions=command.help, fields=tuple(fields)) if fields else None


def later(command: Command, values: Mapping[str, str]) -> tuple[Argument, ...]:
    """What the second step has to ask after *values* were given in the first."""
    if not command.arguments:
        return ()
    head = command.arguments[0]
    if head.takes not in _LATER and head.name not in values:
        return ()
    return tuple(one for one in command.asked(values.get(head.name)) if one.takes in _LATER)


def second(
    command: Command, arguments: Sequence[Argument], values: Mapping[str, str], keys: Sequence[a.Key]
) -> Form:
    """The second step's form; *keys* are those of whom it is about."""
    chosen = values.get(command.arguments[0].name, "")
    return Form(
        title=f"{command.name} {chosen}".rstrip(),
        instructions=command.help if not chosen else "",
        fields=tuple(_field(one, keys, required=True) for one in arguments),
    )


def needs_keys(arguments: Sequence[Argument]) -> bool:
    """Whether a key has to be chosen."""
    return any(one.takes is Takes.FINGERPRINT for one in arguments)


def _field(argument: Argument, keys: Sequence[a.Key] = (), *, required: bool = False) -> Field:
    options = tuple((one, one) for one in argument.choices if one != "default")
    if argument.takes is Takes.FINGERPRINT:
        options = tuple(
            (f"{key.method}:{key.fingerprint} ({key.decision})", f"{key.method}:{key.fingerprint}")
            for key in keys
        )
    needed = required or not argument.optional
    if options and not needed:
        # Clients answer a list with one of its options: poezio with the first, if none is chosen.
        options = (LEFT_OUT, *options)
    return Field(
        name=argument.name,
        label=argument.name,
        kind=_KINDS.get(argument.takes, "text-single"),
        required=needed,
        options=options,
        help=argument.help,
    )


def whom(command: Command, given: Mapping[str, str]) -> str:
    """Whom the form that was filled in names, empty for nobody. Raises LocalError if that has to be somebody."""
    contact = given.get(CONTACT, "").strip()
    if command.about is About.CONTACT and not contact:
        raise LocalError("Fill in the contact that it is about, as juliet@example.org.")
    return contact


def taken(given: Mapping[str, str], arguments: Sequence[Argument]) -> dict[str, str]:
    """What *given* says for *arguments*, checked. Raises LocalError for what cannot be used."""
    values = {}
    for argument in arguments:
        text = given.get(argument.name, "").strip()
        if text:
            values[argument.name] = checked(argument, text)
        elif not argument.optional:
            raise LocalError(f"Fill in {argument.name}: {argument.help}")
    return values


def simple(command: Command) -> tuple[Argument, ...]:
    """The arguments of the first step."""
    return tuple(one for one in command.arguments if one.takes not in _LATER)


def in_forms(command: Command) -> bool:
    """Whether there is a form for it."""
    return Face.FORM in command.faces
