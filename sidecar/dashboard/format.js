// How figures are written.

const UNITS = ['B', 'KiB', 'MiB', 'GiB', 'TiB', 'PiB'];

/** Bytes, with three digits: `1.25 MiB`. */
export function bytes(count) {
  if (count === null || count === undefined) return '?';
  let value = Math.abs(count);
  let unit = 0;
  while (1000 <= value && unit + 1 < UNITS.length) {
    value /= 1024;
    unit += 1;
  }
  const digits = unit === 0 || 100 <= value ? 0 : value < 10 ? 2 : 1;
  return `${count < 0 ? '−' : ''}${value.toFixed(digits)} ${UNITS[unit]}`;
}

/** A ratio of 0 to 1 in percent; a dash when there is nothing to divide by. */
export const percent = ratio => ratio === null || ratio === undefined ? '–' : `${(ratio * 100).toFixed(1)} %`;

export const count = number => number.toLocaleString('en');

/** Seconds as `1:02:03`, without hours when there are none. */
export function duration(seconds) {
  if (seconds === null || seconds === undefined) return '–';
  const whole = Math.round(seconds);
  const two = number => String(number).padStart(2, '0');
  const rest = `${two(Math.floor(whole / 60) % 60)}:${two(whole % 60)}`;
  return whole < 3600 ? rest.replace(/^0/, '') : `${Math.floor(whole / 3600)}:${rest}`;
}

/** How long ago a time is. */
export function ago(time, now = Date.now()) {
  if (!time) return '–';
  const seconds = Math.max(0, (now - Date.parse(time)) / 1000);
  for (const [limit, size, unit] of [[60, 1, 's'], [3600, 60, 'min'], [86400, 3600, 'h'], [Infinity, 86400, 'd']]) {
    if (seconds < limit) return `${Math.floor(seconds / size)} ${unit} ago`;
  }
  return '–';
}

export const clock = time => new Date(time).toLocaleTimeString('en-GB');

/** What to call a video: its title, or the URL by which it is known, or the id that its URLs name. */
export function nameOf({ title, id, key }) {
  if (title) return title;
  return /^[0-9a-f]{32}$/.test(id) && key ? key.replace(/^generic:https?:\/\//, '') : id;
}
