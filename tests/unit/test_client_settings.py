"""What a client that insists on TLS is told is what docs/clients.md says."""

from __future__ import annotations

import re
from pathlib import Path

from e2eproxy.proxy.client_settings import DIRECT, GAVE_UP, NO_TLS, STARTTLS

PAGE = (Path(__file__).resolve().parents[2] / "docs" / "clients.md").read_text("utf-8")


def test_each_setting_is_told_as_the_page_says_it():
    words = re.sub(r"[^a-z0-9=./-]+", " ", PAGE.lower())
    for client, setting in NO_TLS.items():
        for part in re.split(r", no |, | and |^no |: ", f"{client}, {setting.lower()}"):
            assert re.sub(r"[^a-z0-9=./-]+", " ", part.lower()).strip() in words, part


def test_every_text_names_every_setting():
    for text in (DIRECT, STARTTLS, GAVE_UP):
        assert all(f"{client}: {setting}" in text for client, setting in NO_TLS.items())
