"""`llamad.Engine` on a real model: generating, streaming, submitting, cancelling, closing."""

from __future__ import annotations

import re
import signal
import subprocess
import sys
import threading
from itertools import islice
from typing import TYPE_CHECKING, Any

import llamad
import pytest
from llamad import Delta, Engine, SamplingParams

from tests.python.support import tiny_tokenizer
from tests.python.support.tiny_gguf import ENDLESS_N_CTX

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = pytest.mark.timeout(180)

WAIT_S = 60.0
PROMPTS = ["hello world", "count the story", "one and two", "the system of the user"] * 5
GREEDY: dict[str, Any] = {"temperature": 0}


@pytest.fixture(scope="module")
def engine(tiny_model: Path) -> Iterator[Engine]:
    with Engine(tiny_model, n_parallel=4, n_ctx=512, n_threads=1) as engine:
        yield engine


@pytest.fixture
def endless(endless_model: Path) -> Iterator[Engine]:
    """One slot that is busy until its request is cancelled."""
    with Engine(endless_model, n_parallel=1, n_ctx=ENDLESS_N_CTX, n_threads=1, max_queue=1) as engine:
        yield engine


def test_generate_one(engine: Engine) -> None:
    result = engine.generate("hello world", max_tokens=16, **GREEDY)
    assert result.finish_reason == "length"
    assert len(result.token_ids) == result.usage.completion_tokens == 16
    assert result.text == engine.detokenize(result.token_ids)
    assert result.usage.prompt_tokens == len(engine.tokenize("hello world"))
    assert result.stop_string is None
    assert result.timings.total_s > 0


def test_generate_many_keeps_the_order(engine: Engine) -> None:
    alone = {prompt: engine.generate(prompt, max_tokens=24, **GREEDY).text for prompt in set(PROMPTS)}
    results = engine.generate(PROMPTS, max_tokens=24, **GREEDY)
    assert [result.text for result in results] == [alone[prompt] for prompt in PROMPTS]
    assert len(set(alone.values())) == len(alone)


def test_generate_nothing(engine: Engine) -> None:
    nothing: list[str] = []
    assert engine.generate(nothing) == []


def test_generate_more_prompts_than_the_queue_holds(tiny_model: Path) -> None:
    with Engine(tiny_model, n_parallel=2, n_ctx=256, n_threads=1, max_queue=1) as small:
        results = small.generate(PROMPTS, max_tokens=4, **GREEDY)
    assert [result.usage.completion_tokens for result in results] == [4] * len(PROMPTS)


def test_params_and_overrides(engine: Engine) -> None:
    params = SamplingParams(temperature=0, max_tokens=8)
    assert engine.generate("hello", params).usage.completion_tokens == 8
    assert engine.generate("hello", params, max_tokens=3).usage.completion_tokens == 3


def test_chat_applies_the_template(engine: Engine) -> None:
    result = engine.chat([{"role": "user", "content": "hello"}], max_tokens=8, **GREEDY)
    text = "<|im_start|>user\nhello<|im_end|>\n<|im_start|>assistant\n"
    assert result.usage.prompt_tokens == len(engine.tokenize(text))
    assert result.text == engine.generate(text, max_tokens=8, **GREEDY).text


def test_stream_joins_to_the_whole(engine: Engine) -> None:
    whole = engine.generate("hello world", max_tokens=32, **GREEDY)
    deltas = list(engine.stream("hello world", max_tokens=32, **GREEDY))
    assert "".join(delta.text for delta in deltas) == whole.text
    assert [token for delta in deltas for token in delta.token_ids] == whole.token_ids


def test_leaving_a_stream_frees_its_slot(endless: Engine) -> None:
    for _ in endless.stream("hello", ignore_eos=True, **GREEDY):
        break
    assert endless.generate("world", max_tokens=4, **GREEDY).usage.completion_tokens == 4


@pytest.mark.parametrize("begin", ["stream", "stream_chat"])
def test_a_stream_that_nobody_reads_frees_its_slot(endless: Engine, begin: str) -> None:
    deltas = getattr(endless, begin)("hello", ignore_eos=True, **GREEDY)
    assert endless.stats()["finished_cancelled"] == 0
    del deltas
    assert endless.generate("world", max_tokens=4, **GREEDY).usage.completion_tokens == 4
    assert endless.stats()["finished_cancelled"] == 1


@pytest.mark.parametrize("n_read", [0, 1])
def test_a_stream_can_be_closed_while_somebody_holds_it(endless: Engine, n_read: int) -> None:
    deltas: Any = endless.stream("hello", ignore_eos=True, **GREEDY)
    assert len(list(islice(deltas, n_read))) == n_read
    deltas.close()
    assert list(deltas) == []
    assert endless.generate("world", max_tokens=4, **GREEDY).usage.completion_tokens == 4
    assert endless.stats()["finished_cancelled"] == 1


def test_prompt_as_token_ids(engine: Engine) -> None:
    text = "count the story"
    from_ids = engine.submit(engine.tokenize(text), max_tokens=8, **GREEDY).result(WAIT_S)
    assert from_ids.token_ids == engine.generate(text, max_tokens=8, **GREEDY).token_ids


def test_submit_calls_back_for_every_token(engine: Engine) -> None:
    seen: list[Delta] = []
    result = engine.submit("hello world", on_token=seen.append, max_tokens=16, **GREEDY).result(WAIT_S)
    assert "".join(delta.text for delta in seen) == result.text
    assert [token for delta in seen for token in delta.token_ids] == result.token_ids


def test_a_failing_callback_fails_its_own_request(endless: Engine) -> None:
    def fail(_: Delta) -> None:
        raise RuntimeError("not today")

    generation = endless.submit("hello", on_token=fail, ignore_eos=True)
    with pytest.raises(RuntimeError, match="not today"):
        generation.result(WAIT_S)
    assert endless.generate("world", max_tokens=4).finish_reason in {"length", "stop"}


