// The server's events. EventSource cannot send a token, so they are read from a fetch.

import { send } from './api.js';

const listeners = new Set();
let state = 'connecting';
let last = null;

/** Calls back with (name, data) for every event, and 'state' when the connection changes. The
 * answer ends that. */
export function listen(callback) {
  listeners.add(callback);
  callback('state', state);
  return () => listeners.delete(callback);
}

function tell(name, data) {
  for (const callback of listeners) callback(name, data);
}

function turn(now) {
  if (now === state) return;
  state = now;
  tell('state', state);
}

/** Takes events apart as they come (HTML, section 9.2.6): what is left over comes back. */
export function split(text, emit) {
  const blocks = text.split('\n\n');
  const rest = blocks.pop();
  for (const block of blocks) {
    let name = 'message';
    const data = [];
    let id;
    for (const line of block.split('\n')) {
      const colon = line.indexOf(':');
      if (colon === 0 || line === '') continue;
      const field = colon < 0 ? line : line.slice(0, colon);
      const value = colon < 0 ? '' : line.slice(colon + 1).replace(/^ /, '');
      if (field === 'event') name = value;
      else if (field === 'data') data.push(value);
      else if (field === 'id') id = value;
    }
    if (data.length) emit(name, data.join('\n'), id);
  }
  return rest;
}

async function once() {
  const headers = { accept: 'text/event-stream', ...(last ? { 'last-event-id': last } : {}) };
  const response = await send('GET', '/v1/events', { headers });
  if (!response.ok) throw new Error(`status ${response.status}`);
  turn('live');
  const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
  let rest = '';
  for (;;) {
    const { value, done } = await reader.read();
    if (done) return;
    rest = split(rest + value.replaceAll('\r\n', '\n'), (name, data, id) => {
      if (id) last = id;
      tell(name, JSON.parse(data));
    });
  }
}

/** Reads events for as long as the page is open. */
export async function run() {
  for (let wait = 500; ; wait = Math.min(wait * 2, 10000)) {
    const began = Date.now();
    try {
      await once();
    } catch (error) {
      console.warn('events:', error.message);
    }
    turn('connecting');
    if (10000 < Date.now() - began) wait = 500;
    await new Promise(resolve => setTimeout(resolve, wait));
  }
}
