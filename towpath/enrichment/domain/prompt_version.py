"""Which prompts a record was made with: a short digest that changes whenever their wording does."""

from __future__ import annotations

import hashlib
from functools import cache

from towpath.enrichment.domain.content import Content
from towpath.enrichment.domain.prompts import enrichment_prompt

_CONTENT: Content = {
    "root": {
        "name": "Lamp",
        "type": "object",
        "description": "A lamp",
        "properties": {
            "name": {"type": "string", "identifying": True},
            "motto": {"type": "string", "multilingual": True, "expertise": "brand", "description": "What it says"},
            "year": {"type": "integer", "nullable": True, "expertise": "history"},
        },
    },
    "expertise_domains": {"brand": {"name": "Brand", "description": "How it is sold"}, "history": {"name": "History"}},
    "$defs": {},
    "$enums": {},
}


@cache
def prompt_version() -> str:
    """Return the version of the prompts of this code."""
    entity = {"name": "Vega", "watts": 7}
    whole = enrichment_prompt(_CONTENT, entity, languages=["en", "fr"], sources=["a source"], note="a note")
    part = enrichment_prompt(_CONTENT, entity, domain="brand", keys=["motto"], languages=["en", "fr"])
    text = "\n".join(prompt.model_dump_json() for prompt in (whole, part))
    return hashlib.sha256(text.encode()).hexdigest()[:8]
