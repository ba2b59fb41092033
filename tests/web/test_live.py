"""The live part in a real browser: it connects, shows, switches, denoises, and says what is wrong."""

import time
from urllib.parse import urlsplit

import numpy as np
import pytest

from .browser import Page, chromium, served, until

ENTER = "\ue007"
GONE = """const first = sockets[0], close = first.close.bind(first);
  first.send = () => {}; // as if the other side was gone: a browser takes a while then to say that it is closed
  first.close = () => setTimeout(close, 300);"""


def test_the_microphone_is_streamed_and_the_spectrograms_move(page):
    page.start("microphone")
    for name in ("spectrogram-in", "spectrogram-out"):
        until(lambda name=name: page.picture(name)[:, -60:].max() > 100)
        before = page.picture(name)
        time.sleep(0.3)
        after = page.picture(name)
        assert not np.array_equal(before, after)
    assert page.text("figure-lost-detail").startswith("0 dropped")
    until(lambda: page.text("figure-roundtrip").endswith("ms") and page.text("figure-server").endswith("ms"))
    assert page.run("return document.querySelectorAll('#device option').length") > 1


def test_model_and_variant_switch_while_the_stream_runs(page, shipped):
    page.start()
    for one in shipped.variants.values():
        page.click(f'#models [value="{one.card.model}"]')
        page.click(f'#model-variants [value="{one.card.variant}"]')
        until(lambda one=one: page.text("playing").startswith(f"{one.card.model} · {one.card.variant}"))
        assert page.run("return document.querySelector('#variants-table tr.playing').dataset.name") == one.name
        assert page.run("return document.querySelector('#size-plot .playing')?.dataset.name ?? ''") in (one.name, "")
    assert page.state == "live"
    assert page.text("figure-lost-detail").startswith("0 dropped")


def test_noise_in_the_pauses_of_the_demo_is_lowered_and_bypass_brings_it_back_in_time_with_the_input(page):
    page.start("demo")

    def lowered():
        text = page.text("figure-pauses")
        return int(text[1:].split()[0]) if text.startswith("−") else 0

    until(lambda: lowered() >= 15)
    page.driver.find_element("tag name", "body").send_keys("b")
    assert page.run("return document.getElementById('bypass').ariaPressed") == "true"

    def unlike():  # both are drawn in the same frame; the output's last columns are still on their way
        given, heard = (picture[:, -300:-150].astype(int) for picture in page.pictures("spectrogram-in", "spectrogram-out"))
        return np.abs(given - heard).mean()

    until(lambda: unlike() < 1)
    assert page.text("state-text").endswith("bypassed.")


def test_the_limit_is_sent_and_said(page):
    page.start()
    page.run("const limit = document.getElementById('limit'); limit.value = 12; limit.dispatchEvent(new Event('input'))")
    assert page.text("limit-text") == "12 dB"
    time.sleep(0.3)
    assert page.state == "live"


def test_stopping_and_starting_again(page):
    page.start("demo")
    page.click("#stop")
    until(lambda: page.state == "idle")
    page.start("microphone")
    page.start("demo")
    until(lambda: page.state == "live" and "noisy recording" in page.text("state-text"))


def test_a_stop_that_takes_long_disturbs_nothing_that_is_started_meanwhile(page):
    page.collect("WebSocket", "sockets")
    page.start("demo")
    page.run(GONE)
    page.click("#stop")
    page.start("microphone")
    time.sleep(4.5)  # longer than that takes
    assert (page.state, page.run("return document.getElementById('stop').hidden")) == ("live", False)
    page.click("#stop")
    until(lambda: page.state == "idle")


def test_a_stop_before_the_former_stream_has_ended_keeps_the_next_from_beginning(page):
    page.collect("WebSocket", "sockets")
    page.start("demo")
    page.run(GONE)
    page.run("window.asked = 0; navigator.mediaDevices.getUserMedia = () => { asked += 1; return new Promise(() => {}) }")
    page.click("#start-microphone")
    page.click("#stop")
    until(lambda: page.state == "idle")
    time.sleep(4.5)
    assert (page.state, page.run("return asked")) == ("idle", 0)


def test_a_stopped_server_is_said_and_the_stream_comes_back_with_it(driver, shipped):
    with served(shipped) as address:
        page = Page(driver, address)
        page.start()
    until(lambda: page.state == "reconnecting")
    assert "Trying again in" in until(lambda: "Trying" in page.text("state-text") and page.text("state-text"))
    with served(shipped, port=urlsplit(address).port):
        until(lambda: page.state == "live")
        time.sleep(0.5)
        assert not page.text("figure-lost-detail").startswith("0 dropped")
        driver.get("about:blank")
    driver.get_log("browser")


@pytest.mark.usefixtures("driver")  # skips where there is none
def test_a_refused_microphone_is_explained(address):
    with chromium("--use-fake-ui-for-media-stream=deny") as driver:
        page = Page(driver, address)
        page.click("#start-microphone")
        assert "Allow it for this page" in until(lambda: page.text("problem"))
        assert page.state == "failed"


@pytest.mark.parametrize(
    ("name", "words"), [("NotFoundError", "No microphone was found"), ("NotReadableError", "in use by another program")]
)
def test_other_faults_of_the_microphone_are_put_in_plain_words(page, name, words):
    page.run(f"navigator.mediaDevices.getUserMedia = () => Promise.reject(new DOMException('', '{name}'))")
    page.click("#start-microphone")
    assert words in until(lambda: page.text("problem"))


