"""The comparison in a real browser: every variant is listed, plays in step, and is measured."""

import time

import pytest

from .browser import until


@pytest.fixture
def compared(page):
    """The demo through every variant, with its clean reference."""
    page.click("#compare-demo")
    until(lambda: page.text("compare-state").startswith("Done") or page.text("compare-problem"), 300)
    assert page.text("compare-problem") == ""
    return page


def position(page):
    return float(page.run("return document.getElementById('seek').value"))


def test_every_variant_is_listed_measured_and_plays_in_step(compared, shipped):
    named = "return [...document.querySelectorAll('{} [data-name]')].map((row) => [row.dataset.name, row.textContent])"
    rows = compared.run(named.format("#rows"))
    table = compared.run(named.format("#variants-table"))
    assert [name for name, _ in rows] == ["input", *(name for name, _ in table)]
    assert {name for name, _ in rows} == {"input", *shipped.names}
    for name, text in rows:
        assert "PESQ" in text and "SI-SDR" in text, (name, text)
        assert ("Real-time factor" in text) == (name != "input")
    compared.click("#play")
    until(lambda: position(compared) > 0.3)
    before = position(compared)
    for name, _ in rows:
        compared.click(f'#rows li[data-name="{name}"] input')
    assert compared.run("return document.querySelector('#size-plot .playing').dataset.name") == rows[-1][0]
    assert 0 <= position(compared) - before < 2, "a switch went back to the start"
    time.sleep(0.3)
    assert position(compared) > before
    compared.click("#play")
    assert compared.text("play") == "Play"
    link = "return document.querySelector('#rows li:last-child a')"
    assert compared.run(f"{link}.href").startswith("blob:")
    assert compared.run(f"{link}.download").startswith("demo-noisy-")


def test_a_recording_of_the_microphone_is_compared_without_measures(page):
    page.click("#record")
    until(lambda: "left" in page.text("compare-state"))
    time.sleep(1)
    page.click("#record")
    until(lambda: page.text("compare-state").startswith("Done"), 300)
    assert "PESQ" not in page.text("rows")
    assert "Real-time factor" in page.text("rows")


def test_a_file_that_is_no_audio_is_refused_in_words(page):
    page.run("""const files = new DataTransfer();
      files.items.add(new File(['no audio'], 'text.wav'));
      const input = document.getElementById('file');
      input.files = files.files;
      input.dispatchEvent(new Event('change'));""")
    assert "cannot be read as audio" in until(lambda: page.text("compare-problem"))
    page.driver.get_log("browser")  # the server's 415, which the browser notes as an error


def test_a_format_that_the_browser_cannot_read_comes_as_wav_from_the_server(page):
    page.run("""const decode = AudioContext.prototype.decodeAudioData;
      AudioContext.prototype.decodeAudioData = function (data) {
        const wav = String.fromCharCode(...new Uint8Array(data, 0, 4)) === 'RIFF';
        return wav ? decode.call(this, data) : Promise.reject(new DOMException('', 'EncodingError'));
      };""")
    page.click("#compare-demo")
    until(lambda: page.run("return document.querySelectorAll('#rows input:enabled').length") > 1, 300)
    assert page.text("compare-problem") == ""


def test_a_file_dropped_beside_the_frame_is_taken_too(page):
    page.run("""const files = new DataTransfer();
      files.items.add(new File(['no audio'], 'text.wav'));
      const event = new DragEvent('drop', { dataTransfer: files, bubbles: true, cancelable: true });
      document.querySelector('footer').dispatchEvent(event);""")
    assert "cannot be read as audio" in until(lambda: page.text("compare-problem"))
    page.driver.get_log("browser")


def test_a_busy_server_is_asked_again_when_it_says(page):
    page.run("""const real = window.fetch;
      window.refusals = 0;
      window.fetch = (path, ...rest) => {
        if (!String(path).startsWith('enhance') || refusals === 2) return real(path, ...rest);
        refusals += 1;
        const body = JSON.stringify({ code: 'overloaded', message: 'Busy.' });
        return Promise.resolve(new Response(body, { status: 503, headers: { 'Retry-After': '1' } }));
      };""")
    page.click("#compare-demo")
    until(lambda: page.run("return document.querySelectorAll('#rows input:enabled').length") > 1, 300)
    assert page.run("return refusals") == 2
    assert page.text("compare-problem") == ""


def test_the_comparison_and_the_live_stream_do_not_sound_together(page):
    page.click("#compare-demo")
    until(lambda: page.run("return document.querySelectorAll('#rows input:enabled').length"))
    page.start("demo")
    page.click("#play")  # what is there can be heard while the rest is being made
    until(lambda: page.state == "idle")
    page.start("demo")
    until(lambda: page.text("play") == "Play")
