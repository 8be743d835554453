// Names for screen readers where Django's admin has none.
(() => {
  "use strict";

  // Columns without a heading are no headings.
  for (const head of document.querySelectorAll(".inline-group thead th")) {
    if (head.textContent.trim()) continue;
    const cell = document.createElement("td");
    cell.className = head.className;
    head.replaceWith(cell);
  }

  // What select2 shows instead of a list is called as the list is, and then what is chosen.
  function name(select) {
    const box = select.parentElement.querySelector(".select2-selection");
    const shown = box && box.querySelector(".select2-selection__rendered");
    if (!shown) return;
    const label = select.labels[0] ? select.labels[0].textContent : select.getAttribute("aria-label");
    box.id = `${select.id}-box`;
    box.setAttribute("aria-label", (label || "Choice").trim().replace(/:$/, ""));
    box.setAttribute("aria-labelledby", `${box.id} ${shown.id}`);
    shown.removeAttribute("role");
    shown.removeAttribute("aria-readonly");
  }

  // The signs beside searches of long choices, which are made when all is loaded.
  window.addEventListener("load", () => {
    for (const sign of document.querySelectorAll(".search-label-icon")) sign.setAttribute("role", "img");
  });

  const $ = window.django && window.django.jQuery;
  if (!$ || !$.fn.djangoAdminSelect2) return;
  const start = $.fn.djangoAdminSelect2;
  $.fn.djangoAdminSelect2 = function () {
    const started = start.call(this);
    this.each((_, select) => name(select));
    return started;
  };
  $(document).on("select2:open", () => {
    const search = document.querySelector(".select2-container--open .select2-search__field");
    if (search) search.setAttribute("aria-label", "Search");
  });
})();
