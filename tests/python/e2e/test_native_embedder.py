"""The vectors leave the native embedder without a copy, and a thread can wait for them."""

from __future__ import annotations

import gc
import threading
from typing import TYPE_CHECKING

import numpy as np
import pytest
from llamad import _engine

from tests.python.support.tiny_embedders import WIDTH, write_embedder

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = pytest.mark.timeout(60)


@pytest.fixture(scope="module")
def embedder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[_engine.Embedder]:
    path = write_embedder("mean", tmp_path_factory.mktemp("embedder") / "mean.gguf")
    embedder = _engine.Embedder(_engine.EmbedderConfig(model_path=str(path), n_threads=1))
    yield embedder
    embedder.close()


def _end_of(embedder: _engine.Embedder, inputs: list[str]) -> _engine.EmbedEnd:
    embedder.submit(embedder.prepare(inputs))
    assert embedder.wait(30.0)
    [end] = embedder.drain()
    return end


def test_arrays_are_views_of_what_was_computed(embedder: _engine.Embedder) -> None:
    end = _end_of(embedder, ["the cat sat", "the dog ran", "on the mat"])
    array = np.asarray(end.values)
    assert array.dtype == np.float32
    assert array.shape == (3, WIDTH)
    assert np.allclose(np.linalg.norm(array, axis=1), 1, atol=1e-5)
    assert np.shares_memory(array, np.asarray(end.values))
    assert array.flags.writeable
    array *= 2
    assert np.allclose(np.linalg.norm(np.asarray(end.values), axis=1), 2, atol=1e-5)
    before = array.copy()
    del end  # the array keeps the vectors alive
    gc.collect()
    assert np.array_equal(array, before)


def test_an_end_without_vectors_has_none(embedder: _engine.Embedder) -> None:
    request_id = embedder.submit(embedder.prepare(["the cat"] * 2000))
    embedder.cancel(request_id)
    assert embedder.wait(30.0)
    [end] = embedder.drain()
    if end.finish_reason == "cancelled":  # else it was done before
        assert np.asarray(end.values).shape == (0, WIDTH)


def test_progress_is_seen_while_a_job_is_computed(embedder: _engine.Embedder) -> None:
    prepared = embedder.prepare(["the cat sat on the mat"] * 300)
    assert prepared.n_done == 0
    embedder.submit(prepared)
    seen = [prepared.n_done]
    while not embedder.wait(0.001):
        seen.append(prepared.n_done)
    assert seen == sorted(seen)
    assert prepared.n_done == 300
    embedder.drain()


def test_waiting_ends_with_time_or_when_woken(embedder: _engine.Embedder) -> None:
    assert not embedder.wait(0.0)
    assert not embedder.wait(float("nan"))
    timer = threading.Timer(0.05, embedder.wake)
    timer.start()
    assert embedder.wait(30.0)
    timer.join()
    assert embedder.drain() == []
    assert not embedder.wait(0.0)
