// What happens, as it happens.

import { h } from '../dom.js';
import { bytes, clock } from '../format.js';

/** So many are shown. */
const MOST = 500;

const QUIET = new Set(['stats', 'activity', 'state']);

const kept = [];

export async function show(main, until) {
  const only = h('input', { type: 'search', placeholder: 'Only those with … ( / )', 'aria-label': 'Only events with this text' });
  const hold = h('input', { type: 'checkbox' });
  const stored = h('input', { type: 'checkbox', checked: true });
  const body = h('tbody');
  const empty = h('p', { className: 'faint' }, 'What happens is listed here as it does, from the moment this page was opened.');
  main.append(h('h1', {}, 'Events'),
    h('div', { className: 'filters' }, only, h('label', { className: 'check' }, stored, 'stored bytes too'), h('label', { className: 'check' }, hold, 'hold')),
    h('div', { className: 'card log', tabIndex: 0, 'aria-label': 'Events' }, h('table', {}, body), empty));
  const wanted = row => (stored.checked || row.name !== 'stored') && row.text.toLowerCase().includes(only.value.toLowerCase());
  const draw = () => {
    body.replaceChildren(...kept.filter(wanted).map(line).reverse());
    empty.hidden = 0 < kept.length;
  };
  only.oninput = draw;
  stored.onchange = draw;
  hold.onchange = () => hold.checked || draw();
  draw();
  until.listen((name, data) => {
    if (QUIET.has(name)) return;
    const row = { name, data, text: `${name} ${describe(name, data)}` };
    kept.push(row);
    if (MOST < kept.length) kept.shift();
    if (hold.checked || !wanted(row)) return;
    empty.hidden = true;
    body.prepend(line(row));
    while (MOST < body.childElementCount) body.lastElementChild.remove();
  });
}

function describe(name, data) {
  switch (name) {
    case 'stored': return `${data.ranges.map(([start, end]) => `[${start}, ${end})`).join(' ')} of ${data.video_id}: ${bytes(data.cached_bytes)} of ${bytes(data.complete_length)}`;
    case 'appeared': return `${data.key}, ${bytes(data.complete_length)}`;
    case 'admitted': return `${data.video_id}: ${data.reason}`;
    case 'evicted': return `${data.video_id ?? data.id}: ${bytes(data.bytes)}, ${data.reason}`;
    case 'purged': return data.id ? `${data.video_id}: ${bytes(data.bytes)}` : `${data.entities} entities: ${bytes(data.bytes)}`;
    case 'download': return `${data.key ?? data.id}: ${data.status}${data.detail ? `, ${data.detail}` : ''}`;
    case 'policy': return 'the policy has changed';
    case 'reset': return 'events were missed';
    default: return data.video_id ?? data.id ?? JSON.stringify(data);
  }
}

function line({ name, data, text }) {
  const about = text.slice(name.length + 1);
  const link = data.video_id ? h('a', { href: `#/videos/${encodeURIComponent(data.video_id)}` }, about) : about;
  return h('tr', {}, h('td', { className: 'faint number' }, data.at ? clock(data.at) : ''), h('td', {}, h('span', { className: 'tag' }, name)), h('td', { className: 'mono' }, link));
}