def test_result_times_out_and_cancel_ends_the_request(endless: Engine) -> None:
    generation = endless.submit("hello", ignore_eos=True)
    with pytest.raises(TimeoutError):
        generation.result(timeout=0.05)
    generation.cancel()
    generation.cancel()
    assert generation.result(WAIT_S).finish_reason == "cancelled"
    generation.cancel()


def test_cancel_while_queued(endless: Engine) -> None:
    started = threading.Event()
    running = endless.submit("hello", on_token=lambda _: started.set(), ignore_eos=True)
    assert started.wait(WAIT_S)
    queued = endless.submit("world", ignore_eos=True)
    with pytest.raises(llamad.QueueFullError):
        endless.submit("one too many")
    queued.cancel()
    assert queued.result(WAIT_S).usage.completion_tokens == 0
    assert not running.finished
    running.cancel()
    assert running.result(WAIT_S).finish_reason == "cancelled"


def test_a_repeated_prompt_is_cached(endless: Engine) -> None:
    prompt = "the story of the world and the system of the user " * 8
    first = endless.generate(prompt, max_tokens=4, **GREEDY)
    again = endless.generate(prompt, max_tokens=4, **GREEDY)
    assert first.usage.cached_tokens == 0
    assert again.usage.cached_tokens > again.usage.prompt_tokens // 2
    assert again.usage.cached_tokens < again.usage.prompt_tokens


def test_tokenize_and_detokenize(engine: Engine) -> None:
    text = "count the é漢字🙂 story"
    tokens = engine.tokenize(text)
    assert tokens[0] == tiny_tokenizer.BOS_ID
    assert engine.detokenize(tokens) == text
    assert engine.tokenize(text, add_special=False) == tokens[1:]
    assert engine.tokenize("<|im_end|>", add_special=False) == [tiny_tokenizer.END_OF_TURN_ID]
    assert len(engine.tokenize("<|im_end|>", add_special=False, parse_special=False)) > 1
    assert engine.detokenize([tiny_tokenizer.END_OF_TURN_ID], special=True) == "<|im_end|>"


def test_info_says_what_the_model_is(engine: Engine) -> None:
    info = engine.info
    assert info.architecture == "llama"
    assert info.n_vocab == len(tiny_tokenizer.vocabulary())
    assert (info.n_parallel, info.n_ctx, info.n_ctx_train) == (4, 512, 2048)
    assert info.has_chat_template
    assert re.fullmatch(r"<Engine: llama, \d+ million parameters, F32; 4 slots of 512 tokens>", repr(engine))


def test_a_prompt_that_fills_the_context_ends_with_length(engine: Engine) -> None:
    prompt = engine.tokenize("hello world " * 300)[:500]
    result = engine.submit(prompt, ignore_eos=True, **GREEDY).result(WAIT_S)
    assert result.finish_reason == "length"
    assert result.usage.prompt_tokens == 500
    assert 1 <= result.usage.completion_tokens <= 13


def test_close_is_idempotent_and_final(tiny_model: Path) -> None:
    engine = Engine(tiny_model, n_parallel=1, n_ctx=256, n_threads=1)
    engine.close()
    engine.close()
    with pytest.raises(llamad.EngineClosedError):
        engine.generate("hello")
    with pytest.raises(llamad.EngineClosedError):
        engine.submit("hello")
    with pytest.raises(llamad.EngineClosedError):
        engine.tokenize("hello")


def test_close_ends_what_is_running(endless: Engine) -> None:
    started = threading.Event()
    running = endless.submit("hello", on_token=lambda _: started.set(), ignore_eos=True)
    assert started.wait(WAIT_S)
    queued = endless.submit("world", ignore_eos=True)
    endless.close()
    for generation in (running, queued):
        with pytest.raises(llamad.EngineClosedError):
            generation.result(WAIT_S)


def test_threads_share_an_engine(engine: Engine) -> None:
    alone = {prompt: engine.generate(prompt, max_tokens=16, **GREEDY).text for prompt in set(PROMPTS)}
    texts: dict[int, str] = {}

    def work(index: int) -> None:
        texts[index] = engine.generate(PROMPTS[index], max_tokens=16, **GREEDY).text

    threads = [threading.Thread(target=work, args=(index,)) for index in range(len(PROMPTS))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(WAIT_S)
    assert [texts[index] for index in range(len(PROMPTS))] == [alone[prompt] for prompt in PROMPTS]


_INTERRUPTED = """
import signal
import sys
import llamad
# A shell starts background jobs with SIGINT ignored, and Python leaves it so.
signal.signal(signal.SIGINT, signal.default_int_handler)
with llamad.Engine(sys.argv[1], n_parallel=1, n_ctx=int(sys.argv[2]), n_threads=1) as engine:
    engine.submit("hello", max_tokens=1).result()
    try:
        print("generating", flush=True)
        engine.generate(["hello", "world"], ignore_eos=True)
    except KeyboardInterrupt:
        print("interrupted", len(engine.generate("hello", max_tokens=4).token_ids) > 0, flush=True)
"""


def test_ctrl_c_cancels_generate_and_leaves_the_engine_usable(endless_model: Path) -> None:
    command = [sys.executable, "-c", _INTERRUPTED, str(endless_model), str(ENDLESS_N_CTX)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            assert process.stdout.readline() == "generating\n"
            process.send_signal(signal.SIGINT)
            output, _ = process.communicate(timeout=WAIT_S)
        finally:
            process.kill()
    assert output == "interrupted True\n"
    assert process.returncode == 0
