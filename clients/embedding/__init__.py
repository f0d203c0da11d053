"""Embedders: the local model, and any endpoint that speaks OpenAI's embeddings API.

`make_embedder` chooses by model key: `local::all-minilm-l6-v2` or `openai::<model>`.
"""

from clients.embedding.base import Embedded, Embedder
from clients.embedding.choice import make_embedder
from clients.embedding.splitting import Splitter

__all__ = ["Embedded", "Embedder", "Splitter", "make_embedder"]
