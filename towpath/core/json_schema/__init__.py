"""JSON Schemas that come from outside: what is taken of them, and data checked by them with bounded work.

All that has a client's or a model's schema goes through here: `check_schema` where a schema is given, `errors_of`
where data meet one (`docs/decisions/0017-bounded-schemas.md`).
"""

from towpath.core.json_schema.accepting import check_references, check_schema
from towpath.core.json_schema.checking import UncheckableError, errors_of

__all__ = ["UncheckableError", "check_references", "check_schema", "errors_of"]
