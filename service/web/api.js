// HTTP calls to the server that the page came from, with the key where it asks for one.

const STORED = "quietwire-key";
const BUSY_TRIES = 4; // recordings wait behind live streams, so that a server without room is asked again when it says
const LONGEST_WAIT_SECONDS = 30; // where it says more, as one's share is used up, that is told at once

export class ApiError extends Error {
  constructor(status, code, message) {
    super(message);
    this.status = status;
    this.code = code;
  }
}

export const api = {
  get token() {
    return sessionStorage.getItem(STORED) ?? "";
  },
  set token(key) {
    sessionStorage.setItem(STORED, key);
  },

  /** Rows of `GET /variants`. */
  async variants() {
    return (await (await call("variants")).json()).variants;
  },

  /** The enhanced recording as { blob, figures }. */
  async enhance(file, { model, variant }, attenuationLimitDb = 100) {
    const query = new URLSearchParams({ model, variant, attenuation_limit_db: attenuationLimitDb });
    const headers = { "Content-Type": "application/octet-stream" };
    const answer = await call(`enhance?${query}`, { method: "POST", body: file, headers });
    const number = (name) => Number(answer.headers.get(name));
    const figures = { latency_ms: number("X-Latency-Ms"), real_time_factor: number("X-Real-Time-Factor") };
    return { blob: await answer.blob(), figures };
  },

  /** The answer of `POST /compare`. */
  async compare(file, reference, rows) {
    const body = new FormData();
    body.append("file", file);
    if (reference) body.append("reference", reference);
    const variants = rows.map(({ model, variant }) => `${model}/${variant}`).join(",");
    return (await call(`compare?${new URLSearchParams({ variants })}`, { method: "POST", body })).json();
  },
};

async function call(path, { headers = {}, ...options } = {}, tries = BUSY_TRIES) {
  const token = api.token;
  if (token) headers.Authorization = `Bearer ${token}`;
  let answer;
  try {
    answer = await fetch(path, { ...options, headers });
  } catch {
    throw new ApiError(0, "unreachable", "The server cannot be reached. Check that it is running, and try again.");
  }
  if (answer.ok) return answer;
  const seconds = Number(answer.headers.get("Retry-After")) || 1;
  if (answer.status === 503 && tries > 1 && seconds <= LONGEST_WAIT_SECONDS) {
    await new Promise((resolve) => setTimeout(resolve, seconds * 1000));
    return call(path, { headers, ...options }, tries - 1);
  }
  const { code, message } = await answer.json().catch(() => ({ message: `The server answered ${answer.status}.` }));
  throw new ApiError(answer.status, code, message);
}
