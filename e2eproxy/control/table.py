"""The one table of commands.

From it come what is understood in a chat, the commands of ``e2eproxy``, the ad-hoc commands with their forms,
docs/commands.md, the man pages and the completion of shells (tests compare), so that none can differ from the others.
"""

from __future__ import annotations

from typing import Final

from e2eproxy.control.words import About, Argument, Command, Example, Face, Takes

#: What is written for a value to take a setting away, so that the next wider scope holds.
INHERIT: Final = "inherit"
#: The next three say what the proxy's own tables say; a test compares. Those are not loaded for a command line.
SETTINGS: Final = ("when", "whom", "methods", "notices", "otr-html")
SCOPES: Final = ("contact", "domain", "account", "default")
WORDS: Final = ("once", "session", "always")

#: In which form keys are written and read: all that there is, sealed; or the files of other OTR programs.
OURS: Final = "archive"
LIBOTR: Final = "libotr"
FORMATS: Final = (OURS, LIBOTR, "potr")

WAYS: Final = {
    "fingerprint": "you compared the key's fingerprint with the person, by voice or on paper",
    "secret": "both of you enter the same secret, which nobody else knows",
    "question": "you ask a question that only the person can answer",
    "answer": "you answer the question that the other side asked",
    "code": "both of you look at a short code, and compare it by voice",
    "same": "the codes are the same",
    "different": "the codes are not the same",
}
"""How a key can be verified; which of them there are, the method says by the verbs of its traits."""
NEEDS_SECRET: Final = frozenset(("secret", "question", "answer"))

_FINGERPRINT: Final = Argument(
    name="fingerprint",
    help="The key's fingerprint, or its beginning: at least 8 letters and digits.",
    takes=Takes.FINGERPRINT,
)
_CLI_ONLY: Final = frozenset({Face.CLI})

