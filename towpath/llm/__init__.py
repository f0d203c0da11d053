"""Language models of every provider behind one call: `LanguageModels.ask` gives an answer in the asked form.

`Catalog` knows which models there are and what they cost, without calling anyone.
"""

from towpath.llm.catalog import Catalog
from towpath.llm.models import LanguageModels

__all__ = ["Catalog", "LanguageModels"]
