// What somebody wants whole.

import { all, post, remove } from '../api.js';
import { act, h, notice, tag } from '../dom.js';
import { bytes, duration } from '../format.js';

/** In this order they are shown. */
const STATUSES = ['running', 'queued', 'waiting', 'paused', 'failed', 'complete'];

const ENDED = ['complete', 'failed', 'paused'];

export async function show(main, until) {
  const url = h('input', { name: 'url', type: 'url', required: true, placeholder: 'A URL as viewers use it: https://…', 'aria-label': 'URL' });
  const form = h('form', { className: 'filters' }, url, h('button', { className: 'primary' }, 'Download'));
  const list = h('div');
  main.append(h('h1', {}, 'Downloads'), form, list);
  form.onsubmit = event => {
    event.preventDefault();
    act(event.submitter, async () => {
      await post('/v1/downloads', { url: url.value.trim() });
      form.reset();
      await load();
    });
  };
  const rows = new Map();
  let running = false;
  const load = async () => {
    const downloads = await all('/v1/downloads?limit=1000');
    running = downloads.some(download => !ENDED.includes(download.status));
    const known = new Set(downloads.map(download => download.id));
    for (const [id, row] of rows) {
      if (!known.has(id)) {
        row.element.remove();
        rows.delete(id);
      }
    }
    downloads.sort((a, b) => STATUSES.indexOf(a.status) - STATUSES.indexOf(b.status));
    downloads.forEach((download, at) => {
      if (!rows.has(download.id)) rows.set(download.id, makeRow(download, load));
      const { element, fill } = rows.get(download.id);
      fill(download);
      // Only what is elsewhere is moved: a button that is moved loses the focus.
      if (list.children[at] !== element) list.insertBefore(element, list.children[at] ?? null);
    });
    list.querySelector('p.none')?.remove();
    if (!rows.size) list.append(h('p', { className: 'faint none' }, 'Nothing is downloaded. Give a URL, or choose Download at a video.'));
  };
  await load();
  const again = () => load().catch(error => notice(error.message, true));
  until.listen((name, data) => {
    if (name === 'reset' || name === 'download' && data.status === 'deleted') again();
    else if (name === 'download') {
      if (rows.has(data.id)) rows.get(data.id).fill(data);
      else again();
      running ||= !ENDED.includes(data.status);
    }
  });
  until.every(1000, () => running && again());
}

function makeRow({ id }, reload) {
  const name = h('b', { className: 'mono' });
  const state = h('span');
  const done = h('i');
  const bar = h('div', { className: 'bar', role: 'progressbar', 'aria-valuemin': 0, 'aria-valuemax': 100 }, done);
  const told = h('p', { className: 'faint' });
  const buttons = h('span', { className: 'actions' });
  const element = h('section', { className: 'card entity', 'data-download': id }, h('div', { className: 'actions head' }, name, state, buttons), bar, told);
  let before;
  const fill = download => {
    name.textContent = download.url;
    name.title = download.key;
    state.replaceChildren(tag(download.status));
    const part = download.complete_length ? download.cached_bytes / download.complete_length * 100 : 0;
    done.style.width = `${part}%`;
    bar.setAttribute('aria-valuenow', part.toFixed(0));
    told.textContent = [
      `${bytes(download.cached_bytes)} of ${bytes(download.complete_length)}`,
      download.status === 'running' ? `${bytes(download.bytes_per_second)}/s` : null,
      download.eta_seconds !== null && download.status === 'running' ? `${duration(download.eta_seconds)} left` : null,
      download.detail,
    ].filter(Boolean).join(' · ');
    if (before === download.status) return;
    before = download.status;
    const button = (text, action, className) => h('button', {
      className, onclick: event => act(event.target, async () => {
        await action();
        await reload();
      }),
    }, text);
    const path = `/v1/downloads/${id}`;
    buttons.replaceChildren(
      ...(download.status === 'paused' || download.status === 'failed'
        ? [button('Resume', () => post(`${path}/resume`))]
        : download.status === 'complete' ? [] : [button('Pause', () => post(`${path}/pause`))]),
      button(download.status === 'complete' ? 'Forget' : 'Cancel', () => remove(path), 'danger'));
  };
  return { element, fill };
}
