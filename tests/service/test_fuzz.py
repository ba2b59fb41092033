"""The message handler with conversations made at random; `python -m tests.trials.fuzz_messages` has very many more of them."""

import pytest
from hypothesis import HealthCheck, given, settings

from .conversations import Conversations, conversations


@pytest.fixture(scope="module")
def have(zoo):
    with Conversations(zoo) as have:
        yield have


@settings(max_examples=50, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
@given(conversation=conversations)
def test_whatever_is_said_ends_in_a_summary_or_an_error_and_leaves_nothing(have, conversation):
    assert have(*conversation) in (1000, 4400, 4404)
