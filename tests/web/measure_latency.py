"""``python -m tests.web.measure_latency [seconds]``: how long a sample takes from the page to the server and back.

Prints, per loaded variant, percentiles of the round trip (from the sending of a chunk of 10 ms to the arrival of its last
enhanced sample: the algorithmic latency, the server and both ways), of the server's share, and of the play-out buffer. The
browser and the server share one machine, and a fake microphone plays a noisy recording.
"""

from __future__ import annotations

import sys

import numpy as np

from models.zoo import SHIPPED, load_zoo
from tests.web.browser import Page, chromium, served, why_not

MEASURE = """
const [model, variant, seconds, done] = arguments;
import(new URL("web/quietwire.js", location)).then(async ({ Quietwire, openMicrophone }) => {
  const found = { roundtrip: [], server: [], buffer: [] };
  const quietwire = new Quietwire({ model, variant });
  let ready;
  quietwire.addEventListener("ready", ({ detail }) => (ready = detail));
  quietwire.addEventListener("roundtrip", ({ detail }) => found.roundtrip.push(detail.ms));
  quietwire.addEventListener("stats", ({ detail }) => found.server.push(detail.latency_ms));
  quietwire.addEventListener("playout", ({ detail }) => found.buffer.push(detail.bufferedMs));
  const microphone = await openMicrophone();
  await quietwire.start(microphone);
  setTimeout(async () => {
    await quietwire.stop();
    microphone.getTracks().forEach((track) => track.stop());
    done({ ...found, ready });
  }, seconds * 1000);
});
"""


def main() -> None:
    """Measure every variant."""
    if reason := why_not():
        sys.exit(f"No measurement: {reason}.")
    seconds = float(sys.argv[1]) if len(sys.argv) > 1 else 10.0
    zoo = load_zoo(SHIPPED)
    print("ms            algorithm  round trip p50   p95    server p50   p95   play-out buffer")
    with served(zoo) as address, chromium() as driver:
        driver.set_script_timeout(seconds + 20)
        Page(driver, address)
        for name in zoo.names:
            found = driver.execute_async_script(MEASURE, *name.split("/"), seconds)
            trip, server = (np.percentile(found[key][100:], (50, 95)) for key in ("roundtrip", "server"))
            algorithm = found["ready"]["algorithmic_latency_ms"]
            line = f"{name:<15} {algorithm:7.1f} {trip[0]:16.1f} {trip[1]:5.1f} {server[0]:13.1f} {server[1]:5.1f}"
            print(line, f"{np.median(found['buffer'][10:]):17.0f}")


if __name__ == "__main__":
    main()
