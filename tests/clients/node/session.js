// What a check is given: connected clients on demand, all of them disconnected when the check is over.

export class Session {
  #opened = [];

  constructor(Driver, addresses) {
    this.Driver = Driver;
    this.addresses = addresses;
  }

  /** A new client of the open bot, not yet connected. */
  client(start, server = this.addresses.open) {
    const driver = new this.Driver(server, start);
    this.#opened.push(driver);
    return driver;
  }

  /** A new client, connected. */
  async connected(start, server) {
    const driver = this.client(start, server);
    driver.ready = await driver.connect();
    return driver;
  }

  async end() {
    await Promise.allSettled(this.#opened.map((driver) => driver.disconnect()));
  }
}
