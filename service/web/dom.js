// The few helpers that every part of the page needs.

export const $ = (id) => document.getElementById(id);

/** An element with properties and children; `dataset` and `attributes` are taken as what they are. */
export function element(tag, { dataset = {}, attributes = {}, ...properties } = {}, ...children) {
  const made = Object.assign(document.createElement(tag), properties);
  Object.assign(made.dataset, dataset);
  for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
  made.append(...children);
  return made;
}

/** Write text only where it changed, so that screen readers are told once. */
export function say(target, text) {
  if (target.textContent !== text) target.textContent = text;
}

/** A group of radio buttons in `container`; `options` are [value, label]. */
export function segments(container, name, options, chosen, onChange) {
  container.replaceChildren(
    ...options.map(([value, label]) => {
      const input = element("input", { type: "radio", name, value, checked: value === chosen });
      input.addEventListener("change", () => onChange(value));
      return element("label", {}, input, element("span", { textContent: label }));
    }),
  );
}
