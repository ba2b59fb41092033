"""API keys: hashed, several, from a file that may change, and nowhere to be read."""

import asyncio
import hashlib
import logging

import httpx
import pytest

from service.admission.keys import KeyFileError, KeyRing, parse_key, read_keys
from service.settings import SettingsError, load_settings

from .client import END, noise, stream, talk, until

SECRET = "hush-9f3c"
HASH = "sha256:" + hashlib.sha256(SECRET.encode()).hexdigest()


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "keys.txt"
    path.write_text(f"# who has them is written elsewhere\n\n{HASH}\nanother\n")
    return path


@pytest.fixture
def at_once(monkeypatch):
    monkeypatch.setattr("service.admission.keys.CHECK_SECONDS", 0.0)


@pytest.mark.parametrize("written", [SECRET, HASH, "sha256:" + HASH.removeprefix("sha256:").upper()])
def test_a_key_opens_however_it_is_written(written):
    ring = KeyRing([written], None)
    assert ring.match(SECRET) is not None
    assert [ring.match(wrong) for wrong in ("", SECRET + "x", HASH, HASH.removeprefix("sha256:"), "\ud800")] == [None] * 5


@pytest.mark.parametrize("written", ["", "sha256:abc", "sha256:" + 64 * "g", HASH + "0"])
def test_what_is_no_key_is_refused_without_being_shown(written, tmp_path):
    with pytest.raises(ValueError, match=r"empty|64 hexadecimal") as caught:
        parse_key(written)
    assert not written or written not in str(caught.value)
    if written:
        (tmp_path / "keys").write_text(f"good\n {written} \n")
        with pytest.raises(KeyFileError, match="line 2") as caught:
            read_keys(tmp_path / "keys")
        assert written not in str(caught.value)
    with pytest.raises(SettingsError, match="api_keys"):
        load_settings(api_keys=[written])


def test_a_file_is_re_read_when_it_changes(file, at_once, caplog):
    ring = KeyRing(["fixed"], file)
    assert all(ring.match(key) for key in (SECRET, "another", "fixed"))
    with caplog.at_level("DEBUG"):
        file.write_text("next\n")
        assert [bool(ring.match(key)) for key in ("next", "another", "fixed", SECRET)] == [True, False, True, False]
        replacement = file.with_name("new")
        replacement.write_text("last\n")
        replacement.rename(file)  # as editors and Kubernetes do
        assert [bool(ring.match(key)) for key in ("last", "next", "fixed")] == [True, False, True]
    assert "2 keys are in force" in caplog.text
    assert not any(key in caplog.text for key in ("next", "last", SECRET))


def test_a_file_that_is_broken_or_gone_leaves_its_keys_in_force_and_is_complained_of_once(file, at_once, caplog):
    ring = KeyRing([], file)
    with caplog.at_level("ERROR"):
        file.write_text("sha256:oops\n")
        assert [bool(ring.match("another")) for _ in range(3)] == [True] * 3
        file.unlink()
        assert [bool(ring.match("another")) for _ in range(3)] == [True] * 3
    assert len(caplog.records) == 2
    assert "oops" not in caplog.text
    file.write_text("")
    assert ring.match("another") is None
    assert ring.asked_for  # and nobody is let in


def test_a_file_is_looked_at_once_a_second_at_most(file, monkeypatch):
    ring = KeyRing([], file)
    file.unlink()
    monkeypatch.setattr(type(file), "stat", lambda self: 1 / 0)
    for _ in range(100):
        assert ring.match("another")


def test_settings_name_a_file_that_cannot_be_used(tmp_path):
    with pytest.raises(SettingsError, match=r"api_keys_file: .*none\.txt cannot be read"):
        load_settings(api_keys_file=tmp_path / "none.txt")


def test_keys_are_changed_while_the_server_runs_and_streams_go_on(serve, file, at_once, caplog):
    async def rotate(running):
        async def audio():
            yield noise(0.1)[0].astype("<f4").tobytes()
            file.write_text("fresh-key\n")
            await until(lambda: httpx.get(f"{running.http}/variants?token=fresh-key").status_code == 200)
            yield END

        old = await talk(running.url, audio(), token=SECRET, encoding="pcm_f32le")
        late = await talk(running.url, [END], token=SECRET)
        new = await stream(running.url, noise(0.1), headers={"Authorization": "Bearer fresh-key"})
        return old, late, new

    with caplog.at_level(logging.DEBUG), serve(api_keys_file=file) as running:
        old, late, new = asyncio.run(rotate(running))
    assert old.summary["samples_out"] == 1600
    assert late.close_code == 4401
    assert new.summary["samples_out"] == 1600
    own = [
        record.getMessage() for record in caplog.records if not record.name.startswith(("httpx", "httpcore", "websockets.c"))
    ]
    assert not any(key in line for line in own for key in (SECRET, "fresh-key"))
