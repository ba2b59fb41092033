"""The page's files over HTTP: types, security policy, caching, and who may have them."""

import re

import httpx
import pytest

from service.http.pages import WEB, content_security_policy

from .browser import served


def test_the_page_and_all_that_it_names_are_served(address):
    page = httpx.get(address)
    assert page.headers["content-type"] == "text/html; charset=utf-8"
    for name in re.findall(r'(?:href|src)="(web/[^"]+)"', page.text):
        assert httpx.get(address + name).status_code == 200, name


def test_every_import_of_the_modules_exists():
    for module in WEB.glob("*.js"):
        for name in re.findall(r'from "\./([^"]+)"', module.read_text()):
            assert (WEB / name).is_file(), (module.name, name)


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("quietwire.js", "text/javascript; charset=utf-8"),
        ("base.css", "text/css; charset=utf-8"),
        ("icon.svg", "image/svg+xml"),
        ("demo-noisy.flac", "audio/flac"),
    ],
)
def test_media_types_do_not_depend_on_the_machine(address, name, kind):
    assert httpx.get(f"{address}web/{name}").headers["content-type"] == kind


def test_nothing_inline_is_allowed_and_nothing_inline_is_there(address):
    page = httpx.get(address)
    policy = page.headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    assert " style=" not in page.text
    assert re.findall(r"<script(?![^>]* src=)", page.text) == []
    assert re.findall(r" on[a-z]+=", page.text) == []
    assert page.headers["x-content-type-options"] == "nosniff"


def test_the_policy_names_the_host_only_when_it_is_one():
    assert "ws://example.org:8000 wss://example.org:8000;" in content_security_policy("example.org:8000")
    assert "ws://[::1]:80 " in content_security_policy("[::1]:80")
    assert "evil" not in content_security_policy("x; script-src evil")


@pytest.mark.parametrize("path", ["", "web/app.js"])
def test_what_has_not_changed_is_not_sent_again(address, path):
    first = httpx.get(address + path)
    again = httpx.get(address + path, headers={"If-None-Match": first.headers["etag"]})
    assert (again.status_code, again.content) == (304, b"")
    assert first.headers["cache-control"] == "no-cache"
    assert httpx.get(address + path, headers={"If-None-Match": '"another"'}).status_code == 200


def test_any_page_may_import_the_module(address):
    answer = httpx.get(f"{address}web/quietwire.js", headers={"Origin": "https://other.example"})
    assert answer.headers["access-control-allow-origin"] == "*"


@pytest.mark.parametrize("path", ["web/nothing.js", "web/..%2fapp.py", "web/", "web/%2e%2e/settings.py"])
def test_only_the_pages_files_are_served(address, path):
    assert httpx.get(address + path).status_code == 404


def test_the_page_needs_no_key(shipped):
    with served(shipped, api_keys=["the-key"]) as address:
        assert httpx.get(address).status_code == 200
        assert httpx.get(f"{address}web/app.js").status_code == 200
        assert httpx.get(f"{address}variants").status_code == 401
