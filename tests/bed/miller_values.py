"""The recorded values of miller-e2e as the objects that the code uses; keys for tests, made once."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path

from joserfc.jwk import RSAKey

from e2eproxy.methods.miller import wire
from e2eproxy.methods.miller.keys import PrivateKey

VECTORS = Path(__file__).resolve().parents[1] / "vectors" / "miller"
DRAFT = json.loads((VECTORS / "draft-examples.json").read_text("utf-8"))
MAPPING = {
    one["name"]: one for one in json.loads((VECTORS / "rfc7516-mapping.json").read_text("utf-8"))["vectors"]
}
SID = "835c92a8-94cd-4e96-b3f3-b2e75a438f92"


@cache
def person(name: str) -> PrivateKey:
    """The published key of romeo or juliet."""
    return PrivateKey.of(RSAKey.import_key(DRAFT["jwk"][name]).raw_value)


def encrypted(value: dict[str, str]) -> wire.Encrypted:
    """A recorded value with five parts."""
    return wire.Encrypted(
        sid=value.get("sid", SID),
        header=value["encheader"],
        key=value["cmk"],
        iv=value["iv"],
        data=value["data"],
        tag=value["mac"],
    )


def signed(value: dict[str, str]) -> wire.Signed:
    """A recorded value with three parts."""
    return wire.Signed(header=value["sigheader"], data=value["data"], signature=value["sig"])
