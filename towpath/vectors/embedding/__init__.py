"""Embedders: the local model, and any endpoint that speaks OpenAI's embeddings API.

`make_embedder` chooses by model key: `local::all-minilm-l6-v2` or `openai::<model>`.
"""

from towpath.vectors.embedding.base import Embedded, Embedder
from towpath.vectors.embedding.choice import make_embedder
from towpath.vectors.embedding.splitting import Splitter

__all__ = ["Embedded", "Embedder", "Splitter", "make_embedder"]
