// The published clients, by the name that a report calls them.
//
// `generation` is the major version of the protocol that the client speaks: 0 has services, config and actions,
// 1 and later have client messages. `singleTurn` says that it can call an action while it is not connected. `readyOn`
// says which message makes the client ready for calls.

export const CLIENTS = {
  "realtime-ai 0.1.9": {
    installed: "rtvi-client-0.1",
    generation: 0,
    readyOn: "bot-ready",
    driver: async () => (await import("./drivers/voice-client.js")).Driver,
  },
  "realtime-ai 0.2.3": {
    installed: "rtvi-client-0.2",
    generation: 0,
    singleTurn: true,
    readyOn: "client-ready",
    driver: async () => (await import("./drivers/rtvi-client.js")).driverFor("rtvi-client-0.2"),
  },
  "client-js 0.4.1": {
    installed: "rtvi-client-0.4",
    generation: 0,
    singleTurn: true,
    readyOn: "client-ready",
    driver: async () => (await import("./drivers/rtvi-client.js")).driverFor("rtvi-client-0.4"),
  },
  "client-js 1.13.1": {
    installed: "rtvi-client-1",
    generation: 1,
    readyOn: "client-ready",
    driver: async () => (await import("./drivers/pipecat-client.js")).Driver,
  },
};
