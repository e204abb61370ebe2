"""Which methods there are: built-in ones, and plug-ins by the entry-point group ``e2eproxy.methods``.

A plug-in that cannot be loaded, or is not what the door demands, is reported and left out; it never stops the proxy.
"""

from __future__ import annotations

from importlib import metadata
from typing import TYPE_CHECKING, Any, Final

from attrs import field, frozen

from e2eproxy.methods.door import DOOR_VERSION, Method
from e2eproxy.methods.harness import where_of
from e2eproxy.methods.miller.method import MillerMethod
from e2eproxy.methods.otr.method import OtrMethod
from e2eproxy.methods.traits import Traits

if TYPE_CHECKING:
    from collections.abc import Container, Iterable, Mapping
    from typing import Protocol

    class EntryPoint(Protocol):
        """As much of ``importlib.metadata.EntryPoint`` as is used."""

        @property
        def name(self) -> str: ...
        @property
        def value(self) -> str: ...
        def load(self) -> Any: ...  # noqa: ANN401 - whatever the plug-in's author put there


GROUP = "e2eproxy.methods"
BUILT_IN: Final[tuple[Method, ...]] = (OtrMethod(), MillerMethod())
"""The methods that come with the program. Policy's setting ``methods`` says which of them are used, and in which order: of one that it does
not name there is no engine, and nothing is announced."""


@frozen(kw_only=True)
class Broken:
    """A plug-in that was left out: the entry point's ``name`` and ``value``, and ``why``, for the log."""

    name: str
    value: str
    why: str


@frozen(kw_only=True)
class Registry:
    """The methods by name, in the order they were found, and what was left out."""

    methods: Mapping[str, Method] = field(factory=dict)
    broken: tuple[Broken, ...] = ()


class _Unfit(Exception):  # noqa: N818 - never leaves this module
    """The object is no method."""


def load(
    entry_points: Iterable[EntryPoint] | None = None, *, built_in: Iterable[Method] = BUILT_IN
) -> Registry:
    """Find all methods: *built_in* first, then the *entry_points* (the installed ones if None). Never raises."""
    found: dict[str, Method] = {}
    broken: list[Broken] = []
    for method in built_in:
        found[method.traits.name] = method
    for point in installed() if entry_points is None else entry_points:
        try:
            method = checked(_load(point), point.name, found)
        except _Unfit as unfit:
            broken.append(Broken(name=point.name, value=point.value, why=f"{unfit}"))
        else:
            found[point.name] = method
    return Registry(methods=found, broken=tuple(broken))


def installed() -> tuple[EntryPoint, ...]:
    """The entry points of the group, by name."""
    return tuple(sorted(metadata.entry_points(group=GROUP), key=lambda one: (one.name, one.value)))


def _load(point: EntryPoint) -> object:
    try:
        loaded: object = point.load()
    except (Exception, SystemExit) as error:  # noqa: BLE001 - importing foreign code may raise anything
        raise _Unfit(f"loading it raised {type(error).__name__} ({where_of(error)})") from None
    if not isinstance(loaded, type):
        return loaded
    try:
        made: object = loaded()
    except (Exception, SystemExit) as error:  # noqa: BLE001 - as above
        raise _Unfit(f"making it raised {type(error).__name__} ({where_of(error)})") from None
    return made


def checked(candidate: object, name: str, taken: Container[str] = ()) -> Method:
    """Return *candidate* if it is a method called *name* for this door; raises _Unfit otherwise."""
    try:
        method = candidate if isinstance(candidate, Method) else None
        traits = getattr(candidate, "traits", None)
        version = getattr(candidate, "door_version", None)
    except (Exception, SystemExit) as error:  # noqa: BLE001 - its properties are foreign code, too
        raise _Unfit(f"asking it raised {type(error).__name__} ({where_of(error)})") from None
    if method is None:
        raise _Unfit("it has not all that a method needs")
    if version != DOOR_VERSION:
        raise _Unfit(f"it is made for version {version} of the door, this is {DOOR_VERSION}")
    if not isinstance(traits, Traits):
        raise _Unfit("its traits are not Traits")
    if traits.name != name:
        raise _Unfit(f"its entry point says {name}, its traits say {traits.name}")
    if name in taken:
        raise _Unfit(f"there is already a method called {name}")
    return method
