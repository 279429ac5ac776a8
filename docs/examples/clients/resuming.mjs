// @pipecat-ai/client-js 1.x: a conversation that continues after its connection, or its server process, was lost.

import { PipecatClient } from "@pipecat-ai/client-js";

const LONGEST_DELAY = 2000; // ms; spreads the clients of a server that has failed
const START_WITHIN = 5000; // ms

/**
 * Connect, and resume the session whenever the connection is lost. `transport` makes a new transport for each
 * connection. `options` are those of `PipecatClient`. Its callback `onDisconnected` is called when the session is over.
 */
export async function stayConnected({ endpoint, requestData = {}, transport, options = {} }) {
  const { callbacks = {} } = options;
  let client = null; // the one that is connected
  let resume = null; // what the bot sent for the next connection
  let over = false;

  const connect = () =>
    new Promise((resolve, reject) => {
      const mine = new PipecatClient({
        ...options,
        transport: transport(),
        callbacks: {
          ...callbacks,
          onBotReady(data) {
            client = mine;
            resume = data.about?.resume ?? null;
            callbacks.onBotReady?.(data);
            resolve();
          },
          onDisconnected() {
            if (client === mine) comeBack();
            else reject(new Error("The connection was lost."));
          },
        },
      });
      const data = resume ? { resume: resume.token } : requestData;
      mine.startBotAndConnect({ endpoint, requestData: data, timeout: START_WITHIN }).catch((error) => {
        reject(error);
        mine.disconnect();
      });
    });

  async function comeBack() {
    client = null;
    const until = Date.now() + 1000 * (resume?.seconds ?? 0);
    while (!over && Date.now() < until) {
      await new Promise((resolve) => setTimeout(resolve, Math.random() * LONGEST_DELAY));
      try {
        return await connect();
      } catch (error) {
        if (error.status >= 400 && error.status < 500) break; // the session has ended
      }
    }
    callbacks.onDisconnected?.();
  }

  await connect();
  return {
    /** The client that is connected; null while the connection is lost. */
    get client() {
      return client;
    },
    disconnect() {
      over = true;
      return client?.disconnect();
    },
  };
}
