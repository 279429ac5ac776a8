// Show the bot of this server: its name, its description, and whether it can be started from here.

import { byId } from "./elements.js";
import { note, say } from "./notices.js";

/** Show the facts of `page.json` in the elements of the page. */
export function showBot(ui, bot) {
  document.title = bot.name;
  ui.name.textContent = bot.name;
  ui.about.textContent = bot.description;
  ui.mute.hidden = byId("meters").hidden = !bot.microphone;
  if (!bot.microphone) ui.invitation.textContent = "This bot does not listen. Type below.";
  if (!bot.open) return closed(ui);
  ui.talk.disabled = false;
  if (bot.microphone && !window.isSecureContext) {
    note("Browsers allow the microphone only on https pages and on localhost. You can type instead.");
  }
}

function closed(ui) {
  ui.text.disabled = ui.send.disabled = true;
  ui.welcome.replaceChildren("You cannot start this bot from this page.");
  say(
    "This bot needs the operator's secret, which must not be in a browser. To try the bot on your own machine, " +
      "run it with --dev. To allow everybody to start it, write public=True in its @bot.",
  );
}
