"""Damaged files over a real server; `python -m tests.trials.fuzz_files` has very many more of them."""

import itertools

import httpx

from .files import read
from .mutations import CODES, mutated, whole_files
from .test_file_errors import assert_refused

INPUTS = 120
IDENTITY = {"model": "fcn", "variant": "pruned"}


def test_every_kind_of_file_is_enhanced_while_it_is_whole(running):
    with httpx.Client(base_url=running.http, timeout=300) as web:
        for data in whole_files():
            answer = web.post("/enhance", content=data, headers={"Content-Type": "audio/wav"}, params=IDENTITY)
            assert answer.status_code == 200, answer.text


def test_a_damaged_file_is_refused_in_a_sentence_or_enhanced(running):
    with httpx.Client(base_url=running.http, timeout=300) as web:
        for data in itertools.islice(mutated(whole_files(), seed=0), INPUTS):
            answer = web.post("/enhance", content=data, headers={"Content-Type": "audio/wav"}, params=IDENTITY)
            if answer.status_code == 200:
                assert read(answer.content)[0].size > 0
            else:
                code = answer.json()["code"]
                assert code in CODES
                assert_refused(answer, {"unsupported_media": 415, "unprocessable": 422, "too_large": 413}[code], code)
        assert web.get("/readyz").status_code == 200
