// Every check: its name is the behaviour that it shows; `only` says to which clients it applies, `seconds` how long
// it may take.

import { actions } from "./actions.js";
import { config } from "./config.js";
import { conversation } from "./conversation.js";
import { describe } from "./describe.js";
import { dialogue } from "./dialogue.js";
import { functions } from "./functions.js";
import { handshake } from "./handshake.js";
import { llm } from "./llm.js";
import { load } from "./load.js";
import { refusal } from "./refusal.js";
import { resuming } from "./resuming.js";
import { singleTurn } from "./single-turn.js";

export const CHECKS = [
  ...handshake,
  ...describe,
  ...config,
  ...actions,
  ...load,
  ...llm,
  ...functions,
  ...conversation,
  ...dialogue,
  ...refusal,
  ...resuming,
  ...singleTurn,
];
