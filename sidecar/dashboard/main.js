// Which view is shown. The address's fragment says it, so that back, reload and links work.

import { tokenButton } from './api.js';
import { byId, h, notice } from './dom.js';
import { listen, run } from './stream.js';
import * as channels from './views/channels.js';
import * as downloads from './views/downloads.js';
import * as events from './views/events.js';
import * as overview from './views/overview.js';
import * as policy from './views/policy.js';
import * as video from './views/video.js';
import * as videos from './views/videos.js';

const views = [
  [/^\/$/, overview],
  [/^\/videos$/, videos],
  [/^\/videos\/(.+)$/, video],
  [/^\/downloads$/, downloads],
  [/^\/channels$/, channels],
  [/^\/policy$/, policy],
  [/^\/events$/, events],
];

/** Those that are as high as the window. */
const FILLING = new Set(['/videos', '/events']);

let leave = () => {};

async function show() {
  leave();
  leave = () => {};
  const path = location.hash.slice(1) || '/';
  const main = byId('main');
  main.replaceChildren();
  main.dataset.view = path;
  document.body.classList.toggle('fill', FILLING.has(path));
  main.setAttribute('aria-busy', 'true');
  for (const link of document.querySelectorAll('nav a')) {
    const target = link.getAttribute('href').slice(1);
    const here = target === '/' ? path === '/' : path.startsWith(target);
    if (here) {
      link.setAttribute('aria-current', 'page');
      link.scrollIntoView({ block: 'nearest', inline: 'center' });
    } else {
      link.removeAttribute('aria-current');
    }
  }
  for (const [pattern, view] of views) {
    const match = pattern.exec(path);
    if (!match) continue;
    // What a view leaves running ends with it, also when it is left before it has come.
    const closing = new AbortController();
    leave = () => closing.abort();
    const until = { signal: closing.signal };
    until.listen = callback => closing.signal.addEventListener('abort', listen(callback));
    until.every = (milliseconds, callback) => {
      const timer = setInterval(callback, milliseconds);
      closing.signal.addEventListener('abort', () => clearInterval(timer));
    };
    try {
      await view.show(main, until, ...match.slice(1).map(decodeURIComponent));
    } catch (error) {
      if (!closing.signal.aborted) notice(error.message, true);
    }
    if (!closing.signal.aborted) main.setAttribute('aria-busy', 'false');
    return;
  }
  main.append(h('h1', {}, 'Nothing is here'), h('a', { href: '#/' }, 'Overview'));
  main.setAttribute('aria-busy', 'false');
}

listen((name, data) => {
  if (name !== 'state') return;
  const live = byId('live');
  live.dataset.state = data;
  live.textContent = data;
});

document.addEventListener('keydown', event => {
  const writing = event.target.closest('input, textarea, select, dialog');
  if (event.key === '/' && !writing && !event.ctrlKey && !event.metaKey) {
    const search = document.querySelector('input[type=search]');
    if (search) {
      event.preventDefault();
      search.focus();
    } else {
      location.hash = '#/videos';
    }
  }
});

addEventListener('hashchange', async () => {
  await show();
  byId('main').focus({ preventScroll: true });
});
tokenButton();
show();
run();
