"""How long the property tests search: with E2EPROXY_LONG set, twenty times as many examples."""

from __future__ import annotations

import os

from hypothesis import settings

settings.register_profile("long", max_examples=2000)
if os.environ.get("E2EPROXY_LONG"):
    settings.load_profile("long")
