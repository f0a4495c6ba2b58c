// Maps of which bytes are stored, being filled and being watched.

import { h } from './dom.js';

const styles = getComputedStyle(document.documentElement);
let colors = {};

/** The colors of the page as it is now, light or dark: a canvas does not know variables. */
function readColors() {
  const probe = document.createElement('i');
  document.body.append(probe);
  for (const name of ['gap', 'cache', 'origin', 'text', 'faint', 'line']) {
    probe.style.color = `var(--${name})`;
    colors[name] = styles.getPropertyValue(`--${name}`) && getComputedStyle(probe).color;
  }
  probe.remove();
}

export function color(name) {
  if (!colors[name]) readColors();
  return colors[name];
}

matchMedia('(prefers-color-scheme: dark)').addEventListener('change', readColors);

/** How large an element is. To ask makes the browser lay out the page: not for each row of a list. */
export const sizeOf = element => ({ width: element.clientWidth, height: element.clientHeight });

/** A canvas's context with one unit a pixel of the page, as sharp as the screen, and its size. */
export function surface(canvas, { width, height } = sizeOf(canvas)) {
  const ratio = window.devicePixelRatio || 1;
  if (canvas.width !== Math.round(width * ratio) || canvas.height !== Math.round(height * ratio)) {
    canvas.width = Math.round(width * ratio);
    canvas.height = Math.round(height * ratio);
  }
  const context = canvas.getContext('2d');
  context.setTransform(ratio, 0, 0, ratio, 0, 0);
  context.clearRect(0, 0, width, height);
  return { context, width, height };
}

/** Shares of 0 to 1 from one hex digit a bucket. */
export const shares = digits => Array.from(digits ?? '', digit => parseInt(digit, 16) / 15);

/** What the colors of a map mean. */
export const legend = () => h('div', { className: 'key' },
  [['cache', 'stored'], ['origin', 'on its way'], ['text', 'where somebody watches']].map(([name, text]) =>
    h('span', {}, h('i', { style: `--ink: var(--${name})` }), text)));

/** Draws how much of each bucket is stored, and what goes on by shares of the whole. */
export function drawShares(canvas, parts, size, { filling = [], reading = [] } = {}) {
  const { context, width, height } = surface(canvas, size);
  context.fillStyle = color('gap');
  context.fillRect(0, 0, width, height);
  context.fillStyle = color('cache');
  for (let index = 0, next; index < parts.length; index = next) {
    next = index + 1;
    while (parts[next] === parts[index]) next += 1;
    if (parts[index] === 0) continue;
    const start = Math.round(index * width / parts.length);
    const end = Math.round(next * width / parts.length);
    context.globalAlpha = 0.25 + 0.75 * parts[index];
    context.fillRect(start, 0, end - start, height);
  }
  context.globalAlpha = 1;
  drawDoings(context, width, height, filling, reading);
}

/** What is still to come as a band below, and viewers as marks above: both by shares of the whole. */
function drawDoings(context, width, height, filling, reading) {
  context.fillStyle = color('origin');
  for (const [start, end] of filling) {
    context.fillRect(start * width, height * 0.72, Math.max(2, (end - start) * width), height * 0.28);
  }
  context.fillStyle = color('text');
  for (const share of reading) {
    const x = Math.max(1, Math.min(width - 1, share * width));
    const size = Math.min(5, height / 3);
    context.fillRect(x - 1, 0, 2, height);
    context.beginPath();
    context.moveTo(x - size, 0);
    context.lineTo(x + size, 0);
    context.lineTo(x, size * 1.4);
    context.fill();
  }
}

/** Draws half-open ranges of an entity: what is stored, what is being filled, who reads where. */
export function drawMap(canvas, length, { ranges = [], filling = [], reading = [] }) {
  const { context, width, height } = surface(canvas);
  const share = position => position / Math.max(1, length);
  context.fillStyle = color('gap');
  context.fillRect(0, 0, width, height);
  context.fillStyle = color('cache');
  for (const [start, end] of ranges) {
    context.fillRect(share(start) * width, 0, Math.max(1, share(end - start) * width), height);
  }
  drawDoings(context, width, height, filling.map(pair => pair.map(share)), reading.map(share));
}

/** The ranges with some more, in order and coalesced. */
export function add(ranges, more) {
  const all = [...ranges, ...more].sort((a, b) => a[0] - b[0]);
  const joined = [];
  for (const [start, end] of all) {
    const before = joined.at(-1);
    if (before && start <= before[1]) before[1] = Math.max(before[1], end);
    else joined.push([start, end]);
  }
  return joined;
}

/** The ranges without some. */
export function subtract(ranges, less) {
  return less.reduce((left, [start, end]) => left.flatMap(([a, b]) => {
    if (b <= start || end <= a) return [[a, b]];
    return [[a, Math.min(b, start)], [Math.max(a, end), b]].filter(([from, to]) => from < to);
  }), ranges);
}
