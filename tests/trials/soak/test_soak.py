"""A minute of audio through the soak: `python -m tests.trials.soak` has a day of it."""

import asyncio
import json

from models.zoo import load_variant

from ...service.process import started
from .__main__ import Soak
from .plot import draw


def test_a_minute_of_it_finds_no_drift_and_draws_a_picture(zoo_folder, tmp_path):
    variant = load_variant(zoo_folder / "crn/original.onnx")
    settings = {"variants": [variant.name], "max_ahead_seconds": 1_000_000}
    with started(tmp_path, "--zoo", zoo_folder, "--log-level", "warning", **settings) as served:
        soak = Soak(served, variant, 1 / 60, 12.0, tmp_path / "soak.json")
        record = asyncio.run(soak.run(4))
        assert served.log == ""
    assert record.faults == []
    assert len([probe for probe in record.probes if probe.stream_hours]) == 2
    assert max(probe.deviation for probe in record.probes) < 1e-3
    assert record.samples[-1].audio_hours >= 1 / 60
    record.save(tmp_path / "soak.json")
    assert json.loads((tmp_path / "soak.json").read_text())["setup"]["streams"] == 4
    draw(record, tmp_path / "soak.png")
    assert (tmp_path / "soak.png").read_bytes().startswith(b"\x89PNG")
