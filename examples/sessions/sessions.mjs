// Sessions of a Vestibule gateway over plain HTTP, in JavaScript: nothing but fetch.
//
//   VESTIBULE_URL=http://127.0.0.1:9000 VESTIBULE_TOKEN=vst_admin_… node sessions.mjs USER_ID HOST

import process from "node:process";

const base = `${process.env.VESTIBULE_URL}/api/v1/sessions`;

class Refused extends Error {
  constructor(status, problem) {
    super(`${status} ${problem.code}: ${problem.detail}`);
    this.status = status;
    this.code = problem.code;
  }
}

async function call(method, path, body, headers = {}) {
  const answer = await fetch(base + path, {
    method,
    headers: {
      Authorization: `Bearer ${process.env.VESTIBULE_TOKEN}`,
      "Content-Type": "application/json",
      ...headers,
    },
    body: body === undefined ? undefined : JSON.stringify(body),
    signal: AbortSignal.timeout(10_000),
  });
  const text = await answer.text();
  const value = text ? JSON.parse(text) : null;
  if (!answer.ok) throw new Refused(answer.status, value);
  return value;
}

const id = (session) => encodeURIComponent(session.id);

/** Changes the attributes by what `change` makes of them, also when others write at the same time. */
async function update(session, change) {
  for (;;) {
    const read = await call("GET", `/${id(session)}`);
    try {
      return await call("PATCH", `/${id(session)}`, { attributes: change(read.attributes) }, {
        "If-Match": `"${read.version}"`,
      });
    } catch (error) {
      if (error.code !== "changed") throw error;
    }
  }
}

/** All sessions of a user, page by page. */
async function* list(userId) {
  for (let cursor = ""; cursor !== null; ) {
    const page = await call("GET", `?${new URLSearchParams({ user_id: userId, limit: 2, cursor })}`);
    yield* page.items;
    cursor = page.next;
  }
}

const [userId, host] = process.argv.slice(2);

// 1. A session for somebody who has signed in before. The bearer is told this once: it is for its holder alone.
const made = await call("POST", "", { user_id: userId, host, attributes: { cart: 1 } });

// 2. Whose is what a client has shown?
let whose = await call("POST", "/introspect", { bearer: made.bearer, touch: true });
console.log("active", whose.active, "cart", whose.attributes.cart);

// 3. Some values of one's own, at most 4 KiB.
const changed = await update(made, (attributes) => ({ cart: attributes.cart + 1 }));
console.log("cart", changed.attributes.cart);

// 4. Where is this person signed in?
let found = false;
for await (const session of list(userId)) found ||= session.id === made.id;
console.log("listed", found);

// 5. Signed out, at once and everywhere.
await call("DELETE", `/${id(made)}`);
whose = await call("POST", "/introspect", { bearer: made.bearer });
console.log("active", whose.active);

// 6. What is refused has a code.
try {
  await call("GET", `/${id(made)}`);
} catch (error) {
  console.log("refused", error.status, error.code);
}
