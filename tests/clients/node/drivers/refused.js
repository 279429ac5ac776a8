// Published clients reject with the whole `error-response`, not with an Error. This turns it into one.

export class Refused extends Error {
  constructor(data) {
    super(data?.error ?? "refused without a word");
    this.name = "Refused";
    this.data = data;
    this.code = data?.code;
  }
}

/** What `promise` resolves with; an `error-response` becomes a `Refused`. */
export async function answered(promise) {
  try {
    return await promise;
  } catch (error) {
    throw error?.type === "error-response" ? new Refused(error.data) : error;
  }
}
