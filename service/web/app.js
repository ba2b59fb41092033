// Puts the page together: loads the list of variants, and sees to it that only one part makes a sound.

import { api } from "./api.js";
import { Choice } from "./choice.js";
import { Compare } from "./compare.js";
import { $, say } from "./dom.js";
import { Live } from "./live.js";
import { Variants } from "./variants.js";

const RETRY_MS = 3000;

const choice = new Choice($("models"), $("model-variants"));
const live = new Live(choice);
const compare = new Compare(choice);
const variants = new Variants();

live.addEventListener("start", () => compare.pause());
compare.addEventListener("sound", () => live.running && live.stop());
for (const part of [live, compare]) part.addEventListener("playing", ({ detail }) => variants.mark(detail));
live.addEventListener("stop", () => variants.mark(null));
live.addEventListener("refused", () => load()); // the key was wrong, or a variant is gone

async function load() {
  try {
    const rows = await api.variants();
    $("key-form").hidden = true;
    choice.load(rows);
    live.showChosen();
    variants.load(choice.rows);
    if ($("problem").dataset.from === "load") say($("problem"), "");
  } catch (error) {
    if (error.code === "unauthorized") {
      $("key-form").hidden = false;
      say($("key-problem"), api.token ? "This key is not valid." : "");
      return;
    }
    say($("problem"), error.message);
    $("problem").dataset.from = "load";
    if (error.code === "unreachable") setTimeout(load, RETRY_MS);
  }
}

$("key-form").addEventListener("submit", (event) => {
  event.preventDefault();
  api.token = $("key").value.trim();
  load();
});

const module = new URL("quietwire.js", import.meta.url);
$("snippet").textContent = `import { Quietwire, openMicrophone } from "${module}";

const quietwire = new Quietwire({ variant: "combined" });
quietwire.addEventListener("stats", ({ detail }) => console.log(detail.latency_ms));

button.onclick = async () => {
  audio.srcObject = await quietwire.start(await openMicrophone());
  await audio.play();
};`;

load();
