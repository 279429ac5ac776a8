// Shows that the connection was lost, and that it is there again.

import { announce, note } from "./notices.js";

/** Return what to do when a call has lost its connection, and when it is back. */
export function returning(state, show) {
  const shown = (now, text) => {
    state.set(now);
    note(text);
    show();
  };
  return {
    lost: () => shown("connecting", "The connection was lost. Connecting again …"),
    isBack: () => {
      shown("listening", "");
      announce("Connected again.");
    },
  };
}
