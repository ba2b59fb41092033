"""The HTTP API keeps to its own OpenAPI description, whatever is sent: schemathesis against a running server.

Its checks: statuses, types and contents of answers are described ones, nothing that is allowed is refused as malformed and
the reverse, methods that are not described are refused, keys are asked for where the description says so, no status is 5xx.
Its plugin for pytest is switched off in pyproject.toml: it does not work with the latest pytest, and is not needed.
"""

import pytest
import schemathesis
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from schemathesis import GenerationMode

from .client import noise
from .files import write

UPLOADS = ["POST /enhance", "POST /compare"]
OTHERS = ["GET /variants", "GET /healthz", "GET /readyz", "GET /metrics"]
AUDIO = {
    "audio/wav": write(noise(0.1), 16000),
    "audio/flac": write(noise(0.1), 44100, "FLAC"),
    "audio/ogg": write(noise(0.1), 48000, "OGG", "VORBIS"),
    "audio/mpeg": write(noise(0.1), 24000, "MP3", "MPEG_LAYER_III"),
}


@pytest.fixture(scope="module")
def described(serve):
    """The description as a running server gives it; what it calls audio is filled in with recordings."""
    for kind, data in AUDIO.items():
        schemathesis.openapi.media_type(kind, st.just(data))
    schemathesis.openapi.media_type("application/octet-stream", st.sampled_from([*AUDIO.values()]), aliases=["audio/*"])
    with serve(api_keys=["the-key"], idle_seconds=2) as running:
        yield schemathesis.openapi.from_url(f"{running.http}/openapi.json")


def attempt(described, operation, mode):
    """Send a few requests; gives the statuses of the answers."""
    method, path = operation.split()
    statuses = set()
    examples = 3 if path == "/compare" else 8  # each with a reference takes a process that measures

    @given(case=described[path][method].as_strategy(generation_mode=mode))
    @settings(max_examples=examples, derandomize=True, deadline=None, database=None, suppress_health_check=list(HealthCheck))
    def check(case):
        statuses.add(case.call_and_validate(headers={"Authorization": "Bearer the-key"}, timeout=300).status_code)

    check()
    return statuses


def test_all_that_is_described_is_tried(described):
    operations = [one.ok() for one in described.get_all_operations()]
    assert {f"{one.method.upper()} {one.path}" for one in operations} == {*UPLOADS, *OTHERS}


@pytest.mark.parametrize("operation", [*UPLOADS, *OTHERS])
def test_what_is_allowed_is_answered_as_described(described, operation):
    assert 200 in attempt(described, operation, GenerationMode.POSITIVE)


@pytest.mark.parametrize("operation", UPLOADS)
def test_what_is_not_allowed_is_refused_as_described(described, operation):
    assert attempt(described, operation, GenerationMode.NEGATIVE) & {400, 415}
