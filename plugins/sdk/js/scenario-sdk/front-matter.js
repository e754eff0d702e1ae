/**
 * Reads the block of `key: value` lines between two `---` at the start of a file: `{ value, line }` of each key, in a Map.
 * Undefined for a text without such a block, or with a key twice. Quotes and comments are taken off a value; what
 * YAML calls null is empty.
 */
export function frontMatter(text) {
  const lines = text.match(/[^\n]*\n|[^\n]+$/g) ?? [];
  if (lines[0]?.trimEnd() !== '---') return undefined;
  const fields = new Map();
  for (const line of lines.slice(1)) {
    const content = line.trimEnd();
    if (content === '---') return fields;
    if (content === '' || /^[\s#-]/.test(content)) continue;
    const match = /^([\w-]+):(?:[ \t]+(.*))?$/.exec(content);
    if (!match || fields.has(match[1])) return undefined;
    fields.set(match[1], { value: value((match[2] ?? '').trim()), line });
  }
  return undefined;
}

function value(text) {
  const quoted = /^(["'])(.*?)\1\s*(#.*)?$/.exec(text);
  const plain = quoted ? quoted[2] : text.startsWith('#') ? '' : text.split(' #')[0].trimEnd();
  return plain === '~' || plain === 'null' ? '' : plain;
}
