"""The use cases of accounts, for API, console and command line alike.

`callers` tells who sends a request, `sign_ins` opens and ends sessions, `passwords` hashes and verifies,
`registration` makes users, `users` and `keys` are what owners do, `operator` what the command line does with the
database itself. Who may do what stands in `accounts.domain.policy`.
"""

from __future__ import annotations

from dataclasses import dataclass

from towpath.accounts.key_cache import KeyCache
from towpath.accounts.key_uses import KeyUses
from towpath.accounts.rate_limiter import Limiter
from towpath.db.engine import Database


@dataclass(frozen=True, slots=True)
class Accounts:
    """The parts that the use cases of accounts need.

    Attributes:
        db: The database; inside `respond_once` the transaction of the request.
        limiter: Counts attempts.
        keys: Keys that were valid a moment ago.
        key_uses: Counts the calls with each key.
        secret: Signs the tokens of sessions.
        open_registration: Whether anyone may register an organization.
    """

    db: Database
    limiter: Limiter
    keys: KeyCache
    key_uses: KeyUses
    secret: str
    open_registration: bool
