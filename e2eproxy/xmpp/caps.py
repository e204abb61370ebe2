"""Entity capabilities (XEP-0115): what a presence announces, and whether an answer of service discovery is what it announced.

Whoever announces the same verification string gets the same answer believed, so one peer could answer for others. The hash
does not prevent it: what is hashed does not say which of its parts is an identity, a feature or a form, and an answer in
which a feature became the name of an identity has the same hash. A peer could take encryption away from our
other contacts like that. An answer is therefore only good for others if its text can be read in one way. Whatever a peer
sends raises ``RemoteError`` and nothing else (law 6).
"""

from __future__ import annotations

import base64
import hashlib
import re
from typing import TYPE_CHECKING, Final

from attrs import frozen

from e2eproxy.errors import RemoteError
from e2eproxy.xmpp import names

if TYPE_CHECKING:
    from collections.abc import Iterable

    from e2eproxy.xmpp.stanza import Stanza
    from e2eproxy.xmpp.tree import Node

CAPS: Final = "http://jabber.org/protocol/caps"
DISCO_INFO: Final = "http://jabber.org/protocol/disco#info"
#: Features of one answer, and characters of each.
MOST_FEATURES: Final = 1_000
LONGEST_FEATURE: Final = 1_023
#: Characters of an announced node and of its version; those in use have about 40 and 28.
LONGEST_NODE: Final = 256
LONGEST_VER: Final = 128
#: Hash functions of verification strings by their names in the IANA registry, and what Python calls them.
VER_HASHES: Final = {f"sha-{name}": f"sha{name}" for name in (1, 224, 256, 384, 512)}

C: Final = CAPS + names.SEPARATOR + "c"
QUERY: Final = DISCO_INFO + names.SEPARATOR + "query"
IDENTITY: Final = DISCO_INFO + names.SEPARATOR + "identity"
FEATURE: Final = DISCO_INFO + names.SEPARATOR + "feature"
DATA: Final = "jabber:x:data" + names.SEPARATOR
_SHA1: Final = re.compile(r"[A-Za-z0-9+/]{27}=")

# What keeps the parts of a hashed text apart: no feature in use begins like an identity that fits the first two, and the
# only form that clients answer with (XEP-0232) is known with its fields.
_CATEGORY: Final = re.compile(r"[A-Za-z0-9._-]+")
_LANGUAGE: Final = re.compile(r"[A-Za-z0-9-]*")
_SOFTWARE: Final = "urn:xmpp:dataforms:softwareinfo"
_SOFTWARE_FIELDS: Final = frozenset(
    {"icon", "ip_version", "os", "os_version", "software", "software_version"}
)


@frozen
class Caps:
    """What a presence announces: the *node* of the program, *ver*, and the name of its *hash*, "" in the format before 1.4."""

    node: str
    ver: str
    hash: str

    @property
    def full_node(self) -> str:
        """The service discovery node of just this set of features."""
        return f"{self.node}#{self.ver}"

    @property
    def verifiable(self) -> bool:
        """Whether *ver* is a hash that an answer can be checked against."""
        return self.hash == "sha-1" and _SHA1.fullmatch(self.ver) is not None


@frozen
class Identity:
    """A service discovery identity; *lang* is its own ``xml:lang``, not an inherited one."""

    category: str
    type: str
    lang: str = ""
    name: str = ""


@frozen
class Form:
    """An extension of an answer (XEP-0128): its FORM_TYPE, and (var, values) of its other fields."""

    type: str
    fields: tuple[tuple[str, tuple[str, ...]], ...] = ()


@frozen
class Info:
    """An answer: its *features*, and the *ver* that it may be kept under for others, None for none."""

    features: frozenset[str]
    ver: str | None


class _IllFormed(RemoteError):  # noqa: N818 - it names the finding
    """The answer is one that XEP-0115 section 5.4 tells not to believe in the name of others."""


def announced(presence: Stanza) -> Caps | None:
    """Return what *presence* announces, None if nothing that can be used. Raises BadElement if it cannot be read."""
    c = presence.child(C)
    if c is None:
        return None
    node, ver = c.attributes.get("node", ""), c.attributes.get("ver", "")
    if not (0 < len(node) <= LONGEST_NODE and 0 < len(ver) <= LONGEST_VER):
        return None
    return Caps(node, ver, c.attributes.get("hash", "")[:LONGEST_VER])


