// One video: its qualities, what is stored of each, who watches, and what can be done about it.

import { edit, get, post, put, remove, save, send } from '../api.js';
import { add, drawMap, legend, subtract } from '../coverage.js';
import { act, confirm, h, notice, tag } from '../dom.js';
import { ago, bytes, clock, count, duration, nameOf } from '../format.js';

export async function show(main, until, id) {
  const path = `/v1/videos/${encodeURIComponent(id)}`;
  const title = h('h1', {}, id);
  const about = h('div', { className: 'card' });
  const entities = h('div');
  main.append(h('p', {}, h('a', { href: '#/videos' }, '← Videos')), title, about, h('h2', {}, 'Entities'), legend(), entities);
  const panels = new Map();

  const load = async () => {
    const { value: video, tag: etag } = await edit(path);
    title.textContent = nameOf(video);
    drawAbout(about, path, video, etag, load);
    const known = new Set(video.entities.map(entity => entity.id));
    for (const [entity, panel] of panels) {
      if (!known.has(entity)) {
        panel.element.remove();
        panels.delete(entity);
      }
    }
    for (const entity of video.entities) {
      if (!panels.has(entity.id)) {
        const panel = makePanel(entity, until, load);
        panels.set(entity.id, panel);
        entities.append(panel.element);
      }
      await panels.get(entity.id).refresh();
    }
    entities.querySelector('p.none')?.remove();
    if (!panels.size) entities.append(h('p', { className: 'faint none' }, 'Nothing of it is stored.'));
  };
  let again;
  const soon = () => {
    again ??= setTimeout(() => {
      again = undefined;
      if (!until.signal.aborted) load().catch(gone);
    }, 300);
  };
  const gone = error => {
    if (until.signal.aborted) return;
    if (error.status === 404) {
      panels.forEach(panel => panel.element.remove());
      panels.clear();
      entities.replaceChildren(h('p', { className: 'faint none' }, 'Nothing of it is stored.'));
    } else {
      notice(error.message, true);
    }
  };
  await load().catch(gone);
  until.listen((name, data) => {
    if (name === 'reset') soon();
    else if (name === 'activity') {
      const now = new Map(data.entities.map(entity => [entity.id, entity]));
      panels.forEach((panel, entity) => panel.activity(now.get(entity)));
    } else if (name === 'video' && data.id === id) soon();
    else if (data?.video_id === id) {
      if (!panels.get(data.id)?.event(name, data)) soon();
    } else if (name === 'download' || name === 'purged' && !data.id) soon();
  });
}

function drawAbout(into, path, video, etag, reload) {
  const field = (name, label, value, type = 'text') => h('label', { className: name === 'title' ? 'wide' : '' }, label, h('input', { name, type, value: value ?? '', step: 'any', min: 0 }));
  const form = h('form', {},
    h('div', { className: 'filters' },
      field('title', 'Title', video.title), field('channel', 'Channel', video.channel), field('duration', 'Duration, seconds', video.duration, 'number')),
    h('div', { className: 'actions' },
      h('button', { className: 'primary' }, 'Save'),
      h('button', { type: 'button', className: 'danger', onclick: event => purge(event.target) }, 'Purge the video')));
  form.onsubmit = event => {
    event.preventDefault();
    const given = new FormData(form);
    const body = {};
    for (const name of ['title', 'channel']) {
      if (given.get(name).trim()) body[name] = given.get(name).trim();
    }
    if (given.get('duration')) body.duration = Number(given.get('duration'));
    act(event.submitter, async () => {
      await save('PUT', path, body, etag);
      form.classList.remove('edited');
      await reload();
    }, 'Saved.');
  };
  const purge = async button => {
    if (!await confirm(`Remove all ${bytes(video.cached_bytes)} that are stored of ${nameOf(video)}?`)) return;
    await act(button, async () => {
      const { entities, bytes: gone } = await post('/v1/purges', { video: video.id });
      notice(`Purged: ${entities} entities, ${bytes(gone)}.`);
    });
  };
  form.oninput = () => form.classList.add('edited');
  const facts = h('div', { className: 'facts' },
    fact('id', video.id), fact('stored', `${bytes(video.cached_bytes)} of ${bytes(video.complete_length)}`), fact('hits', count(video.hits)),
    fact('from the cache', bytes(video.bytes_from_cache)), fact('from the origin', bytes(video.bytes_from_origin)),
    fact('duration', duration(video.duration)), fact('last watched', ago(video.last_accessed)));
  // What somebody is writing stays as it is, with the tag by which a change of others is noticed.
  if (into.querySelector('form.edited')) into.querySelector('.facts').replaceWith(facts);
  else into.replaceChildren(facts, form);
}

const fact = (label, value) => h('div', {}, h('span', {}, `${label} `), value);