_COMMANDS: Final[tuple[Command, ...]] = (
    Command(
        name="status",
        help="Shows whether all is well: clients, sessions, what is held.",
        about=About.DAEMON,
        examples=(Example(said="status", does="one line for each account"),),
    ),
    Command(
        name="peers",
        help="Shows the contacts of whom anything is known: sessions, keys, what policy says.",
        about=About.ACCOUNT,
        examples=(Example(said="peers", does="one line for each contact"),),
    ),
    Command(
        name="start",
        help="Begins an encrypted session with this contact, or a new one.",
        about=About.CONTACT,
        changes=True,
        examples=(Example(said="start", does="has the method of the contact begin"),),
    ),
    Command(
        name="end",
        help="Ends the encrypted session with this contact.",
        about=About.CONTACT,
        changes=True,
        examples=(Example(said="end", does="ends it on both sides"),),
    ),
    Command(
        name="keys",
        help="Shows the keys of this contact and what is thought of each; without a contact, your own.",
        about=About.EITHER,
        examples=(Example(said="keys", does="every key, the oldest first"),),
    ),
    Command(
        name="fingerprints",
        help="Shows your keys and those of this contact side by side, to be compared by voice or on paper.",
        about=About.CONTACT,
        examples=(Example(said="fingerprints", does="in a terminal also as QR codes"),),
    ),
    Command(
        name="trust",
        also=("accept",),
        help="Takes a key as this contact's without a check; at least 8 letters and digits of it.",
        about=About.EITHER,
        arguments=(_FINGERPRINT,),
        changes=True,
        examples=(Example(said="trust 0A1B2C3D 4E5F6071", does="text may be encrypted to that key"),),
    ),
    Command(
        name="distrust",
        help="Never uses this key again; at least 8 letters and digits of it.",
        about=About.EITHER,
        arguments=(_FINGERPRINT,),
        changes=True,
        examples=(Example(said="distrust 0A1B2C3D 4E5F6071", does="nothing is encrypted to that key"),),
    ),
    Command(
        name="verify",
        help="Checks that a key is this contact's. Without an argument: says how that can be done.",
        about=About.CONTACT,
        arguments=(
            Argument(
                name="way",
                help="; ".join(f"{way}: {what}" for way, what in WAYS.items()) + ".",
                takes=Takes.CHOICE,
                choices=tuple(WAYS),
                optional=True,
            ),
            Argument(
                name="fingerprint",
                help="Which key you compared.",
                takes=Takes.FINGERPRINT,
                optional=True,
                only=frozenset({"fingerprint"}),
            ),
            Argument(
                name="question",
                help="What the person is asked, up to its question mark.",
                takes=Takes.TEXT,
                optional=True,
                until="?",
                only=frozenset({"question"}),
            ),
            Argument(
                name="secret",
                help="What only you two know. It is never sent.",
                takes=Takes.SECRET,
                optional=True,
                only=NEEDS_SECRET,
            ),
        ),
        changes=True,
        examples=(
            Example(said="verify", does="shows what there is"),
            Example(said="verify fingerprint 0A1B2C3D 4E5F6071", does="you compared this key"),
            Example(said="verify secret a word of ours", does="the other side has to enter the same"),
            Example(said="verify question Where did we meet? at the ball", does="the answer is the secret"),
        ),
    ),
    Command(
        name="policy",
        also=("set",),
        help="Shows what holds, and where that was set; or sets when to encrypt (require, prefer, accept, never), whom to "
        f"trust (verified, tofu, blind), the order of methods, where notices stand (contact: in this window alone; conversation: there "
        f"as well), or whether texts in OTR are HTML (auto, yes, no); {INHERIT} takes a setting away. Without for: for this "
        "contact, or if there is none for the account.",
        about=About.EITHER,
        arguments=(
            Argument(
                name="setting",
                help="What is set.",
                takes=Takes.CHOICE,
                choices=SETTINGS,
                optional=True,
            ),
            Argument(name="value", help="To what it is set.", takes=Takes.TEXT, optional=True),
            Argument(
                name="scope",
                help="For whom: this contact, all of its domain, the account; default: all accounts (command line only).",
                takes=Takes.CHOICE,
                choices=SCOPES,
                optional=True,
                keyword="for",
            ),
        ),
        changes=True,
        examples=(
            Example(said="policy", does="shows what holds for this contact"),
            Example(said="policy when require for domain", does="nobody there is written to in clear"),
        ),
    ),
    Command(
        name="clear",
        help="Lets text to this contact leave unencrypted: the next one, all until you log out, or for good.",
        about=About.CONTACT,
        arguments=(Argument(name="word", help="For how long.", takes=Takes.CHOICE, choices=WORDS),),
        changes=True,
        examples=(Example(said="clear once", does="the next message may leave unencrypted"),),
    ),
    Command(
        name="require",
        help="Remembers this contact as encrypted: unencrypted text needs your word from now on.",
        about=About.CONTACT,
        changes=True,
        examples=(Example(said="require", does="what cannot be encrypted comes back to you"),),
    ),
    Command(
        name="methods",
        help="Shows the end-to-end systems there are, and which of them this account uses.",
        about=About.ACCOUNT,
        examples=(Example(said="methods", does="what each protects"),),
    ),
    Command(
        name="log",
        help="Shows the notices there were, the newest last.",
        about=About.ACCOUNT,
        arguments=(Argument(name="number", help="How many.", takes=Takes.NUMBER, optional=True),),
        examples=(Example(said="log 5", does="the last five"),),
    ),
    Command(
        name="show",
        help="Shows what came in the place of a message that could not be opened.",
        about=About.ACCOUNT,
        arguments=(
            Argument(
                name="reference", help="The reference that stands in the placeholder.", takes=Takes.REFERENCE
            ),
        ),
        examples=(Example(said="show 7f3a", does="the stanza as it came"),),
    ),
    Command(
        name="export",
        help="Writes own keys, contacts' keys and settings of an account into a file, sealed with a passphrase. Sessions are "
        "not in it: they begin anew where it is imported. With --format libotr: the OTR keys as other programs read them, not "
        "sealed.",
        about=About.ACCOUNT,
        faces=_CLI_ONLY,
        examples=(
            Example(said="export --file romeo.archive", does="asks for a passphrase"),
            Example(
                said="export --format libotr --file otr", does="writes otr.private_key and what goes with it"
            ),
        ),
    ),
    Command(
        name="import",
        help="Takes over what `export` wrote; what is there already and differs stays, unless --replace. The account's clients "
        "have to be logged out. With --format libotr or potr: what another OTR program had, one file at a time.",
        about=About.ACCOUNT,
        faces=_CLI_ONLY,
        changes=True,
        examples=(
            Example(said="import --file romeo.archive", does="asks for the passphrase"),
            Example(said="import --format libotr --file otr.private_key", does="takes over the own OTR key"),
        ),
    ),
    Command(
        name="reset",
        help="Forgets an account: keys, decisions, sessions and settings. Says what would be lost, and does it with --yes. The "
        "account's clients have to be logged out.",
        about=About.ACCOUNT,
        faces=_CLI_ONLY,
        changes=True,
        examples=(Example(said="reset", does="says what would be lost"),),
    ),
)

COMMANDS: Final[tuple[Command, ...]] = (
    *_COMMANDS,
    Command(
        name="help",
        help="Shows the commands, or more about one.",
        about=About.DAEMON,
        arguments=(
            Argument(
                name="command",
                help="Which one.",
                takes=Takes.CHOICE,
                choices=(*(name for one in _COMMANDS for name in (one.name, *one.also)), "help"),
                optional=True,
            ),
        ),
        examples=(Example(said="help policy", does="how the command policy is written"),),
    ),
)

BY_NAME: Final = {name: one for one in COMMANDS for name in (one.name, *one.also)}
