// Elements, notices and questions. Text is always set as text: nothing that a video is called can
// become markup.

/**
 * An element with properties (`onclick`, `className`, …), attributes (`aria-…`, `data-…`, `role`,
 * `for`) and children: nodes, texts, or nothing.
 */
export function h(name, properties = {}, ...children) {
  const element = document.createElement(name);
  for (const [key, value] of Object.entries(properties)) {
    if (value === undefined || value === null) continue;
    if (key.includes('-') || key === 'role' || key === 'for' || key === 'list') element.setAttribute(key, value);
    else element[key] = value;
  }
  element.append(...children.flat().filter(child => child !== null && child !== undefined && child !== false));
  return element;
}

export const byId = id => document.getElementById(id);

/** Says something for a while. */
export function notice(text, bad = false) {
  const line = h('p', { className: bad ? 'bad' : '' }, text);
  byId('notices').append(line);
  setTimeout(() => line.remove(), bad ? 12000 : 4000);
}

/** Does what a button is for: the button rests meanwhile, and trouble is said. True when it worked. */
export async function act(button, action, done) {
  if (button) button.disabled = true;
  try {
    await action();
    if (done) notice(done);
    return true;
  } catch (error) {
    notice(error.message, true);
    return false;
  } finally {
    if (button) button.disabled = false;
  }
}

/** Asks before something that cannot be undone. */
export function confirm(question) {
  const dialog = byId('confirm');
  byId('confirm-question').textContent = question;
  dialog.returnValue = 'no';
  dialog.showModal();
  return new Promise(resolve => {
    dialog.addEventListener('close', () => resolve(dialog.returnValue === 'yes'), { once: true });
  });
}

export const tag = status => h('span', { className: `tag ${status ?? ''}` }, status ?? 'nothing stored');
