"""The embedded stack: real Postgres, Temporal, Chroma, façade and workers as supervised processes.

Knows processes, not features. Start with `stack.py`; `process.py` is how one child lives and dies.
"""

from towpath.runtime.embedded.home import StackError
from towpath.runtime.embedded.stack import EmbeddedStack

__all__ = ["EmbeddedStack", "StackError"]
