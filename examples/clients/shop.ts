// A small program on the generated TypeScript client: it signs in, posts, lists, orders, and reads a problem.
//
//     make clients
//     npm install ./clients/typescript typescript
//     npx tsc --strict --target es2022 --module esnext --moduleResolution bundler --outDir out examples/clients/shop.ts
//     node out/shop.js http://127.0.0.1:8000 user 1234

import createClient from "openapi-fetch";
import type { components, paths } from "lockstep-client";

declare const process: { argv: string[] };
const [url, username, password] = process.argv.slice(2) as [string, string, string];
const client = createClient<paths>({ baseUrl: url });

type Problem = components["schemas"]["Problem"];
type Product = components["schemas"]["Product"];

/** The data of an answer; a problem ends the program. */
function expect<T>(answer: { data?: T; error?: unknown; response: Response }): T {
  if (answer.data !== undefined) return answer.data;
  throw new Error(`${answer.response.status}: ${JSON.stringify(answer.error)}`);
}

/** All products, newest first, page by page. */
async function* products(): AsyncGenerator<Product> {
  let cursor: string | undefined;
  do {
    const page = expect(await client.GET("/api/v1/products/", { params: { query: { limit: 2, cursor } } }));
    yield* page.results;
    cursor = page.next ? (new URL(page.next).searchParams.get("cursor") ?? undefined) : undefined;
  } while (cursor);
}

const pair = expect(await client.POST("/api/v1/auth/token/", { body: { username, password } }));
client.use({
  onRequest({ request }) {
    request.headers.set("Authorization", `Bearer ${pair.access}`);
    return request;
  },
});

const post = expect(await client.POST("/fakeapi/v1/posts/create/", { body: { title: "Hello", body: "In step." } }));
console.log(`post: ${post.title}`);

let product: Product | undefined;
for (const name of ["bell", "bicycle", "pump"]) {
  product = expect(await client.POST("/api/v1/products/", { body: { name, price: "2.50", stock: 10 } }));
}
const names: string[] = [];
for await (const { name } of products()) names.push(name);
console.log(`products: ${names.slice(0, 3).join(", ")}`);

// However often it is sent, a request with this key is carried out once.
const order = {
  params: { header: { "Idempotency-Key": crypto.randomUUID() } },
  body: { lines: [{ product: product!.id, quantity: 2 }] },
};
const first = expect(await client.POST("/api/v1/orders/", order));
const again = expect(await client.POST("/api/v1/orders/", order));
console.log(`order: ${first.state} ${first.total}, the same: ${first.id === again.id}`);

const refused = await client.POST("/fakeapi/v1/posts/create/", { body: { title: "", body: "In step." } });
if (refused.error) {
  const problem: Problem = refused.error;
  const [error] = problem.errors;
  console.log(`problem: ${problem.type} ${problem.status}, ${error?.field}: ${error?.detail}`);
}
