"""Documents, read in child processes that are bounded in time and memory, so that a poisoned file harms nobody.

`reader.py` is what others use. `child.py` is the other side: it alone, and what it imports, touches a file's bytes.
"""

from towpath.documents.reader import DocumentReader

__all__ = ["DocumentReader"]
