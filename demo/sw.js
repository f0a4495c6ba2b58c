// Stands between the player and the network, so that the page can show every request the player
// makes and what the cache said to it. It changes nothing but to keep the browser's own caches out.

self.addEventListener("install", () => self.skipWaiting());
self.addEventListener("activate", (event) => event.waitUntil(self.clients.claim()));

self.addEventListener("fetch", (event) => {
  const url = new URL(event.request.url);
  if (event.request.method === "GET" && url.pathname.startsWith("/videos/")) {
    event.respondWith(watch(event));
  }
});

let last = 0;

async function watch(event) {
  const id = `${Date.now()}-${++last}`;
  const asked = event.request.headers.get("Range");
  const headers = new Headers(asked ? { Range: asked } : {});
  // `no-store` alone would add `Cache-Control: no-cache`, which tells every cache on the way to
  // step aside; these two are set so that the browser does not set them.
  headers.set("Cache-Control", "no-transform");
  headers.set("Pragma", "-");

  const tell = async (fact) => {
    const page = event.clientId && (await self.clients.get(event.clientId));
    const pages = page ? [page] : await self.clients.matchAll();
    for (const one of pages) one.postMessage({ id, ...fact });
  };

  // The page numbers its loads in the query, so that the player does not take the bytes of the
  // load before; the number is for the player only.
  const { origin, pathname } = new URL(event.request.url);
  const began = performance.now();
  const response = await fetch(origin + pathname, {
    headers,
    cache: "no-store",
    signal: event.request.signal,
  });
  const range = /bytes (\d+)-(\d+)\/(\d+)/.exec(response.headers.get("Content-Range") ?? "");
  tell({
    path: pathname,
    asked,
    status: response.status,
    cache: response.headers.get("Cache-Status") ?? "",
    first: range ? Number(range[1]) : 0,
    total: range ? Number(range[3]) : Number(response.headers.get("Content-Length") ?? 0),
    wait: Math.round(performance.now() - began),
  });
  if (!response.body) return response;

  let bytes = 0;
  let told = 0;
  const counted = response.body.pipeThrough(
    new TransformStream({
      transform(chunk, controller) {
        bytes += chunk.byteLength;
        controller.enqueue(chunk);
        if (performance.now() - told > 100) {
          told = performance.now();
          tell({ bytes });
        }
      },
      flush: () => tell({ bytes }),
    }),
  );
  return new Response(counted, {
    status: response.status,
    statusText: response.statusText,
    headers: response.headers,
  });
}
