// The same API as the phone's, with the cookie of the gateway: this page sees no token, and neither does the service.

const at = (id) => document.getElementById(id);
let me = null;

async function ask(method, path, body) {
  const headers = { Accept: "application/json" };
  if (body) headers["Content-Type"] = "application/json";
  const answer = await fetch(path, { method, headers, body: body && JSON.stringify(body) });
  if (answer.status === 401 && me) location.reload(); // signed out elsewhere: on the account page, by an admin
  if (!answer.ok) throw new Error(`${method} ${path}: ${answer.status}`);
  return answer.status === 204 ? null : answer.json();
}

async function whoever() {
  me = await ask("GET", "/api/me");
  at("sign-in").hidden = Boolean(me);
  for (const id of ["me", "account", "sign-out", "write"]) at(id).hidden = !me;
  at("me").textContent = me ? me.name : "";
}

async function shown() {
  const { posts } = await ask("GET", "/api/feed");
  at("feed").replaceChildren(...posts.map(item));
  at("empty").hidden = posts.length > 0;
}

function item(post) {
  const node = at("post").content.cloneNode(true);
  const part = (selector) => node.querySelector(selector);
  const when = new Date(post.at * 1000);
  part(".face").textContent = [...post.name][0] ?? "?";
  part(".name").textContent = post.name;
  part("time").dateTime = when.toISOString();
  part("time").textContent = when.toLocaleString([], { dateStyle: "medium", timeStyle: "short" });
  part(".text").textContent = post.text;
  part(".likes").textContent = `${post.likes} ${post.likes === 1 ? "like" : "likes"}`;
  const like = part(".like");
  like.setAttribute("aria-pressed", post.is_liked);
  like.disabled = !me;
  like.addEventListener("click", () =>
    told(() => ask(post.is_liked ? "DELETE" : "PUT", `/api/posts/${post.id}/like`)));
  part(".delete").hidden = !post.is_own;
  part(".delete").addEventListener("click", () => told(() => ask("DELETE", `/api/posts/${post.id}`)));
  return node;
}

async function told(act) {
  try {
    at("notice").textContent = "";
    await act();
    await shown();
  } catch (error) {
    at("notice").textContent = `That did not work. (${error.message})`;
  }
}

at("write").addEventListener("submit", (event) => {
  event.preventDefault();
  told(async () => {
    await ask("POST", "/api/posts", { text: at("text").value });
    at("write").reset();
  });
});

await told(whoever);
setInterval(() => document.hidden || told(async () => {}), 15000);
