"""The JavaScript module from another origin, and its play-out buffer under drift and jitter."""

import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from .browser import until

STREAM = """
const [module, done] = arguments;
import(module).then(async ({ Quietwire, openMicrophone, listVariants }) => {
  const seen = { output: 0, stats: 0, variants: 0 };
  const quietwire = new Quietwire();
  quietwire.addEventListener("output", ({ detail }) => (seen.output += detail.samples.length));
  quietwire.addEventListener("stats", () => (seen.stats += 1));
  const clean = await quietwire.start(await openMicrophone());
  seen.tracks = clean.getAudioTracks().length;
  seen.rate = quietwire.context.sampleRate;
  setTimeout(async () => {
    quietwire.configure({ attenuationLimitDb: 12 });
    seen.configured = new Promise((resolve) => quietwire.addEventListener("configured", (event) => resolve(event.detail)));
    seen.configured = await seen.configured;
    seen.summary = await quietwire.stop();
    done(seen);
  }, 1000);
}).catch((error) => done({ error: String(error) }));
"""

AGAIN = """
const [module, done] = arguments;
import(module).then(async ({ Quietwire, openContext, openMicrophone }) => {
  const seen = { positions: [], states: [] };
  const kind = (promise) => promise.then(() => "started", (error) => error.name);
  const quietwire = new Quietwire({ variant: "combined" });
  const microphone = await openMicrophone();
  const early = quietwire.start(microphone);
  seen.twice = await kind(quietwire.start(microphone));
  seen.none = await quietwire.stop();
  seen.early = await kind(early);
  seen.left = [quietwire.context, quietwire.stream];
  const elsewhere = openContext();
  seen.refused = await kind(quietwire.start(new OscillatorNode(elsewhere)));
  await elsewhere.close();
  quietwire.addEventListener("state", ({ detail }) => seen.states.push(detail.state));
  for (let run = 0; run < 2; run++) {
    const first = {};
    const noted = (type) => ({ detail }) => (first[type] ??= detail.position);
    const notes = ["input", "output"].map((type) => [type, noted(type)]);
    for (const [type, note] of notes) quietwire.addEventListener(type, note);
    await quietwire.start(microphone);
    await new Promise((resolve) => quietwire.addEventListener("output", resolve, { once: true }));
    const summary = await quietwire.stop();
    for (const [type, note] of notes) quietwire.removeEventListener(type, note);
    seen.positions.push([first.input, first.output < 48000, summary.samples_in === summary.samples_out]);
  }
  done(seen);
}).catch((error) => done({ error: String(error) }));
"""

SIMULATE = """
const [drift, jitterMs, stallMs, done] = arguments;
import(new URL("web/playout.js", location)).then(({ PlayoutBuffer }) => {
  const rate = 48000, chunk = 480, quantum = 128, seconds = 40;
  const buffer = new PlayoutBuffer(rate);
  const out = new Float32Array(quantum);
  let seed = 1;
  const random = () => (seed = (seed * 16807) % 2147483647) / 2147483647;
  const arrivals = [];
  for (let i = 0, last = 0; i * chunk < seconds * rate; i++) {
    const stalled = stallMs && i >= 1500 && i * 10 < 15000 + stallMs ? 15000 + stallMs - i * 10 : 0;
    last = Math.max(last, ((i + 1) * chunk / rate) * (1 + drift) + (random() * jitterMs + stalled) / 1000);
    arrivals.push(last);
  }
  let sent = 0, before = 0, step = 0, worst = 0, heard = 0;
  const buffered = [];
  for (let time = 0; time < seconds * (1 + drift) - 1; time += quantum / rate) {
    for (; arrivals[sent] <= time; sent++) {
      const sine = (_, i) => 0.5 * Math.sin((2 * Math.PI * 200 * (sent * chunk + i)) / rate);
      buffer.push(Float32Array.from({ length: chunk }, sine));
    }
    buffer.pull(out);
    for (const value of out) {
      worst = Math.max(worst, Math.abs(value - before));
      before = value;
      heard += value !== 0;
    }
    if (time > 25) buffered.push(buffer.buffered * 1000);
  }
  done({ worst, late: buffer.late, highest: Math.max(...buffered), heard: heard / rate });
});
"""
CONNECTIONS = """
const [done] = arguments;
import(new URL("web/stream.js", location)).then(({ EnhancementStream }) => {
  const real = { WebSocket, setTimeout, random: Math.random, now: performance.now };
  let clock = 1e6;
  const sockets = [], waits = [], timers = [];
  window.WebSocket = class {
    static OPEN = 1;
    readyState = 1;
    sent = [];
    constructor(url) { this.url = String(url); sockets.push(this); }
    send(data) { this.sent.push(JSON.parse(data)); }
  };
  window.setTimeout = (work) => timers.push(work);
  Math.random = () => 0.5;
  performance.now = () => clock;
  const stream = new EnhancementStream({ sampleRate: 16000 });
  stream.addEventListener("state", ({ detail }) => detail.retryMs && waits.push(detail.retryMs));
  const newest = () => sockets[sockets.length - 1];
  const break_ = (seconds) => { clock += seconds * 1000; newest().onclose(); timers.pop()?.(); };
  stream.open();
  for (let i = 0; i < 6; i++) break_(10);
  stream.configure({ variant: "pruned", model: "crn" });
  stream.configure({ attenuationLimitDb: 0 });
  newest().onmessage({ data: '{"type": "ready"}' });
  const sent = newest().sent;
  newest().readyState = 2; // being closed, and `onclose` has not come yet
  const taken = stream.send(new Float32Array(160));
  stream.configure({ attenuationLimitDb: 6 });
  break_(60);
  break_(10);
  Object.assign(window, { WebSocket: real.WebSocket, setTimeout: real.setTimeout });
  Object.assign(Math, { random: real.random });
  delete performance.now;
  done({ waits, sent, taken, dropped: stream.dropped, url: newest().url });
});
"""
SINE_STEP = 0.5 * 2 * 3.1416 * 200 / 48000  # the steepest step of the sine itself


