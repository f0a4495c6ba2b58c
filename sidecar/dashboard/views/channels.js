// Channels: what their videos are worth, what they may take, and subscriptions from elsewhere.

import { all, edit, remove, save, upload } from '../api.js';
import { act, confirm, h, notice } from '../dom.js';
import { bytes, count } from '../format.js';

const MODES = { inherit: 'as the policy says', auto: 'every view is kept and completed', manual: 'only downloads are kept' };

const HEAD = ['channel', 'mode', 'watched %', 'quota, MiB', 'keep, hours', 'stored', ''];

export async function show(main, until) {
  const body = h('tbody');
  const id = h('input', { placeholder: 'Id of a channel', required: true, 'aria-label': 'Id of a channel' });
  const create = h('form', { className: 'filters' }, id, h('button', {}, 'Add'));
  const file = h('input', { type: 'file', accept: '.opml,.xml,.csv,.json', 'aria-label': 'Subscriptions' });
  const mode = modes('inherit', 'Mode of imported channels');
  main.append(
    h('h1', {}, 'Channels'), create,
    h('div', { className: 'card scroll' }, h('table', { className: 'stacked' },
      h('thead', {}, h('tr', {}, HEAD.map(text => h('th', { className: text === 'stored' ? 'number' : '' }, text)))), body)),
    h('h2', {}, 'Import subscriptions'),
    h('p', { className: 'faint' }, 'OPML, CSV or JSON, as YouTube and its front-ends export them. Channels that are known stay as they are.'),
    h('div', { className: 'filters' }, file, mode, h('button', {
      onclick: event => act(event.target, async () => {
        if (!file.files[0]) throw new Error('Choose a file first.');
        const { imported, known } = await upload(`/v1/channels/import?mode=${mode.value}`, file.files[0]);
        notice(`${count(imported)} imported, ${count(known)} known already.`);
        await load();
      }),
    }, 'Import')));
  let edited = false;
  body.oninput = () => { edited = true; };
  const load = async (asked = true) => {
    const channels = await all('/v1/channels?limit=1000');
    // What somebody is writing is not taken away by what others do.
    if (!asked && (edited || body.contains(document.activeElement))) return notice('Channels have changed meanwhile.');
    edited = false;
    body.replaceChildren(...channels.map(channel => row(channel, load)));
    if (!channels.length) body.append(h('tr', {}, h('td', { colSpan: HEAD.length, className: 'faint' }, 'None yet.')));
  };
  create.onsubmit = event => {
    event.preventDefault();
    act(event.submitter, async () => {
      await save('PUT', `/v1/channels/${encodeURIComponent(id.value.trim())}`, {});
      create.reset();
      await load();
    }, 'Added.');
  };
  await load();
  until.listen((name, data) => {
    if (name === 'reset' || name === 'channel' && data) load(false).catch(error => notice(error.message, true));
  });
}

function modes(value, label) {
  return h('select', { 'aria-label': label }, Object.keys(MODES).map(mode =>
    h('option', { value: mode, title: MODES[mode], selected: mode === value }, mode)));
}

function row(channel, reload) {
  const path = `/v1/channels/${encodeURIComponent(channel.id)}`;
  const number = (value, label, most) => h('input', { type: 'number', min: 0, max: most, step: 'any', value: value ?? '', style: 'width: 6.5em', 'aria-label': label });
  const mode = modes(channel.mode, `Mode of ${channel.id}`);
  const watched = h('input', { value: channel.watched_percent ?? '', placeholder: 'policy', style: 'width: 5em', 'aria-label': 'Percent to be watched, or never' });
  const quota = number(channel.quota_bytes === undefined ? undefined : channel.quota_bytes / 1048576, 'Quota in MiB');
  const keep = number(channel.min_keep_seconds === undefined ? undefined : channel.min_keep_seconds / 3600, 'Hours to keep');
  const write = async () => {
    const { value: now, tag } = await edit(path);
    const given = { watched_percent: watched.value.trim(), quota_bytes: quota.value, min_keep_seconds: keep.value };
    const scale = { quota_bytes: 1048576, min_keep_seconds: 3600 };
    const change = { mode: mode.value };
    for (const [name, text] of Object.entries(given)) {
      const plain = Number.isNaN(Number(text)) ? text : Math.round(Number(text) * (scale[name] ?? 1));
      if (text === '' && now[name] === undefined) continue;
      change[name] = text === '' ? null : plain;
    }
    await save('PATCH', path, change, tag);
    await reload();
  };
  const forget = async button => {
    if (!await confirm(`Forget what is said of channel ${channel.title ?? channel.id}? What is stored stays.`)) return;
    await act(button, async () => {
      await remove(path);
      await reload();
    });
  };
  return h('tr', { 'data-channel': channel.id },
    h('td', {}, h('b', {}, channel.title ?? channel.id), h('div', { className: 'faint mono' }, channel.id)),
    ...[mode, watched, quota, keep].map((field, at) => h('td', { 'data-label': HEAD[at + 1] }, field)),
    h('td', { className: 'number', 'data-label': 'stored' },
      h('div', {}, bytes(channel.cached_bytes), h('div', { className: 'faint' }, channel.videos === 1 ? '1 video' : `${count(channel.videos)} videos`))),
    h('td', {}, h('div', { className: 'actions' },
      h('button', { onclick: event => act(event.target, write, 'Saved.') }, 'Save'),
      h('button', { className: 'danger', onclick: event => forget(event.target) }, 'Forget'))));
}
