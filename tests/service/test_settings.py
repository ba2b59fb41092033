"""Settings: where they come from, which wins, and what is said about mistakes."""

import json

import pytest

from service.settings import Settings, SettingsError, load_settings


@pytest.fixture(autouse=True)
def bare_environment(monkeypatch):
    """No setting of whoever runs the tests."""
    for name in Settings.model_fields:
        monkeypatch.delenv(f"QUIETWIRE_{name.upper()}", raising=False)


@pytest.fixture
def file(tmp_path):
    """Writes a TOML file."""

    def write(text):
        path = tmp_path / "quietwire.toml"
        path.write_text(text)
        return path

    return write


def complaint(*arguments, **flags):
    with pytest.raises(SettingsError) as caught:
        load_settings(*arguments, **flags)
    return str(caught.value).splitlines()


def test_the_defaults_are_those_of_the_protocol():
    settings = load_settings()
    assert (settings.default_model, settings.default_variant) == ("crn", "combined")
    assert (settings.host, settings.port) == ("127.0.0.1", 8000)
    assert settings.api_keys == []


def test_flags_win_over_the_environment_and_that_over_the_file(file, monkeypatch):
    path = file("port = 1\nmax_streams = 2\nuploads = 3")
    monkeypatch.setenv("QUIETWIRE_PORT", "10")
    monkeypatch.setenv("QUIETWIRE_MAX_STREAMS", "20")
    settings = load_settings(path, port=100, host=None)
    assert (settings.port, settings.max_streams, settings.uploads, settings.host) == (100, 20, 3, "127.0.0.1")


def test_a_default_in_the_environment_still_wins_over_the_file(file, monkeypatch):
    monkeypatch.setenv("QUIETWIRE_PORT", "8000")
    assert load_settings(file("port = 1")).port == 8000


def test_lists_come_from_all_three(file, monkeypatch):
    assert load_settings(file('variants = ["crn/original"]')).variants == ["crn/original"]
    monkeypatch.setenv("QUIETWIRE_ALLOWED_ORIGINS", json.dumps(["https://a", "https://b"]))
    assert load_settings().allowed_origins == ["https://a", "https://b"]
    assert load_settings(allowed_origins=["https://c"]).allowed_origins == ["https://c"]


def test_every_mistake_gets_a_line_that_names_it(file):
    lines = complaint(file('port = 70000\nuploads = 0\ndefault_model = "rnn"\nlog_level = "loud"'))
    assert len(lines) == 4
    assert [line.partition(":")[0] for line in lines] == ["port", "default_model", "uploads", "log_level"]


@pytest.mark.parametrize(
    "flags", [{"port": -1}, {"max_load": 0}, {"max_load": 1.1}, {"idle_seconds": 0}, {"drain_seconds": -1}]
)
def test_values_out_of_range_are_refused(flags):
    (line,) = complaint(**flags)
    assert line.startswith(next(iter(flags)))


def test_an_unknown_name_in_the_file_is_refused(file):
    (line,) = complaint(file("prot = 8000"))
    assert line.startswith("prot:")


def test_an_unknown_variant_is_refused_with_a_list_of_those_there_are(file):
    (line,) = complaint(file('variants = ["crn/best"]'))
    assert "'crn/best'" in line
    assert "crn/combined" in line


def test_a_mistake_in_the_environment_is_named(monkeypatch):
    monkeypatch.setenv("QUIETWIRE_PORT", "many")
    (line,) = complaint()
    assert line.startswith("port:")


def test_a_list_in_the_environment_that_is_not_json_is_named(monkeypatch):
    monkeypatch.setenv("QUIETWIRE_API_KEYS", "a,b")
    assert "api_keys" in " ".join(complaint())


def test_a_key_is_never_shown(file, monkeypatch):
    assert "hush" not in repr(load_settings(file('api_keys = ["hush"]')))
    monkeypatch.setenv("QUIETWIRE_API_KEYS", '["hush", ""]')
    (line,) = complaint()
    assert "hush" not in line
    assert "empty" in line


@pytest.mark.parametrize("content", [b"port = ", b"\xff\xfe\x00", b"port 8000"], ids=["no value", "no text", "no equals sign"])
def test_a_file_that_is_not_toml_is_named(tmp_path, content):
    path = tmp_path / "broken.toml"
    path.write_bytes(content)
    (line,) = complaint(path)
    assert str(path) in line


def test_a_file_that_is_missing_is_named(tmp_path):
    (line,) = complaint(tmp_path / "none.toml")
    assert "none.toml" in line


def test_what_belongs_together_may_come_from_different_places(monkeypatch):
    monkeypatch.setenv("QUIETWIRE_WORKERS", "4")
    monkeypatch.setenv("QUIETWIRE_MAX_STREAMS", "3")
    assert "divided" in complaint()[0]
    assert load_settings(max_streams=100).max_streams == 100
