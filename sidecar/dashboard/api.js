// Calls of the REST API, with the token when one is needed.

import { byId } from './dom.js';

const KEY = 'viewcache-token';

/** What the API refused, by problem details (RFC 9457). */
export class Refused extends Error {
  constructor(status, problem) {
    super(problem.detail ?? problem.title ?? `status ${status}`);
    this.status = status;
    this.field = problem.field;
  }
}

/** For as long as the tab is open: what a browser keeps longer, others may find. */
const stored = () => sessionStorage.getItem(KEY);

let asking = null;

/** Asks for a token, once for all who wait for it; where there is one that works, it may stay. */
function ask(why, works = false) {
  asking ??= new Promise(resolve => {
    const dialog = byId('ask-token');
    const form = dialog.querySelector('form');
    byId('ask-token-why').textContent = why;
    for (const other of form.querySelectorAll('button[formnovalidate]')) other.hidden = !works;
    form.reset();
    // What closes it without a button, such as the key Escape.
    dialog.returnValue = 'keep';
    dialog.showModal();
    dialog.addEventListener('close', () => {
      if (dialog.returnValue === 'use') sessionStorage.setItem(KEY, form.elements.token.value.trim());
      else if (dialog.returnValue === 'forget') sessionStorage.removeItem(KEY);
      showToken();
      asking = null;
      resolve(dialog.returnValue !== 'keep');
    }, { once: true });
  });
  return asking;
}

/** The button with which another token is given is there when one is in use. */
function showToken() {
  byId('token').hidden = !stored();
}

/** Lets the user give another token, or take this one back. */
export function tokenButton() {
  showToken();
  byId('token').onclick = async () => {
    if (await ask('A token that may do more, or less, than the one in use.', true)) location.reload();
  };
}

/** Fetches, and asks for another token for as long as the one that there is is refused. */
export async function send(method, path, { body, headers = {}, signal } = {}) {
  for (;;) {
    const token = stored();
    const response = await fetch(path, {
      method, signal, cache: 'no-store', credentials: 'omit',
      headers: {
        ...headers,
        ...(token ? { authorization: `Bearer ${token}` } : {}),
        ...(body !== undefined && !headers['content-type'] ? { 'content-type': 'application/json' } : {}),
      },
      body: body === undefined || headers['content-type'] ? body : JSON.stringify(body),
    });
    if (response.status !== 401) return response;
    // Another call may have got a new one meanwhile.
    if (stored() === token) {
      await ask(token ? 'That token is not known, or not any more.' : 'This management port is for those who have one.');
    }
  }
}

async function read(response) {
  const text = await response.text();
  let value = null;
  try {
    value = text ? JSON.parse(text) : null;
  } catch {
    throw new Refused(response.status, { detail: `status ${response.status}: ${text.slice(0, 200)}` });
  }
  if (!response.ok) throw new Refused(response.status, value ?? {});
  return value;
}

export const get = async (path, options) => read(await send('GET', path, options));
export const post = async (path, body) => read(await send('POST', path, { body }));
export const put = async (path, body) => read(await send('PUT', path, { body }));
export const remove = async path => read(await send('DELETE', path));

/** A body that is a file of the user's. */
export const upload = async (path, file) =>
  read(await send('POST', path, { body: file, headers: { 'content-type': 'application/octet-stream' } }));

/** Something that can be edited, with the tag by which a change of others is noticed. */
export async function edit(path) {
  const response = await send('GET', path);
  const tag = response.headers.get('etag');
  return { value: await read(response), tag };
}

/** Writes what was edited, unless somebody else has in the meantime. */
export async function save(method, path, body, tag) {
  const headers = tag ? { 'if-match': tag } : {};
  const response = await send(method, path, { body, headers });
  if (response.status === 412) throw new Refused(412, { detail: 'somebody else has changed it meanwhile: load it again' });
  return read(response);
}

/** The pages of a list, one after the other. */
export async function* pages(path, signal) {
  const glue = path.includes('?') ? '&' : '?';
  let cursor = null;
  do {
    const page = await get(cursor ? `${path}${glue}cursor=${encodeURIComponent(cursor)}` : path, { signal });
    yield page.items;
    cursor = page.next;
  } while (cursor);
}

/** All of a list that is not long. */
export async function all(path) {
  const items = [];
  for await (const page of pages(path)) items.push(...page);
  return items;
}

export const query = parameters => {
  const given = Object.entries(parameters).filter(([, value]) => value !== '' && value !== null && value !== undefined);
  return given.length ? `?${new URLSearchParams(given)}` : '';
};
