// All videos. Only the rows in sight are in the page, so that ten thousand scroll like ten.

import { get, pages, query } from '../api.js';
import { drawShares, legend, shares, sizeOf } from '../coverage.js';
import { h, tag } from '../dom.js';
import { ago, bytes, count, nameOf } from '../format.js';

/** Buckets of a row's map. */
const BUCKETS = 64;

/** So many rows are looked up again at a time when something of them has changed. */
const REFRESH = 12;

export async function show(main, until) {
  const search = h('input', { type: 'search', placeholder: 'Search titles and ids ( / )', 'aria-label': 'Search' });
  const status = choice('Status', ['', 'downloading', 'partial', 'complete', 'stale'], 'any status');
  const sort = choice('Order', ['-last_accessed', '-cached_bytes', '-hits', '-started_at', 'id']);
  const channel = h('input', { placeholder: 'Channel', 'aria-label': 'Channel', size: 14 });
  const total = h('p', { className: 'faint', role: 'status' });
  const space = h('div', { className: 'space' });
  const list = h('div', { className: 'card list', tabIndex: 0, 'aria-label': 'Videos' }, space);
  main.append(h('h1', {}, 'Videos'), h('div', { className: 'filters' }, search, status, channel, sort), h('div', { className: 'actions head' }, total, legend()), list);

  let videos = [];
  let shown = [];
  const places = new Map();
  const rows = new Map();
  const dirty = new Set();
  // What goes on with each video just now.
  let doings = new Map();
  // Rows out of sight, for others, and how large the map of each is.
  const spare = [];
  let size = null;
  const height = () => matchMedia('(max-width: 720px)').matches ? 76 : 60;

  const layout = () => {
    const tall = height();
    const first = Math.max(0, Math.floor(list.scrollTop / tall) - 4);
    const last = Math.min(shown.length, Math.ceil((list.scrollTop + list.clientHeight) / tall) + 4);
    for (const [id, row] of rows) {
      const at = places.get(id);
      if (at === undefined || at < first || last <= at) {
        // The one that has the focus stays, or the keyboard would lose its place.
        if (row.element === document.activeElement && at !== undefined) continue;
        rows.delete(id);
        spare.push(row);
      }
    }
    for (let at = first; at < last; at += 1) {
      const item = shown[at];
      let row = rows.get(item.id);
      if (!row) {
        row = spare.pop() ?? makeRow(space);
        rows.set(item.id, row);
        size ??= sizeOf(row.map);
        row.fill(item, size, doings.get(item.id));
      }
      row.element.style.transform = `translateY(${at * tall}px)`;
    }
    spare.splice(0).forEach(row => row.element.remove());
  };
  let scheduled = false;
  const soon = () => {
    if (scheduled) return;
    scheduled = true;
    requestAnimationFrame(() => {
      scheduled = false;
      layout();
    });
  };

  const arrange = () => {
    shown = videos.filter(video => !status.value || video.status === status.value);
    places.clear();
    shown.forEach((video, at) => places.set(video.id, at));
    const all = shown.length === 1 ? '1 video' : `${count(shown.length)} videos`;
    total.textContent = `${all}, ${bytes(shown.reduce((sum, video) => sum + video.cached_bytes, 0))} stored`;
    space.style.height = `${shown.length * height()}px`;
    soon();
  };

  /** What is in the page already is drawn again, in place: the one that has the focus keeps it. */
  const refill = () => {
    for (const [id, row] of rows) {
      const at = places.get(id);
      if (at === undefined) continue;
      size ??= sizeOf(row.map);
      row.fill(shown[at], size, doings.get(id));
    }
  };

  let loading = new AbortController();
  const load = async () => {
    loading.abort();
    loading = new AbortController();
    const signal = AbortSignal.any([loading.signal, until.signal]);
    const found = [];
    const parameters = query({ limit: 1000, coverage: BUCKETS, sort: sort.value, search: search.value.trim(), channel: channel.value.trim() });
    try {
      for await (const page of pages(`/v1/videos${parameters}`, signal)) {
        found.push(...page);
        videos = found;
        arrange();
      }
      videos = found;
      arrange();
      refill();
    } catch (error) {
      if (!signal.aborted) throw error;
    }
  };

  let typing;
  const changed = () => {
    clearTimeout(typing);
    typing = setTimeout(() => load(), 250);
  };
  search.oninput = changed;
  channel.oninput = changed;
  sort.onchange = load;
  status.onchange = arrange;
  list.onscroll = soon;
  const watch = new ResizeObserver(() => {
    size = null;
    arrange();
    refill();
  });
  watch.observe(list);
  until.signal.addEventListener('abort', () => watch.disconnect());
  list.onkeydown = event => {
    const step = { ArrowDown: 1, ArrowUp: -1, PageDown: 8, PageUp: -8 }[event.key];
    const jump = { Home: 0, End: shown.length - 1 }[event.key];
    if (step === undefined && jump === undefined || !shown.length) return;
    event.preventDefault();
    const here = places.get(document.activeElement?.dataset?.id);
    const to = jump ?? Math.max(0, Math.min(shown.length - 1, (here ?? -1) + step));
    const tall = height();
    if (to * tall < list.scrollTop) list.scrollTop = to * tall;
    if (list.scrollTop + list.clientHeight < (to + 1) * tall) list.scrollTop = (to + 1) * tall - list.clientHeight;
    layout();
    rows.get(shown[to].id)?.element.focus({ preventScroll: true });
  };

  until.listen((name, data) => {
    if (name === 'reset') load();
    else if (name === 'activity') {
      const before = [...doings.keys()];
      doings = byVideo(data.entities);
      for (const id of new Set([...before, ...doings.keys()])) {
        dirty.add(id);
        rows.get(id)?.draw(size, doings.get(id));
      }
    }
    else if (data?.video_id) dirty.add(data.video_id);
    if (name === 'appeared' && !videos.some(video => video.id === data.video_id)) changed();
    if (name === 'purged' && data.video_id === undefined) changed();
  });
  // What has changed and is in sight is looked up again, some of it at a time.
  let busy = false;
  until.every(400, async () => {
    if (busy) return;
    busy = true;
    const ids = [...dirty].filter(id => rows.has(id)).slice(0, REFRESH);
    dirty.forEach(id => {
      if (!rows.has(id)) dirty.delete(id);
    });
    try {
      await Promise.all(ids.map(async id => {
        dirty.delete(id);
        const page = await get(`/v1/videos/${encodeURIComponent(id)}?coverage=${BUCKETS}`, until).catch(() => null);
        const at = videos.findIndex(video => video.id === id);
        if (at < 0) return;
        if (!page) {
          changed();
          return;
        }
        videos[at] = { ...page, entities: page.entities.length };
        const place = places.get(id);
        if (place !== undefined) shown[place] = videos[at];
        rows.get(id)?.fill(videos[at], size, doings.get(id));
      }));
    } finally {
      busy = false;
    }
  });
  await load();
}

