"""The command: its files, its exit codes, and one sentence for every mistake."""

import builtins
import importlib.util
import json
import os

import pytest

from loadtest import campaign
from loadtest.cli import BAR_MISSED, OWN_FAULT

from ..service.test_cli import assert_one_sentence
from .impostor import impostor

LOOSE = ("--p99-ms", 1e6, "--late-ms", 1e6, "--generator-ms", 1e6)
SHORT = ("--seconds", 0.6, "--ramp", 0.05)


@pytest.fixture(autouse=True)
def no_pause(monkeypatch):
    monkeypatch.setattr(campaign, "PAUSE_SECONDS", 0.05)


def test_a_test_writes_figures_table_and_plot(quietwire, running, tmp_path):
    options = ("--streams", "1,3", "--server-pid", os.getpid(), "--out", tmp_path / "new" / "out")
    code, out, said = quietwire("loadtest", "--url", running.url, *SHORT, *LOOSE, *options, "--processes", 2)
    assert code == 0, said
    data = json.loads((tmp_path / "new" / "out" / "loadtest.json").read_text())
    assert [step["streams"] for step in data["steps"]] == [1, 3]
    assert all(step["passed"] and step["ended"] == step["streams"] for step in data["steps"])
    assert data["server"]["model"] == "crn"
    assert data["steps"][0]["server"]["rss_mb"] > 1
    table = (tmp_path / "new" / "out" / "loadtest.md").read_text()
    assert table.strip() == out.strip()
    assert [line.split("|")[1].strip() for line in table.splitlines()[:4]] == ["streams", "---", "1", "3"]
    assert (tmp_path / "new" / "out" / "loadtest.png").read_bytes().startswith(b"\x89PNG")
    assert "3 streams: p99" in said


def test_without_matplotlib_a_line_says_so(quietwire, running, tmp_path, monkeypatch):
    real = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name, *more: None if name == "matplotlib" else real(name, *more))
    code, _, said = quietwire("loadtest", "--url", running.url, "--streams", 1, *SHORT, *LOOSE, "--out", tmp_path)
    assert code == 0
    assert "no plot: matplotlib is not installed" in said
    assert sorted(path.name for path in tmp_path.iterdir()) == ["loadtest.json", "loadtest.md"]


def test_a_bar_that_is_missed_is_an_exit_code(quietwire, running):
    code, out, _ = quietwire("loadtest", "--url", running.url, "--streams", 1, *SHORT, *LOOSE, "--p99-ms", 0)
    assert code == BAR_MISSED == 3
    assert "is above 0 ms" in out


def test_altered_audio_is_an_exit_code(quietwire, tmp_path):
    with impostor("alter") as (url, _):
        options = ("--url", url, "--streams", 1, "--seconds", 0.3, "--ramp", 0, "--audio", one_file(tmp_path))
        code, out, said = quietwire("loadtest", *options, *LOOSE)
    assert code == BAR_MISSED
    assert "1 streams whose audio is not the single stream's" in out
    assert "not what a single stream receives" in said


def one_file(folder):
    from loadtest.audio import SHIPPED

    path = folder / "a.flac"
    path.write_bytes((SHIPPED / "english.flac").read_bytes())
    return path


def test_a_generator_that_is_late_is_an_exit_code(quietwire, running):
    code, out, _ = quietwire("loadtest", "--url", running.url, "--streams", 1, *SHORT, *LOOSE, "--generator-ms", 0)
    assert code == OWN_FAULT == 4
    assert "the generator's own fault" in out


@pytest.mark.parametrize(
    ("ceiling", "at_least", "found", "steps", "expected"),
    [(4, 4, 3, [2, 3, 4], BAR_MISSED), (2, 2, 2, [2], 0)],
)
def test_the_maximum_is_found(quietwire, serve, tmp_path, ceiling, at_least, found, steps, expected):
    with serve(max_streams=3) as server:
        options = ("--find-maximum", "--max-streams", ceiling, "--at-least", at_least, "--out", tmp_path)
        code, out, _ = quietwire("loadtest", "--url", server.url, *SHORT, *LOOSE, *options)
    assert code == expected
    assert f"Maximum: {found} streams." in out
    data = json.loads((tmp_path / "loadtest.json").read_text())
    assert data["maximum"] == found
    assert [step["streams"] for step in data["steps"]] == steps
    assert [step["refused"] for step in data["steps"]] == [max(0, streams - 3) for streams in steps]


def test_a_key_is_sent_and_not_written_down(quietwire, serve, tmp_path):
    with serve(api_keys=["the key"]) as server:
        options = ("loadtest", "--url", server.url, "--streams", 1, *SHORT, *LOOSE)
        assert "API key" in assert_one_sentence(quietwire(*options))
        code, _, _ = quietwire(*options, "--token", "the key", "--out", tmp_path)
    assert code == 0
    assert "the key" not in (tmp_path / "loadtest.json").read_text()


@pytest.mark.parametrize(
    ("options", "word"),
    [
        (("--streams", "1,x"), "--streams"),
        (("--streams", "0"), "--streams"),
        (("--url", "ws://127.0.0.1:9/ws/enhance"), "quietwire serve"),
        (("--url", "nonsense"), "no connection"),
        (("--audio", "missing.wav"), "missing.wav"),
        (("--start-server", "--url", "ws://127.0.0.1"), "--start-server"),
        (("--server-pid", 2**30), "--server-pid"),
        (("--chunk-ms", 15, "--sample-rate", 22050), "whole number"),
        (("--burst-chunks", 100, "--chunk-ms", 1000), "--burst-chunks"),
        (("--find-maximum", "--max-streams", 5, "--at-least", 6), "--at-least"),
        (("--out", __file__), "--out"),
    ],
)
def test_a_mistake_is_one_sentence(quietwire, options, word):
    assert word in assert_one_sentence(quietwire("loadtest", *options))


def test_without_its_extra_the_command_names_it(quietwire, monkeypatch):
    real = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name, *more: None if name == "picows" else real(name, *more))
    assert "quietwire[loadtest]" in assert_one_sentence(quietwire("loadtest"))


def test_help_works_without_the_extra(quietwire, monkeypatch):
    real = builtins.__import__

    def refuse(name, *more):
        if name.partition(".")[0] in {"picows", "psutil", "matplotlib"}:
            raise ImportError(name)
        return real(name, *more)

    monkeypatch.setattr(builtins, "__import__", refuse)
    code, out, _ = quietwire("loadtest", "--help")
    assert code == 0
    assert "--find-maximum" in out


def test_a_server_is_started_pinned_and_stopped(quietwire, zoo_folder, tmp_path):
    options = ("--start-server", "--server-args", f"--zoo '{zoo_folder}'", "--streams", 1, "--out", tmp_path)
    before = os.sched_getaffinity(0)
    code, _, said = quietwire("loadtest", *options, *SHORT, *LOOSE)
    assert code == 0, said
    assert os.sched_getaffinity(0) == before
    assert json.loads((tmp_path / "loadtest.json").read_text())["steps"][0]["server"]["cpu"] >= 0


def test_a_server_that_does_not_start_is_one_sentence(quietwire, tmp_path):
    options = ("--start-server", "--server-args", f"--zoo '{tmp_path}'")
    assert "did not start" in assert_one_sentence(quietwire("loadtest", *options))