def test_a_microphone_that_is_pulled_out_ends_the_stream_in_words(page):
    page.run("""const open = navigator.mediaDevices.getUserMedia.bind(navigator.mediaDevices);
      navigator.mediaDevices.getUserMedia = async (wish) => (window.heard = await open(wish));""")
    page.start("microphone")
    page.run("heard.getAudioTracks()[0].dispatchEvent(new Event('ended'))")
    assert "was disconnected" in until(lambda: page.text("problem"))
    assert page.state == "failed"
    page.start("microphone")
    assert page.text("problem") == ""


def test_a_paused_sound_is_said_and_goes_on_with_a_click(page):
    page.collect("AudioContext", "contexts")
    page.start()
    page.run("contexts.at(-1).suspend()")
    assert "paused the sound" in until(lambda: page.text("problem"))
    page.click("#bypass")
    until(lambda: page.text("problem") == "")
    assert page.run("return contexts.at(-1).state") == "running"


def test_only_watching_keeps_the_pictures_and_silences_the_sound(page):
    page.collect("GainNode", "gains")
    page.start()
    until(lambda: page.run("return gains.at(-1)?.gain.value") == 1)
    page.click('[name="listen"][value="watch"]')
    until(lambda: page.run("return gains.at(-1).gain.value") < 0.001)
    assert page.text("state-text").endswith("sound off.")
    before = page.picture("spectrogram-out")
    until(lambda: not np.array_equal(before, page.picture("spectrogram-out")))


def test_what_a_variant_costs_is_shown_before_it_runs(page, shipped):
    for one in shipped.variants.values():
        page.click(f'#models [value="{one.card.model}"]')
        page.click(f'#model-variants [value="{one.card.variant}"]')
        assert page.text("playing").startswith(f"{one.card.model} · {one.card.variant} · ")
    assert page.state == "idle"


def test_a_key_is_asked_for_and_used(driver, shipped):
    with served(shipped, api_keys=["the-key"]) as address:
        driver.get(address)
        until(lambda: driver.execute_script("return !document.getElementById('key-form').hidden"))
        field = driver.find_element("id", "key")
        field.send_keys("wrong", ENTER)
        until(lambda: driver.find_element("id", "key-problem").text == "This key is not valid.")
        field.clear()
        field.send_keys("the-key", ENTER)
        until(lambda: driver.execute_script("return document.getElementById('key-form').hidden"))
        page = Page(driver, address)
        page.start()
        driver.get("about:blank")
    driver.get_log("browser")


def test_names_in_the_size_plot_stand_on_nothing_else(page):
    crossing = """const box = (one) => one.getBoundingClientRect();
      const across = (a, b) => a.left < b.right && b.left < a.right && a.top < b.bottom && b.top < a.bottom;
      const things = [...document.querySelectorAll('#size-plot .mark')].flatMap((mark) =>
        [...mark.querySelectorAll('.interval, .dot-mark, .name')].map((one) => ({ mark, one })));
      const names = [...document.querySelectorAll('#size-plot .name')].map((one) => ({ mark: one.closest('.mark'), one }));
      return names.flatMap((name) => things.filter(({ mark, one }) => mark !== name.mark && one !== name.one
        && across(box(name.one), box(one))).map(({ one }) => `${name.one.textContent} on ${one.outerHTML}`));"""
    for width in (1280, 390):
        metrics = {"width": width, "height": 844, "deviceScaleFactor": 1, "mobile": width < 600}
        page.driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)
        try:
            until(lambda width=width: page.run("return document.querySelector('#size-plot svg').clientWidth") <= width)
            for measure in ("pesq", "stoi", "si_sdr"):
                page.click(f'#measures [value="{measure}"]')
                assert page.run(crossing) == [], (width, measure)
        finally:
            page.driver.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})


def test_the_controls_have_names_and_the_phone_has_no_sideways_scrolling(page):
    nameless = """return [...document.querySelectorAll('input, select, button, canvas')].filter(
      (one) => !(one.labels?.length || one.ariaLabel || one.textContent.trim() || one.ariaHidden),
    ).map((one) => one.id)"""
    assert page.run(nameless) == []
    page.driver.execute_cdp_cmd(
        "Emulation.setDeviceMetricsOverride", {"width": 390, "height": 844, "deviceScaleFactor": 2, "mobile": True}
    )
    try:
        assert until(lambda: page.run("return document.documentElement.scrollWidth")) == 390
    finally:
        page.driver.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})


SLOW_MICROPHONES = """
const open = navigator.mediaDevices.getUserMedia.bind(navigator.mediaDevices);
window.opened = [];
navigator.mediaDevices.getUserMedia = async (wish) => {
  const stream = await open(wish);
  window.opened.push(stream);
  await new Promise((resolve) => setTimeout(resolve, 300));
  return stream;
};
"""
CHANGE = "document.getElementById('device').dispatchEvent(new Event('change'));"
OPEN = "return window.opened.filter((stream) => stream.getTracks().some((track) => track.readyState === 'live')).length"


def test_changing_and_stopping_in_haste_leaves_no_microphone_open(page):
    page.run(SLOW_MICROPHONES)
    page.start("microphone")
    page.run(CHANGE + CHANGE)
    until(lambda: page.run("return window.opened.length") == 3)
    until(lambda: page.run(OPEN) == 1)
    page.run(CHANGE)
    until(lambda: page.run("return window.opened.length") == 4)
    page.click("#stop")
    until(lambda: page.run(OPEN) == 0)
    assert page.state == "idle"
