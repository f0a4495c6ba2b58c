// How the cache does, now and over the last minutes.

import { get } from '../api.js';
import { color, surface } from '../coverage.js';
import { h } from '../dom.js';
import { ago, bytes, count, percent } from '../format.js';

/** Seconds that the charts show. */
const SPAN = 300;

export async function show(main, until) {
  const history = [];
  const cards = h('div', { className: 'cards' });
  const ratios = h('canvas', { className: 'chart', role: 'img', 'aria-label': 'Hit ratio by bytes over the last five minutes' });
  const rates = h('canvas', { className: 'chart', role: 'img', 'aria-label': 'Bytes a second to viewers from the cache and from the origin' });
  const disk = h('div', { className: 'card' });
  const profiles = h('div', { className: 'card scroll' });
  main.append(
    h('h1', {}, 'Overview'), cards,
    h('div', { className: 'charts' },
      h('div', { className: 'card' }, h('h2', {}, 'Hit ratio of the last minute'), ratios,
        h('div', { className: 'key' }, key('cache', 'bytes to viewers that came from the cache'))),
      h('div', { className: 'card' }, h('h2', {}, 'Throughput'), rates,
        h('div', { className: 'key' }, key('cache', 'to viewers from the cache'), key('origin', 'from the origin')))),
    h('h2', {}, 'Disk'), disk,
    h('h2', {}, 'Profiles'), profiles);

  const draw = stats => {
    const { minute, hour, day } = stats.windows;
    cards.replaceChildren(
      card('hit ratio, last minute', percent(minute.byte_hit_ratio), `${percent(minute.hit_ratio)} of requests`),
      card('last hour', percent(hour.byte_hit_ratio), `${count(hour.requests)} requests`),
      card('last day', percent(day.byte_hit_ratio), `${count(day.requests)} requests`),
      card('origin bytes saved, last day', bytes(day.origin_bytes_saved), `${bytes(day.bytes_to_viewers)} to viewers`),
      card('viewers now', count(stats.viewers), `${count(stats.fills)} ${stats.fills === 1 ? 'transfer' : 'transfers'} from the origin`),
      card('entities', count(stats.entities), `running for ${ago(stats.started_at).replace(' ago', '')}`));
    line(ratios, history.map(point => [point.windows.minute.byte_hit_ratio]), ['cache'], 1, percent);
    const both = history.map(point => [point.throughput.from_cache, point.throughput.from_origin]);
    const most = Math.max(1, ...both.flat());
    line(rates, both, ['cache', 'origin'], most, value => `${bytes(value)}/s`);
    drawDisk(disk, stats);
  };
  const take = stats => {
    history.push(stats);
    if (SPAN < history.length) history.shift();
    draw(stats);
  };
  const first = await get('/v1/stats', until);
  take(first);
  drawProfiles(profiles, first.profiles);
  until.listen((name, data) => {
    if (name === 'stats') take(data);
  });
  until.every(10000, async () => drawProfiles(profiles, (await get('/v1/stats', until)).profiles));
}

const key = (name, text) => h('span', {}, h('i', { style: `--ink: var(--${name})` }), text);

function card(label, value, below) {
  return h('div', { className: 'card' },
    h('div', { className: 'label' }, label), h('div', { className: 'value' }, value), h('div', { className: 'label' }, below));
}

/** Lines from the oldest to the newest point, with what the newest is and what the top means. */
function line(canvas, points, names, most, format) {
  const { context, width, height } = surface(canvas);
  const top = 20;
  const floor = height - 1;
  const span = Math.max(60, points.length) - 1;
  const x = index => width - (points.length - 1 - index) * width / span;
  const y = value => floor - value / most * (floor - top);
  context.strokeStyle = color('line');
  context.lineWidth = 1;
  context.beginPath();
  for (const share of [0, 0.5, 1]) {
    const at = Math.round(y(share * most)) - 0.5;
    context.moveTo(0, at);
    context.lineTo(width, at);
  }
  context.stroke();
  names.forEach((name, column) => {
    context.strokeStyle = color(name);
    context.fillStyle = color(name);
    context.lineWidth = 2;
    context.beginPath();
    let before = null;
    let from = 0;
    const close = index => {
      // What is below the line, faintly; the path itself is drawn afterwards.
      context.globalAlpha = 0.12;
      const below = new Path2D();
      below.moveTo(x(from), floor);
      for (let at = from; at < index; at += 1) below.lineTo(x(at), y(points[at][column]));
      below.lineTo(x(index - 1), floor);
      context.fill(below);
      context.globalAlpha = 1;
    };
    points.forEach((point, index) => {
      const value = point[column];
      if (value === null) {
        if (before !== null) close(index);
      } else if (before === null) {
        from = index;
        context.moveTo(x(index), y(value));
      } else {
        context.lineTo(x(index), y(value));
      }
      before = value;
    });
    if (before !== null) {
      close(points.length);
      context.stroke();
      context.beginPath();
      context.arc(width - 4, y(before), 3, 0, 2 * Math.PI);
      context.fill();
    } else {
      context.stroke();
    }
  });
  context.fillStyle = color('faint');
  context.font = '12px system-ui, sans-serif';
  context.fillText(format(most), 0, 13);
}

function drawDisk(into, { disk, pools }) {
  const part = (value, name, label) =>
    h('i', { style: `--ink: var(--${name}); width: ${Math.min(100, value / Math.max(1, disk.max) * 100)}%`, title: `${label}: ${bytes(value)}` });
  into.replaceChildren(
    h('div', { className: 'bar', role: 'img', 'aria-label': `${bytes(disk.used)} of ${bytes(disk.max)} used` },
      part(pools.pinned.bytes, 'text', 'pinned'), part(pools.admitted.bytes, 'cache', 'worth keeping'), part(pools.provisional.bytes, 'origin', 'provisional')),
    h('p', { className: 'key' },
      key('text', `pinned ${bytes(pools.pinned.bytes)}`), key('cache', `worth keeping ${bytes(pools.admitted.bytes)}`),
      key('origin', `provisional ${bytes(pools.provisional.bytes)} of ${bytes(pools.provisional.max)}`)),
    h('p', { className: 'faint' },
      `${bytes(disk.used)} of ${bytes(disk.max)} used; the disk has ${bytes(disk.free)} free, of which ${bytes(disk.floor)} stay so; the index takes ${bytes(disk.index)}.`));
}

function drawProfiles(into, profiles) {
  const row = ([name, { hour, day }]) => h('tr', {},
    h('td', {}, name), h('td', { className: 'number' }, percent(hour.byte_hit_ratio)), h('td', { className: 'number' }, percent(day.byte_hit_ratio)),
    h('td', { className: 'number' }, count(day.requests)), h('td', { className: 'number' }, bytes(day.origin_bytes_saved)));
  into.replaceChildren(h('table', {},
    h('thead', {}, h('tr', {}, ['profile', 'hits, hour', 'hits, day', 'requests, day', 'saved, day'].map((text, index) =>
      h('th', { className: index ? 'number' : '' }, text)))),
    h('tbody', {}, Object.entries(profiles).map(row))));
}
