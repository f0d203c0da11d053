"""Secrets at rest, when keys change or an older version has stored something in plain text."""

from __future__ import annotations

from towpath.db.engine import Database
from towpath.secrets.store.rotation import reseal_columns, seal_urls
from towpath.secrets.vault import Vault


async def reseal_secrets(database: Database, vault: Vault) -> int:
    """Seal every stored secret anew with the newest key, so that the older keys can be dropped.

    Returns:
        How many secrets there are.

    Raises:
        UnavailableError: One was sealed with a key that the vault does not hold. What comes before it is sealed anew,
            and can be: nothing is lost while the older keys are still given.
    """
    return await reseal_columns(database, vault) + await seal_urls(database, vault, again=True)


async def seal_plain_urls(database: Database, vault: Vault) -> int:
    """Seal the URLs that an earlier version has stored in plain text. A second run changes nothing.

    Returns:
        How many are sealed by this run.
    """
    return await seal_urls(database, vault)