def answer(stanza: Stanza) -> Info:
    """Return what the result *stanza* says. Raises RemoteError if it cannot be read or says too much."""
    query = stanza.child(QUERY)
    if query is None:
        raise RemoteError("An answer about features holds none.")
    parts = query.node.children
    listed = [part.attributes.get("var", "") for part in parts if part.name == FEATURE]
    if len(listed) > MOST_FEATURES or max(map(len, listed), default=0) > LONGEST_FEATURE:
        raise RemoteError(
            f"An answer holds more than {MOST_FEATURES} features, or one of more than {LONGEST_FEATURE} characters."
        )
    try:
        ver = _believed(parts, listed)
    except _IllFormed:
        ver = None
    return Info(frozenset(filter(None, listed)), ver)


def verification_string(
    identities: Iterable[Identity],
    features: Iterable[str],
    forms: Iterable[Form] = (),
    hash_name: str = "sha-1",
) -> str:
    """Return the verification string (XEP-0115 section 5.1); *hash_name* is one of ``VER_HASHES``."""
    # Code points sort as the bytes of their UTF-8 do, which is the order asked for.
    said = [
        f"{one.category}/{one.type}/{one.lang}/{one.name}"
        for one in sorted(identities, key=lambda one: (one.category, one.type, one.lang, one.name))
    ]
    said += sorted(features)
    for form in sorted(forms, key=lambda form: form.type):
        said.append(form.type)
        for var, values in sorted(form.fields, key=lambda one: one[0]):
            said += [var, *sorted(values)]
    hashed = "".join(part + "<" for part in said).encode()
    function = getattr(hashlib, VER_HASHES[hash_name])
    return base64.b64encode(function(hashed, usedforsecurity=False).digest()).decode()


def _believed(parts: list[Node], features: list[str]) -> str:
    """Return the verification string of an answer with these parts. Raises _IllFormed if it is not to be believed."""
    identities = [identity_of(part) for part in parts if part.name == IDENTITY]
    forms = [form for part in parts if part.name == DATA + "x" and (form := form_of(part)) is not None]
    for several in (identities, features, [form.type for form in forms]):
        if len(set(several)) != len(several):
            raise _IllFormed("An answer says the same thing twice.")
    if any("<" in feature or not feature for feature in features) or not all(map(_one_way, identities)):
        raise _IllFormed("An answer can be read in several ways.")
    if not all(map(_known, forms)):
        raise _IllFormed("An answer holds a form that is not known.")
    return verification_string(identities, features, forms)


def identity_of(node: Node) -> Identity:
    """Return the identity that the element *node* says."""
    given = node.attributes
    return Identity(
        given.get("category", ""), given.get("type", ""), given.get(names.LANG, ""), given.get("name", "")
    )


def form_of(node: Node) -> Form | None:
    """Return the form that *node* is, None for one that is not hashed. Raises RemoteError if it has several types."""
    fields = [
        (field.attributes, tuple(value.text for value in field.children if value.name == DATA + "value"))
        for field in node.children
        if field.name == DATA + "field"
    ]
    kinds = [
        values
        for given, values in fields
        if given.get("var") == "FORM_TYPE" and given.get("type") == "hidden"
    ]
    types = {value for values in kinds for value in values}
    if len(types) > 1:
        raise _IllFormed("A form has several types.")
    if not types:
        return None
    rest = tuple(
        (given.get("var", ""), values) for given, values in fields if given.get("var") != "FORM_TYPE"
    )
    return Form(types.pop(), rest)


def _one_way(identity: Identity) -> bool:
    return (
        _CATEGORY.fullmatch(identity.category) is not None
        and bool(identity.type)
        and not set("/<") & set(identity.type)
        and _LANGUAGE.fullmatch(identity.lang) is not None
        and "<" not in identity.name
    )


def _known(form: Form) -> bool:
    said = [value for _, values in form.fields for value in values]
    return (
        form.type == _SOFTWARE
        and all(var in _SOFTWARE_FIELDS for var, _ in form.fields)
        and not any("<" in value for value in said)
    )