/** Where its viewers are and what is being filled, as shares of each entity. */
function byVideo(entities) {
  const found = new Map();
  for (const { video_id: id, complete_length: length, filling, reading } of entities) {
    if (!length) continue;
    const doing = found.get(id) ?? { filling: [], reading: [] };
    doing.filling.push(...filling.map(([start, end]) => [start / length, end / length]));
    doing.reading.push(...reading.map(position => position / length));
    found.set(id, doing);
  }
  return found;
}

function choice(label, values, none) {
  const name = value => value === '' ? none : value.replace('-', '').replace('_', ' ');
  return h('select', { 'aria-label': label }, values.map(value => h('option', { value }, name(value))));
}

function makeRow(space) {
  const title = h('b');
  const below = h('small');
  const map = h('canvas', { role: 'img' });
  const stored = h('span', { className: 'number' });
  const state = h('span', { className: 'wide' });
  const used = h('small', { className: 'number wide' });
  const element = h('a', { className: 'row' },
    h('span', { style: 'min-width: 0' }, title, below), map, stored, state, used);
  let covered = [];
  space.append(element);
  const draw = (size, doing) => {
    map.dataset.doing = doing ? `${doing.filling.length} filling, ${doing.reading.length} reading` : '';
    drawShares(map, covered, size, doing);
  };
  const fill = (video, size, doing) => {
    element.href = `#/videos/${encodeURIComponent(video.id)}`;
    element.dataset.id = video.id;
    title.textContent = nameOf(video);
    const itags = video.itags.length ? `itags ${video.itags.join(', ')}` : `${video.entities} stored`;
    below.textContent = [video.pinned ? 'pinned' : null, video.channel, itags, video.viewers ? `${video.viewers} watching` : null].filter(Boolean).join(' · ');
    stored.textContent = bytes(video.cached_bytes);
    stored.title = `of ${bytes(video.complete_length)}`;
    state.replaceChildren(tag(video.status));
    used.textContent = ago(video.last_accessed);
    const whole = video.complete_length ? Math.round(video.cached_bytes / video.complete_length * 100) : 0;
    map.setAttribute('aria-label', `${whole} % stored`);
    covered = shares(video.coverage);
    draw(size, doing);
  };
  return { element, map, fill, draw };
}