function makePanel({ id, key }, until, reload) {
  let entity = null;
  let ranges = [];
  let filling = [];
  let reading = [];
  const map = h('canvas', { className: 'map', role: 'img' });
  const head = h('div', { className: 'actions head' });
  const facts = h('div', { className: 'facts' });
  const pairs = h('details', {}, h('summary', {}, 'Stored ranges'), h('p', { className: 'mono' }));
  const past = h('details', { ontoggle: () => past.open && history() }, h('summary', {}, 'Why things went or were not stored'), h('div'));
  const tags = h('div', { className: 'actions' });
  const buttons = h('div', { className: 'actions' });
  head.append(tags, buttons);
  const element = h('section', { className: 'card entity', 'data-entity': id, 'aria-label': key }, head, map, facts, h('p', { className: 'mono faint' }, key), pairs, past);

  let scheduled = false;
  const draw = () => {
    if (scheduled) return;
    scheduled = true;
    requestAnimationFrame(() => {
      scheduled = false;
      const stored = ranges.reduce((sum, [start, end]) => sum + end - start, 0);
      const whole = entity.complete_length ? stored / entity.complete_length * 100 : 0;
      // For tests and for those who do not see the map.
      map.dataset.stored = stored;
      map.setAttribute('aria-label', `${whole.toFixed(1)} % stored, in ${ranges.length} runs; ${reading.length} reading`);
      drawMap(map, entity.complete_length, { ranges, filling, reading });
      pairs.querySelector('p').textContent = ranges.map(([start, end]) => `[${start}, ${end})`).join(' ') || 'none';
    });
  };
  const resize = new ResizeObserver(() => entity && draw());
  resize.observe(map);
  until.signal.addEventListener('abort', () => resize.disconnect());

  const refresh = async () => {
    const [found, coverage] = await Promise.all([
      get(`/v1/entities/${id}`, until),
      get(`/v1/entities/${id}/coverage?buckets=16`, until),
    ]);
    entity = found;
    ranges = entity.ranges;
    ({ filling, reading } = coverage);
    fillIn();
    draw();
  };
  const fillIn = () => {
    tags.replaceChildren(
      h('b', {}, entity.itag ? `itag ${entity.itag}` : entity.profile), tag(entity.status),
      ...(entity.stale_reason ? [h('span', { className: 'tag stale' }, entity.stale_reason)] : []),
      h('span', { className: 'tag' }, entity.provisional ? 'provisional' : 'worth keeping'),
      ...(entity.pinned ? [h('span', { className: 'tag' }, 'pinned')] : []));
    facts.replaceChildren(
      fact('stored', `${bytes(entity.cached_bytes)} of ${bytes(entity.complete_length)}`),
      fact('watched most by one', entity.watched_percent === null ? '–' : `${entity.watched_percent} %`),
      fact('viewers', count(entity.viewers)), fact('transfers', count(entity.fills)), fact('hits', count(entity.hits)),
      fact('from the cache', bytes(entity.bytes_from_cache)), fact('from the origin', bytes(entity.bytes_from_origin)),
      fact('last watched', ago(entity.last_accessed)));
    const doing = document.activeElement?.dataset?.does;
    const button = (does, text, action, done, className) =>
      h('button', { 'data-does': does, className, onclick: event => act(event.target, action, done) }, text);
    buttons.replaceChildren(
      entity.pinned
        ? button('pin', 'Unpin', async () => { await remove(`/v1/entities/${id}/pin`); await refresh(); }, 'No longer pinned.')
        : button('pin', 'Pin', async () => { await put(`/v1/entities/${id}/pin`); await refresh(); }, 'Pinned: it stays whatever the room.'),
      button('download', 'Download', () => post('/v1/downloads', { entity: id }), 'It is being downloaded.'),
      h('button', { 'data-does': 'purge', className: 'danger', onclick: event => purge(event.target) }, 'Purge'));
    if (doing && element.contains(document.activeElement) === false) buttons.querySelector(`[data-does=${doing}]`)?.focus();
  };
  const purge = async button => {
    if (!await confirm(`Remove the ${bytes(entity.cached_bytes)} that are stored of it?`)) return;
    if (await act(button, () => remove(`/v1/entities/${id}`), 'Purged.')) await reload().catch(() => element.remove());
  };
  const history = async () => {
    const response = await send('GET', `/v1/entities/${id}/history`, until);
    const told = response.ok ? await response.json() : { evicted: {}, declined: {} };
    const lines = [['evicted', told.evicted], ['not stored', told.declined]].flatMap(([what, reasons]) =>
      Object.entries(reasons).map(([reason, { times, bytes: size, last_at }]) =>
        h('tr', {}, h('td', {}, what), h('td', {}, reason), h('td', { className: 'number' }, `${times} ×`),
          h('td', { className: 'number' }, size ? bytes(size) : ''), h('td', {}, `last at ${clock(last_at)}, ${ago(last_at)}`))));
    past.querySelector('div').replaceChildren(lines.length ? h('table', {}, h('tbody', {}, lines)) : h('p', { className: 'faint' }, 'Nothing.'));
  };
  /** True when the event told all that it changes. */
  const event = (name, data) => {
    if (!entity) return false;
    if (name === 'stored') {
      ranges = add(ranges, data.ranges);
      entity.cached_bytes = data.cached_bytes;
      draw();
      return true;
    }
    if (name === 'evicted') ranges = subtract(ranges, data.ranges);
    draw();
    return false;
  };
  const activity = now => {
    if (!entity || !now && !reading.length && !filling.length) return;
    reading = now?.reading ?? [];
    filling = now?.filling ?? [];
    entity.viewers = now?.viewers ?? 0;
    entity.fills = now?.fills ?? 0;
    fillIn();
    draw();
  };
  return { element, refresh, event, activity };
}
