// Tabs with arrow-key navigation.

const STEPS = { ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1 };

/** Activate a list of tabs. Each one controls the panel in its aria-controls. */
export function useTabs(list, { onShow = () => {} } = {}) {
  const tabs = [...list.querySelectorAll("[role=tab]")];
  const show = (chosen) => {
    for (const tab of tabs) {
      const selected = tab === chosen;
      tab.setAttribute("aria-selected", String(selected));
      tab.tabIndex = selected ? 0 : -1;
      document.getElementById(tab.getAttribute("aria-controls")).hidden = !selected;
    }
    onShow(chosen.id);
  };
  list.addEventListener("click", ({ target }) => {
    const tab = target.closest("[role=tab]");
    if (tab) show(tab);
  });
  list.addEventListener("keydown", (event) => {
    const tab = next(tabs, event);
    if (!tab) return;
    event.preventDefault();
    show(tab);
    tab.focus();
  });
}

function next(tabs, { key, target }) {
  if (key === "Home") return tabs[0];
  if (key === "End") return tabs.at(-1);
  const step = STEPS[key];
  return step && tabs.at((tabs.indexOf(target) + step) % tabs.length);
}
