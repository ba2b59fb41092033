// Which model and variant is chosen, among those that are loaded.

import { segments } from "./dom.js";

const ORDER = ["original", "pruned", "quantized", "combined"];

export class Choice extends EventTarget {
  rows = [];
  model = "";
  variant = "";

  constructor(modelsElement, variantsElement) {
    super();
    this.elements = [modelsElement, variantsElement];
  }

  /** Take the rows of `GET /variants`; the server's default is chosen first. */
  load(rows) {
    this.rows = [...rows].sort((a, b) => a.model.localeCompare(b.model) || ORDER.indexOf(a.variant) - ORDER.indexOf(b.variant));
    if (!this.row) {
      const first = rows.find((row) => row.default) ?? rows[0];
      Object.assign(this, { model: first?.model ?? "", variant: first?.variant ?? "" });
    }
    this.#show();
  }

  /** What `GET /variants` says of the chosen one. */
  get row() {
    return this.rows.find((row) => row.model === this.model && row.variant === this.variant);
  }

  /** What is in force may differ, as when the server chose a default. */
  adopt({ model, variant }) {
    Object.assign(this, { model, variant });
    this.#show();
  }

  #choose(model, variant) {
    const ofModel = this.rows.filter((row) => row.model === model);
    const kept = ofModel.find((row) => row.variant === variant) ?? ofModel[0];
    Object.assign(this, { model: kept.model, variant: kept.variant });
    this.#show();
    this.dispatchEvent(new Event("change"));
  }

  #show() {
    const [models, variants] = this.elements;
    const families = [...new Set(this.rows.map((row) => row.model))];
    const ofModel = this.rows.filter((row) => row.model === this.model).map((row) => row.variant);
    update(models, "model", families, this.model, (model) => this.#choose(model, this.variant));
    update(variants, "variant", ofModel, this.variant, (variant) => this.#choose(this.model, variant));
  }
}

// Radio buttons that are still the right ones stay, so that the keyboard's focus does.
function update(container, name, values, chosen, onChange) {
  const inputs = [...container.querySelectorAll("input")];
  if (inputs.map((input) => input.value).join() === values.join()) {
    for (const input of inputs) input.checked = input.value === chosen;
  } else {
    segments(container, name, values.map((value) => [value, value]), chosen, onChange);
  }
}
