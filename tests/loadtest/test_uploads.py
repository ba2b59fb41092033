"""Files that are uploaded beside live streams."""

import io
import time

import numpy as np
import pytest
import soundfile

from loadtest.audio import make_recording
from loadtest.errors import LoadtestError
from loadtest.uploads import Uploads, make_upload

RECORDING = make_recording("tone", np.arange(320, dtype=np.int16), 16000, 20)


def sent(upload, clients=1, enough=lambda uploads: True, patience=20):
    end = time.monotonic() + patience
    with Uploads(upload, clients) as uploads:
        while not enough(uploads.use()) and time.monotonic() < end:
            time.sleep(0.01)
    return uploads.use()


def test_the_file_is_the_recording_over_and_over():
    upload = make_upload("wss://host:1/behind/ws/enhance", {"model": "crn"}, {"Authorization": "Bearer key"}, RECORDING, 0.1)
    audio, rate = soundfile.read(io.BytesIO(upload.body), dtype="int16")
    assert (upload.url, rate, len(audio)) == ("https://host:1/behind/enhance?model=crn", 16000, 1600)
    assert np.array_equal(audio, np.tile(RECORDING.samples, 5))
    assert upload.headers["Authorization"] == "Bearer key"


def test_another_address_has_no_files():
    with pytest.raises(LoadtestError, match="--url"):
        make_upload("ws://host:1/elsewhere", {}, {}, RECORDING, 0.1)


def test_a_real_server_answers_files(running):
    upload = make_upload(running.url, {"model": "crn", "variant": "pruned"}, {}, RECORDING, 1.0)
    use = sent(upload, 2, lambda use: use.files >= 3)
    assert use.files >= 3
    assert use.audio_seconds == use.files
    assert use.faults == {}


def test_answers_that_are_none_are_faults(running):
    use = sent(make_upload(running.url, {"variant": "none"}, {}, RECORDING, 0.1), 1, lambda use: use.faults)
    assert use.files == 0
    assert "upload: HTTP 404" in use.faults


def test_a_server_that_is_not_there_is_a_fault():
    use = sent(make_upload("ws://127.0.0.1:1/ws/enhance", {}, {}, RECORDING, 0.1), 1, lambda use: use.faults)
    assert (use.files, len(use.faults)) == (0, 1)
