"""What a client of ours answers to service discovery (XEP-0030), as a value that can be added to, hashed and said again.

Law 6 the other way round: what we say in the client's place must be readable in one way by everybody who hears it, or the
hash of it would be worth nothing. So what XEP-0115 section 5.4 and XEP-0390 call ill-formed is left out here: what is said
twice, and forms that have no type, several, or the type of another one. All else is as the client wrote it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from attrs import evolve, field, frozen

from e2eproxy.errors import RemoteError
from e2eproxy.xmpp import caps
from e2eproxy.xmpp.capability_hashes import capability_hash, hash_input
from e2eproxy.xmpp.markup import tag_name
from e2eproxy.xmpp.stanza import element

if TYPE_CHECKING:
    from collections.abc import Iterable

    from e2eproxy.xmpp.caps import Form, Identity
    from e2eproxy.xmpp.spans import Span
    from e2eproxy.xmpp.stanza import Stanza

#: Bytes of a client's answer; a longer one is not said again.
LONGEST: Final = 64 * 1024

_FORM: Final = caps.DATA + "x"
_FIELD: Final = caps.DATA + "field"
_VALUE: Final = caps.DATA + "value"


@frozen
class WrittenForm:
    """A form, and how the client wrote it, standing for itself."""

    form: Form
    raw: bytes = field(repr=False)


@frozen
class DiscoInfo:
    """Identities, features and forms, none of them twice."""

    identities: tuple[Identity, ...] = ()
    features: tuple[str, ...] = ()
    forms: tuple[WrittenForm, ...] = ()

    def with_features(self, more: Iterable[str]) -> DiscoInfo:
        """Return the same with *more* features, as far as they are not there."""
        return evolve(self, features=tuple(dict.fromkeys((*self.features, *more))))

    def ver(self, hash_name: str = "sha-1") -> str:
        """Return the verification string (XEP-0115); *hash_name* is one of ``caps.VER_HASHES``."""
        forms = [one.form for one in self.forms]
        return caps.verification_string(self.identities, self.features, forms, hash_name)

    def hash(self, name: str) -> str:
        """Return the capability hash (XEP-0390); *name* is one of ``capability_hashes.FUNCTIONS``."""
        forms = [one.form for one in self.forms]
        return capability_hash(name, hash_input(self.identities, self.features, forms))

    def query(self, node: str | None) -> bytes:
        """Return the answer to a question about *node*. Raises ValueError if that cannot be written.

        It says that it is in no language, since an identity without one would have that which a server writes on the stanza,
        and its XEP-0390 hash with it.
        """
        parts = [
            element(
                "identity",
                {
                    "category": one.category,
                    "type": one.type,
                    "xml:lang": one.lang or None,
                    "name": one.name or None,
                },
            )
            for one in self.identities
        ]
        parts += [element("feature", {"var": feature}) for feature in self.features]
        parts += [one.raw for one in self.forms]
        return element("query", {"xmlns": caps.DISCO_INFO, "node": node, "xml:lang": ""}, b"".join(parts))


def read(answer: Stanza) -> DiscoInfo:
    """Return what the result *answer* of our client says. Raises RemoteError if it cannot be read or says too much."""
    query = answer.child(caps.QUERY)
    if query is None:
        raise RemoteError("An answer about features holds none.")
    if query.end - query.start > LONGEST:
        raise RemoteError(f"An answer about features is longer than {LONGEST} bytes.")
    identities = dict.fromkeys(caps.identity_of(one.node) for one in query.all(caps.IDENTITY))
    features = dict.fromkeys(one.attributes.get("var", "") for one in query.all(caps.FEATURE))
    features.pop("", None)
    if len(features) > caps.MOST_FEATURES or max(map(len, features), default=0) > caps.LONGEST_FEATURE:
        raise RemoteError("An answer holds more features, or longer ones, than others would read.")
    forms: dict[str, WrittenForm] = {}
    for part in query.all(_FORM):
        form = _clear(part)
        if form is not None and form.type not in forms:
            forms[form.type] = WrittenForm(form, answer.standalone_part(part))
    return DiscoInfo(tuple(identities), tuple(features), tuple(forms.values()))


def _clear(part: Span) -> Form | None:
    """Return the form that *part* is if everybody reads it as the same, else None."""
    fields = part.all(_FIELD)
    called = [one.attributes.get("var", "") for one in fields]
    if len(fields) != len(part.children) or len(set(called)) != len(called) or "" in called:
        return None
    kind = next((one for one in fields if one.attributes["var"] == "FORM_TYPE"), None)
    if kind is None or [bool(one.text) and one.name for one in kind.children] != [_VALUE]:
        return None
    try:
        return caps.form_of(part.node)
    except RemoteError:
        return None


def asked(stanza: Stanza) -> tuple[bool, str | None]:
    """Return whether the IQ *stanza* is about the features of whom it goes to, and of which node. Raises BadElement."""
    if stanza.kind != "iq" or caps.DISCO_INFO.encode() not in stanza.raw:
        return False, None
    query = stanza.child(caps.QUERY)
    return query is not None, None if query is None else query.attributes.get("node") or None


def more_features(answer: Stanza, features: Iterable[str]) -> bytes:
    """Return the result *answer* with *features* behind what it says, as far as they are not in it. Raises BadElement."""
    query = answer.child(caps.QUERY)
    if query is None:
        return answer.raw
    there = {one.attributes.get("var") for one in query.all(caps.FEATURE)}
    new = b"".join(
        element("feature", {"xmlns": caps.DISCO_INFO, "var": one}) for one in features if one not in there
    )
    if not new:
        return answer.raw
    start, end = query.content
    if start < query.end:
        inside = query.raw[: end - query.start] + new + query.raw[end - query.start :]
    else:
        tag = query.start_tag
        inside = tag.removesuffix(b"/>") + b">" + new + b"</" + tag_name(tag) + b">"
    return answer.replaced({query: inside})
