// Counts the defects that each user created and deleted. It counts each message once, however often it is sent.
//
//     deno run --allow-net --allow-env --allow-read --allow-write examples/counter_server.js
//     COUNTER_URL=http://127.0.0.1:8888 make run
//
// POST /  {"user": 1, "action": "create" | "delete"} → {"counted": true}, or false if it was counted before
// GET  /  {"users": {"1": {"create": 3, "delete": 1}}, "messages": 4, "repeats": 0}
//
// PORT (8888); COUNTER_SECRET, which signs the messages (development's); COUNTER_FILE, which stores the counts
// (counter.sqlite3; ":memory:" stores none).

import { timingSafeEqual } from "node:crypto";
import { DatabaseSync } from "node:sqlite";

const PORT = Number(Deno.env.get("PORT") ?? 8888);
const SECRET = Deno.env.get("COUNTER_SECRET") ?? "whsec_bG9ja3N0ZXAsIGluIGRldmVsb3BtZW50";
const FILE = Deno.env.get("COUNTER_FILE") ?? "counter.sqlite3";
const TOLERANCE = 300; // maximum age of a message in seconds: an older one is a replay by an attacker

const bytes = (text) => Uint8Array.from(atob(text), (character) => character.charCodeAt(0));
const key = await crypto.subtle.importKey(
  "raw", bytes(SECRET.replace(/^whsec_/, "")), { name: "HMAC", hash: "SHA-256" }, false, ["sign"],
);

const database = new DatabaseSync(FILE);
database.exec(`
  PRAGMA journal_mode = wal;
  CREATE TABLE IF NOT EXISTS messages (id TEXT PRIMARY KEY, user INTEGER NOT NULL, action TEXT NOT NULL);
  CREATE TABLE IF NOT EXISTS repeats (id TEXT NOT NULL);
`);
// The id is stored in the counted row, so that both are written or neither is.
const count = database.prepare("INSERT INTO messages VALUES (?, ?, ?) ON CONFLICT DO NOTHING");
const repeat = database.prepare("INSERT INTO repeats VALUES (?)");
const repeats = database.prepare("SELECT count(*) AS number FROM repeats");
const tallies = database.prepare(`
  SELECT user, sum(action = 'create') AS "create", sum(action = 'delete') AS "delete"
  FROM messages GROUP BY user ORDER BY user
`);

async function isSigned(headers, body) {
  const [id, sent] = [headers.get("webhook-id"), headers.get("webhook-timestamp")];
  if (!id || !(Math.abs(Date.now() / 1000 - Number(sent)) < TOLERANCE)) return false;
  const signature = await crypto.subtle.sign("HMAC", key, new TextEncoder().encode(`${id}.${sent}.${body}`));
  const expected = new Uint8Array(signature);
  return (headers.get("webhook-signature") ?? "").split(" ").some((one) => {
    const [version, given] = one.split(",");
    try {
      const found = bytes(given);
      return version === "v1" && found.length === expected.length && timingSafeEqual(found, expected);
    } catch {
      return false; // not base64
    }
  });
}

async function receive(request) {
  const body = await request.text();
  if (!(await isSigned(request.headers, body))) {
    return Response.json({ detail: "the signature does not hold" }, { status: 401 });
  }
  let message = null;
  try {
    message = JSON.parse(body);
  } catch {
    // answered below
  }
  const { user, action } = message ?? {};
  if (!Number.isSafeInteger(user) || !["create", "delete"].includes(action)) {
    return Response.json({ detail: 'a message is {"user": 1, "action": "create" | "delete"}' }, { status: 422 });
  }
  const id = request.headers.get("webhook-id");
  const counted = count.run(id, user, action).changes > 0;
  if (counted) console.log(`user ${user}: ${action}`);
  else repeat.run(id);
  return Response.json({ counted });
}

function show() {
  const rows = tallies.all();
  const users = Object.fromEntries(rows.map((row) => [row.user, { create: row.create, delete: row.delete }]));
  const messages = rows.reduce((sum, row) => sum + row.create + row.delete, 0);
  return Response.json({ users, messages, repeats: repeats.get().number });
}

Deno.serve({ port: PORT, hostname: "127.0.0.1" }, (request) => {
  if (new URL(request.url).pathname === "/") {
    if (request.method === "POST") return receive(request);
    if (request.method === "GET") return show();
  }
  return Response.json({ detail: "POST / and GET / are all there is" }, { status: 404 });
});
