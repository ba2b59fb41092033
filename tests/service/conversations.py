"""Conversations made at random, and a session that has them without a network in between: thousands a minute."""

from __future__ import annotations

import asyncio
import json
import math
import time
from types import SimpleNamespace
from typing import Any

import numpy as np
from hypothesis import strategies as st

from models.zoo import Zoo
from service.admission.quotas import Lease
from service.errors import ServiceError
from service.live.parameters import parse_query
from service.live.session import Session
from service.live.transport import EXTENSION, Message, Transport
from service.runtime import Runtime
from service.settings import Settings

END = '{"type": "end"}'
BYTES = {"pcm_s16le": 2, "pcm_f32le": 4}

_scalars = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20)
_json = st.recursive(
    _scalars, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4)
)
_models, _variants = st.sampled_from(["crn", "fcn", "rnn"]), st.sampled_from(["original", "pruned", "combined"])
_limits = st.floats() | st.integers(-5, 105)
_configure = st.fixed_dictionaries(
    {"type": st.just("configure")},
    optional={"model": _models | _json, "variant": _variants | _json, "attenuation_limit_db": _limits | _json, "x": _json},
)
_family, _limit = st.sampled_from(["crn", "fcn"]), st.floats(0, 100)
_valid = st.fixed_dictionaries(
    {"type": st.just("configure")},
    optional={"model": _family, "variant": st.just("original"), "attenuation_limit_db": _limit},
)
_types = st.sampled_from(["ping", "end", "configure", "stop", ""])
_typed = st.fixed_dictionaries({"type": _types | _json}, optional={"x": _json})
_text = st.one_of(
    st.sampled_from(['{"type": "ping"}', '{"type": "ping"}', END]),
    (_valid | _configure | _typed | _json).map(json.dumps),
    st.text(max_size=50),
    st.integers(1, 3000).map(lambda depth: '{"type":' * depth),
    _valid.map(json.dumps).flatmap(lambda text: st.integers(0, len(text)).map(lambda end: text[:end])),
)
_samples = st.integers(0, 400).flatmap(lambda frames: st.binary(min_size=8 * frames, max_size=8 * frames))
_nasty = st.lists(st.floats(width=32), max_size=50).map(
    lambda values: np.repeat(np.float32(values), 2).tobytes()
)  # whole samples in every encoding
_binary = st.one_of(_samples, _samples, _nasty, st.binary(max_size=64), st.sampled_from([b"", b"RIFF", b"OggS\0\0\0\0"]))
_rates, _encodings = ["8000", "16000", "44100", "48000"], ["pcm_s16le", "pcm_f32le"]
_good_query = st.fixed_dictionaries(
    {},
    optional={
        "sample_rate": st.sampled_from(_rates),
        "encoding": st.sampled_from(_encodings),
        "channels": st.sampled_from(["1", "2"]),
        "attenuation_limit_db": st.sampled_from(["0", "12", "100"]),
        "stats": st.sampled_from(["chunk", "second", "off"]),
    },
)
_bad_query = st.dictionaries(
    st.sampled_from(["sample_rate", "encoding", "channels", "attenuation_limit_db", "stats", "model", "variant", "x"]),
    st.text(max_size=8) | st.integers().map(str) | st.floats().map(str),
)
_query = st.integers(0, 9).flatmap(lambda chance: _good_query if chance else _bad_query)
_well_meant = st.one_of(_samples, _samples, _nasty, _valid.map(json.dumps), st.sampled_from([b"", '{"type": "ping"}']))
_message = st.integers(0, 9).flatmap(lambda chance: _well_meant if chance else st.one_of(_binary, _text))
conversations = st.tuples(_query, st.lists(_message, max_size=12))


class Wire(Transport):
    """What a session knows of its connection: it notes what is sent."""

    def __init__(self) -> None:  # nothing of uvicorn's
        self.sent: list[Message] = []
        self.writable, self.read_paused = asyncio.Event(), False
        self.writable.set()

    def listen(self, listener: Any) -> None:
        self.listener = listener

    def limit_unread(self, bytes_a_second: int) -> None:
        pass  # there is no socket

    def hold(self) -> None:
        self.read_paused = True

    def resume(self) -> None:
        self.read_paused = False

    def write_messages(self, messages: Any) -> None:
        self.sent += messages


async def converse(runtime: Runtime, query: dict[str, str], messages: list[Message]) -> int:
    """Have a conversation, check what came out of it, and give the close code.

    Raises:
        AssertionError: A promise was broken.
    """
    wire = Wire()
    socket = SimpleNamespace(scope={"extensions": {EXTENSION: wire}}, receive=asyncio.Event().wait)
    try:
        parameters = parse_query(query)
        session = Session(socket, runtime, parameters, Lease([], time.monotonic))
        task = asyncio.create_task(session.run())
        await asyncio.sleep(0)
        for message in [*messages, END]:
            while wire.read_paused and not task.done():
                await asyncio.sleep(0.001)
            wire.listener(message)
        await asyncio.wait_for(task, 20)
    except ServiceError as error:
        assert error.code in ("bad_request", "unknown_model"), error
        assert error.message.endswith(".")
        assert len(error.message) < 1000
        assert runtime.engine.lanes == 0
        return error.close_code
    assert runtime.engine.lanes == 0
    texts = [json.loads(message) for message in wire.sent if isinstance(message, str)]
    audio = b"".join(message for message in wire.sent if isinstance(message, bytes))
    assert (texts[0]["type"], texts[-1]["type"]) == ("ready", "summary")
    frame = BYTES[parameters.encoding] * parameters.channels
    assert texts[-1]["samples_in"] * frame == texts[-1]["samples_out"] * frame == len(audio)
    assert texts[-1]["resets"] == 0
    assert parameters.encoding == "pcm_s16le" or math.isfinite(np.frombuffer(audio, "<f4").astype(float).sum())
    return 1000


class Conversations:
    """A runtime for many of them, in an event loop of its own: ``with Conversations(zoo) as have: have(query, messages)``."""

    def __init__(self, zoo: Zoo) -> None:
        self._zoo, self._runner = zoo, asyncio.Runner()

    def __enter__(self) -> Conversations:
        async def start() -> Runtime:
            runtime = Runtime(Settings(max_load=1.0).model_copy(update={"max_load": 1000}), self._zoo)
            runtime.start()
            return runtime

        self.runtime = self._runner.run(start())
        return self

    def __call__(self, query: dict[str, str], messages: list[Message]) -> int:
        return self._runner.run(converse(self.runtime, query, messages))

    def __exit__(self, *_: object) -> None:
        self.runtime.stop()
        self._runner.close()
