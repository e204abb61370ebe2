"""The tables as they are now; how older stores become like this is in ``migrations``.

Rows that are about a contact have a digest as key (``vault.row_id``): two JIDs may have 3071 bytes each, which is
more than PostgreSQL has room for in an index. Columns named in ``SEALED`` hold what ``Vault.seal`` gave.
"""

from __future__ import annotations

from typing import Final

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Double,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    Table,
    Text,
)

VERSION: Final = 3
"""The number of the last migration."""

metadata = MetaData()
_NUMBER: Final = BigInteger().with_variant(Integer(), "sqlite")


def _account() -> Column[str]:
    owner = ForeignKey("accounts.account", ondelete="CASCADE")
    return Column("account", Text, owner, nullable=False)


def _id() -> Column[bytes]:
    return Column("id", LargeBinary, primary_key=True)


meta = Table(
    "meta",
    metadata,
    Column("name", Text, primary_key=True),
    Column("value", Text, nullable=False),
)

accounts = Table(
    "accounts",
    metadata,
    Column("account", Text, primary_key=True),
    Column("wrapped_key", LargeBinary, nullable=False),
    Column("since", Double, nullable=False),
)

identities = Table(
    "identities",
    metadata,
    _id(),
    _account(),
    Column("method", Text, nullable=False),
    Column("name", Text, nullable=False),
    Column("public", LargeBinary, nullable=False),
    Column("secret", LargeBinary, nullable=False),
    Column("created_at", Double, nullable=False),
    Index("identities_account", "account"),
)

peer_keys = Table(
    "peer_keys",
    metadata,
    _id(),
    _account(),
    Column("contact", Text, nullable=False),
    Column("contact_id", LargeBinary, nullable=False),
    Column("method", Text, nullable=False),
    Column("fingerprint", Text, nullable=False),
    Column("public", LargeBinary, nullable=False),
    Column("first_seen", Double, nullable=False),
    Column("last_seen", Double, nullable=False),
    Column("decision", Text, nullable=False),
    Column("how_verified", Text),
    Column("verified_at", Double),
    Index("peer_keys_account", "account"),
    Index("peer_keys_contact", "contact_id"),
)

method_records = Table(
    "method_records",
    metadata,
    _id(),
    _account(),
    Column("method", Text, nullable=False),
    Column("key", Text, nullable=False),
    Column("data", LargeBinary, nullable=False),
    Index("method_records_account", "account"),
)

policy = Table(
    "policy",
    metadata,
    _id(),
    Column("account", Text, nullable=False),  # "" for all, so it refers to no row
    Column("scope", Text, nullable=False),
    Column("key", Text, nullable=False),
    Column("setting", Text, nullable=False),
    Column("value", Text, nullable=False),
    Index("policy_account", "account"),
)

sticky = Table(
    "sticky",
    metadata,
    _id(),
    _account(),
    Column("contact", Text, nullable=False),
    Column("since", Double, nullable=False),
    Column("why", Text, nullable=False),
    Index("sticky_account", "account"),
)

sent_ids = Table(
    "sent_ids",
    metadata,
    _id(),
    _account(),
    Column("outer_id", Text, nullable=False),
    Column("client_id", Text),
    Column("recipient", Text, nullable=False),
    Column("same", LargeBinary, nullable=False),  # keyed digest of what makes two stanzas the same
    Column("sent_at", Double, nullable=False),
    Column("acknowledged", Boolean, nullable=False),
    Column("original", LargeBinary),
    Column("outer_stanza", LargeBinary),
    Index("sent_ids_account", "account"),
    Index("sent_ids_same", "same"),
    Index("sent_ids_sent_at", "sent_at"),
)

held = Table(
    "held",
    metadata,
    Column("number", _NUMBER, primary_key=True),
    Column("id", LargeBinary, nullable=False, unique=True),
    _account(),
    Column("contact", Text, nullable=False),
    Column("reference", Text, nullable=False),
    Column("stanza", LargeBinary, nullable=False),
    Column("held_at", Double, nullable=False),
    Index("held_account", "account"),
)

originals = Table(
    "originals",
    metadata,
    _id(),
    _account(),
    Column("contact", Text, nullable=False),
    Column("reference", Text, nullable=False),
    Column("stanza", LargeBinary, nullable=False),
    Column("expires_at", Double, nullable=False),
    Index("originals_account", "account"),
    Index("originals_expires_at", "expires_at"),
)

reports = Table(
    "reports",
    metadata,
    Column("number", _NUMBER, primary_key=True),
    Column("reference", Text, nullable=False),
    _account(),
    Column("text", LargeBinary, nullable=False),
    Column("at", Double, nullable=False),
    Index("reports_account", "account"),
)

rosters = Table(
    "rosters",
    metadata,
    _id(),
    _account(),
    Column("data", LargeBinary, nullable=False),
    Index("rosters_account", "account"),
)

capabilities = Table(
    "capabilities",
    metadata,
    _id(),
    _account(),
    Column("data", LargeBinary, nullable=False),
    Column("used_at", Double, nullable=False),
    Index("capabilities_account", "account"),
    Index("capabilities_used_at", "used_at"),
)

SEALED: Final = (
    (accounts, "wrapped_key"),
    (identities, "secret"),
    (method_records, "data"),
    (sent_ids, "original"),
    (sent_ids, "outer_stanza"),
    (held, "stanza"),
    (originals, "stanza"),
    (reports, "text"),
    (rosters, "data"),
    (capabilities, "data"),
)
"""The columns that only ever hold sealed values."""

OF_ACCOUNT: Final = (
    identities,
    peer_keys,
    method_records,
    policy,
    sticky,
    sent_ids,
    held,
    originals,
    reports,
    rosters,
    capabilities,
)
"""The tables whose rows belong to an account."""
