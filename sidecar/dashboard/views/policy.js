// The policy: a form for what it has now, whatever that is, so that a new rule needs no change here.
// The server judges; the field that it names is marked.

import { edit, get, save } from '../api.js';
import { act, h, notice } from '../dom.js';

export async function show(main, until) {
  const form = h('form', { className: 'card policy', noValidate: true });
  const text = h('textarea', { rows: 24, className: 'mono', style: 'width: 100%', spellcheck: false, 'aria-label': 'The policy as JSON' });
  const wrong = h('p', { className: 'fault', role: 'alert' });
  main.append(
    h('h1', {}, 'Policy'), h('p', { className: 'faint' }, 'What is worth keeping. A change holds at once, for all who watch; what was admitted stays so.'),
    form, h('details', {}, h('summary', {}, 'As JSON'), text,
      h('div', { className: 'actions' }, h('button', { onclick: event => write(event.target, () => JSON.parse(text.value)) }, 'Replace the policy'))));
  const schema = await get('/v1/openapi.json', until).catch(() => ({}));
  let tag = null;
  let fields = new Map();
  // The policy that the form was filled with, and the newest that was told of while one was written.
  let known = null;
  let told = null;
  let writing = false;
  let edited = false;
  form.oninput = text.oninput = () => { edited = true; };

  const isEdited = () => edited || form.contains(document.activeElement);
  const changed = () => notice('Somebody else has changed the policy.');
  const load = async (asked = true) => {
    const found = await edit('/v1/policy');
    // What somebody is writing is not taken away by what others do.
    if (!asked && isEdited()) return changed();
    tag = found.tag;
    fields = new Map();
    edited = false;
    const root = resolve(schema, schema.components?.schemas?.Policy);
    form.replaceChildren(...inputs(found.value, [], root, schema, fields),
      h('div', { className: 'actions' }, h('button', { className: 'primary' }, 'Save'), h('button', { type: 'button', onclick: event => act(event.target, load) }, 'Load again'), wrong));
    text.value = JSON.stringify(found.value, null, 2);
    known = sorted(found.value);
    wrong.textContent = '';
  };
  const write = (button, value) => act(button, async () => {
    fields.forEach(field => field.input.removeAttribute('aria-invalid'));
    wrong.textContent = '';
    writing = true;
    told = null;
    try {
      await save('PUT', '/v1/policy', value(), tag);
      await load();
    } catch (error) {
      wrong.textContent = error.message;
      const field = fields.get(error.field);
      field?.input.setAttribute('aria-invalid', 'true');
      field?.input.focus();
      throw error;
    } finally {
      writing = false;
      if (told && told !== known) changed();
    }
  }, 'The policy is in force.');
  form.onsubmit = event => {
    event.preventDefault();
    write(event.submitter, () => collect(fields));
  };
  await load();
  until.listen((name, data) => {
    if (name !== 'policy') return;
    const policy = sorted(data.policy);
    if (writing) told = policy;
    else if (policy !== known) load(false).catch(error => notice(error.message, true));
  });
}

/** As JSON by which two policies can be compared: events have their names in another order. */
const sorted = policy => JSON.stringify(policy, (_, value) =>
  value && typeof value === 'object' && !Array.isArray(value) ? Object.fromEntries(Object.entries(value).sort()) : value);

const resolve = (schema, part) => {
  const named = part?.$ref ?? part?.allOf?.[0]?.$ref ?? part?.oneOf?.find(one => one.$ref)?.$ref;
  return named ? { ...schema.components?.schemas?.[named.split('/').pop()], ...(part.description ? { description: part.description } : {}) } : part;
};

/** A field for each value; `fields` gets them by the path that the server calls them by. */
function inputs(value, path, part, schema, fields) {
  return Object.entries(value).map(([name, inner]) => {
    const at = [...path, name];
    const about = resolve(schema, part?.properties?.[name] ?? (typeof part?.additionalProperties === 'object' ? part.additionalProperties : undefined));
    const nested = inner !== null && typeof inner === 'object' && !Array.isArray(inner);
    // What may hold anything, like the rules of each profile, is written as JSON.
    if (nested && !about?.additionalProperties && Object.keys(inner).length) {
      return h('fieldset', {}, h('legend', {}, name), inputs(inner, at, about, schema, fields));
    }
    const field = makeField(inner, about);
    fields.set(at.join('.'), field);
    field.input.name = at.join('.');
    const hint = about?.description ? h('small', { className: 'faint' }, about.description) : null;
    return typeof inner === 'boolean'
      ? h('div', {}, h('label', { className: 'check' }, field.input, name), hint)
      : h('label', {}, name, field.input, hint);
  });
}

function makeField(value, about) {
  if (typeof value === 'boolean') {
    const input = h('input', { type: 'checkbox', checked: value });
    return { input, read: () => input.checked };
  }
  const words = about?.enum ?? about?.oneOf?.flatMap(one => one.const ?? one.enum ?? []);
  if (typeof value === 'string' && words?.length && words.every(word => typeof word === 'string') && !about.oneOf?.some(one => one.type === 'integer')) {
    const input = h('select', {}, words.map(word => h('option', { value: word, selected: word === value }, word)));
    return { input, read: () => input.value };
  }
  const whole = typeof value === 'object' && value !== null;
  const input = whole
    ? h('textarea', { rows: 4, className: 'mono', spellcheck: false, value: JSON.stringify(value, null, 2) })
    : h('input', { value: value ?? '', inputMode: typeof value === 'number' ? 'numeric' : 'text' });
  return { input, read: () => parse(input.value, value) };
}

/** A number or JSON where it is one, and else the word that was written. */
function parse(text, before) {
  if (text.trim() === '') return null;
  try {
    return JSON.parse(text);
  } catch (error) {
    if (typeof before === 'object' && before !== null) throw new Error(`this is not JSON: ${error.message}`);
    return text.trim();
  }
}

function collect(fields) {
  const policy = {};
  for (const [path, field] of fields) {
    const names = path.split('.');
    const last = names.pop();
    const inside = names.reduce((object, name) => (object[name] ??= {}), policy);
    const value = field.read();
    if (value !== null) inside[last] = value;
  }
  return policy;
}
