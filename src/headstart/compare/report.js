"use strict";
// Draws the plots described in #plots with the colors of the page's theme.
(() => {
  const plots = JSON.parse(document.getElementById("plots").textContent);
  const coarse = matchMedia("(pointer: coarse)").matches; // a finger scrolls; it does not zoom

  const color = (token) => {
    const [name, alpha] = token.slice(1).split("/");
    const hex = getComputedStyle(document.documentElement).getPropertyValue(`--${name}`).trim();
    const [r, g, b] = [1, 3, 5].map((at) => parseInt(hex.slice(at, at + 2), 16));
    return `rgba(${r},${g},${b},${alpha ?? 1})`;
  };

  const themed = (value, key = "") => {
    if (Array.isArray(value)) return value.map((each) => themed(each, key));
    if (value && typeof value === "object") {
      return Object.fromEntries(Object.entries(value).map(([name, each]) => [name, themed(each, name)]));
    }
    return /color$/.test(key) && typeof value === "string" && value[0] === "@" ? color(value) : value;
  };

  const draw = () => {
    for (const [name, { data, layout }] of Object.entries(plots)) {
      const place = document.getElementById(name);
      Plotly.react(place, themed(data), { ...themed(layout), dragmode: coarse ? false : "zoom" }, {
        displayModeBar: false,
        responsive: true,
        showTips: false,
      });
    }
  };

  for (const [name, { data }] of Object.entries(plots)) {
    const place = document.getElementById(name);
    place.closest("figure").querySelectorAll(".legend button").forEach((button, at) => {
      button.addEventListener("click", () => {
        const shown = button.getAttribute("aria-pressed") !== "true";
        button.setAttribute("aria-pressed", shown);
        for (const trace of data) if (trace.meta === at) trace.visible = shown;
        draw();
      });
    });
  }

  draw();
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", draw);
  addEventListener("beforeprint", () => {
    for (const table of document.querySelectorAll("details")) table.open = true;
  });
})();
