"""URLs at rest: what may be a secret in one is sealed, and what may be shown stands beside it.

A sealed URL is one text, `sealed:<ciphertext>:<shown form>`, so that it stays in the column or JSON member that it had.
A text that does not begin so is the URL itself.
"""

from __future__ import annotations

from collections.abc import Callable

from towpath.core.errors import UnavailableError
from towpath.net.urls import document_shown, has_credentials, show_endpoint
from towpath.secrets.vault import Vault

MARK = "sealed:"
Show = Callable[[str], str]


def seal_document(vault: Vault, url: str) -> str:
    """Return a document's URL for the store.

    Raises:
        UnavailableError: It has a query, and no key is set to seal it with.
    """
    return _seal(vault, url, document_shown)


def seal_endpoint(vault: Vault, url: str) -> str:
    """Return a receiver's URL for the store.

    Raises:
        UnavailableError: It has a query, and no key is set to seal it with.
    """
    return _seal(vault, url, show_endpoint)


def open_url(vault: Vault, stored: str) -> str:
    """Return the URL that is called.

    Raises:
        UnavailableError: No key is set, or none that fits.
    """
    return vault.open(stored.split(":", 2)[1].encode()) if stored.startswith(MARK) else stored


def shown_url(stored: str, show: Show) -> str:
    """Return a stored URL as it is shown; needs no key.

    Args:
        stored: As the store has it.
        show: Shows a URL that is not sealed.
    """
    return stored.split(":", 2)[2] if stored.startswith(MARK) else show(stored)


def seen_url(vault: Vault, stored: str, show: Show, *, whole: bool) -> str:
    """Return a stored URL for somebody.

    Args:
        vault: Opens it.
        stored: As the store has it.
        show: Its shown form.
        whole: Whether they may see the whole; where no key fits, nobody can.
    """
    if whole:
        try:
            return open_url(vault, stored)
        except UnavailableError:
            pass
    return shown_url(stored, show)


def reseal_url(vault: Vault, stored: str, show: Show) -> str:
    """Return the same URL under the newest key; one that was kept in clear is sealed, where it needs to be.

    Raises:
        UnavailableError: No key is set, or none that fits.
    """
    if not stored.startswith(MARK):
        return _seal(vault, stored, show)
    _, token, shown = stored.split(":", 2)
    return f"{MARK}{vault.reseal(token.encode()).decode()}:{shown}"


def _seal(vault: Vault, url: str, show: Show) -> str:
    display = show(url)
    if display == url or (not vault.has_keys and not has_credentials(url)):
        return url
    return f"{MARK}{vault.seal(url).decode()}:{display}"
