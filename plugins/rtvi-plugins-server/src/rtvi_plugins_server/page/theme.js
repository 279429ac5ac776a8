// The theme: light, dark, or that of the system. Not a module, so that it runs before the page is drawn.

{
  const KEY = "rtvi-theme";
  const root = document.documentElement;

  const stored = () => {
    try {
      return localStorage.getItem(KEY) ?? "system";
    } catch {
      return "system"; // the browser blocks storage
    }
  };

  const store = (theme) => {
    try {
      localStorage.setItem(KEY, theme);
    } catch {
      // It lasts until the page is closed.
    }
  };

  const use = (theme) => (theme === "system" ? delete root.dataset.theme : (root.dataset.theme = theme));

  use(stored());
  addEventListener("DOMContentLoaded", () => {
    const select = document.getElementById("theme");
    select.value = stored();
    select.addEventListener("change", () => (use(select.value), store(select.value)));
  });
}
