"use strict";
// Pointing at an occurrence shows it, and its nearest one, under every encoder at once.
(() => {
  const figures = [...document.querySelectorAll("figure")];
  const say = (place, cell) => place.replaceChildren(...[...cell.childNodes].map((node) => node.cloneNode(true)));
  const show = (number) => {
    const [own, ...nearest] = document.getElementById(`occurrence-${number}`).cells;
    say(document.getElementById("reading"), own);
    document.querySelectorAll(".here, .near").forEach((dot) => dot.classList.remove("here", "near"));
    figures.forEach((figure, at) => {
      const here = figure.querySelector(`[data-number="${number}"]`);
      const near = here?.dataset.near && figure.querySelector(`[data-number="${here.dataset.near}"]`);
      for (const [dot, name] of [[near, "near"], [here, "here"]]) {
        if (!dot) continue;
        dot.classList.add(name);
        dot.parentNode.append(dot); // on top of the others
      }
      say(figure.querySelector(".reading"), nearest[at]);
    });
  };
  document.addEventListener("pointerover", ({ target }) => {
    const number = target.dataset?.number ?? target.closest?.("tr[id]")?.id.replace("occurrence-", "");
    if (number !== undefined && !target.matches(".here")) show(number);
  });
  show(0);
})();