class OtherPage(BaseHTTPRequestHandler):
    """An empty page."""

    def do_GET(self):
        self.send_response(200)
        self.send_header("Content-Type", "text/html")
        self.end_headers()
        self.wfile.write(b"<title>Another page</title>")

    def log_message(self, *_):
        """Nothing."""


@pytest.fixture
def other_origin():
    with ThreadingHTTPServer(("127.0.0.1", 0), OtherPage) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}/"
        server.shutdown()
        thread.join()


def test_another_origin_needs_one_import(driver, address, other_origin):
    driver.get(other_origin)
    seen = driver.execute_async_script(STREAM, address + "web/quietwire.js")
    driver.get("about:blank")
    assert "error" not in seen, seen
    assert seen["tracks"] == 1
    assert seen["configured"]["attenuation_limit_db"] == 12
    assert seen["configured"]["sample_rate"] == seen["rate"]
    assert seen["summary"]["samples_in"] == seen["summary"]["samples_out"] == seen["output"] > 0.7 * seen["rate"]
    assert seen["stats"] == pytest.approx(100, abs=40)


def test_one_object_is_started_once_at_a_time_and_again_after_each_stop(driver, address, other_origin):
    driver.get(other_origin)
    seen = driver.execute_async_script(AGAIN, address + "web/quietwire.js")
    driver.get("about:blank")
    assert "error" not in seen, seen
    assert (seen["twice"], seen["early"], seen["none"]) == ("InvalidStateError", "AbortError", None)
    assert seen["left"] == [None, None]
    assert seen["refused"] == "InvalidAccessError"  # a node of another context; it can be started all the same
    assert seen["positions"] == [[0, True, True]] * 2
    assert seen["states"] == ["connecting", "live", "closed"] * 2


@pytest.mark.parametrize("drift", [-0.001, 0.0, 0.001])
def test_play_out_holds_a_short_unbroken_buffer_against_drift_and_jitter(page, drift):
    found = page.driver.execute_async_script(SIMULATE, drift, 15, 0)
    assert found["late"] == 0
    assert found["highest"] < 60
    assert found["worst"] < 1.1 * SINE_STEP
    assert found["heard"] > 37


def test_play_out_that_runs_dry_fades_out_and_in_and_works_the_backlog_off(page):
    found = page.driver.execute_async_script(SIMULATE, 0, 5, 300)
    assert found["late"] == 1
    assert found["worst"] < 1.5 * SINE_STEP
    assert found["highest"] < 90


def test_what_came_out_is_audible(page):
    page.start("demo")
    until(lambda: page.run("return Number(document.getElementById('meter-out').ariaValueNow)") > -40)


def test_connections_that_fail_are_tried_later_and_later_and_changes_meanwhile_are_sent(page):
    found = page.driver.execute_async_script(CONNECTIONS)
    assert found["waits"] == [500, 1000, 2000, 4000, 8000, 8000, 500, 1000]
    assert found["sent"] == [{"type": "configure", "model": "crn", "variant": "pruned", "attenuation_limit_db": 0}]
    assert "variant=pruned" in found["url"]
    assert (found["taken"], found["dropped"]) == (False, 1)
    assert "attenuation_limit_db=6" in found["url"]
