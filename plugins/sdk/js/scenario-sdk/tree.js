/** A folder is there, and cannot be listed whole. The clause that looked into it fails. */
export class Unlisted extends Error {}

/**
 * A folder that something hostile may have written. Paths have `/` between names; no link is followed.
 *
 * A disk is `{ kind(path), read(path, max), names(path) }`, each without following a link at the end of the path; what
 * cannot be read throws. A kind is `file`, `folder` or anything else.
 */
export class Tree {
  static MAX_TEXT = 4 << 20;
  static MAX_NAMES = 20_000;

  #disk;

  constructor(disk) {
    this.#disk = disk;
  }

  /** The text of a regular file of at most 4 MiB; undefined for anything else. */
  text(path) {
    if (this.#kind(path) !== 'file') return undefined;
    try {
      const content = this.#disk.read(path, Tree.MAX_TEXT + 1);
      if (content.length > Tree.MAX_TEXT) return undefined;
      return new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(content);
    } catch {
      return undefined;
    }
  }

  /** The names in a folder, sorted; none for anything else. Throws Unlisted where it cannot tell all of them. */
  names(path = '') {
    if (this.#kind(path) !== 'folder') return [];
    let names;
    try {
      names = this.#disk.names(path);
    } catch (error) {
      // Removed since it was looked at.
      if (this.#kind(path) !== 'folder') return [];
      throw new Unlisted(`the folder \`${path || '.'}\` cannot be listed: ${error?.payload ?? error?.message ?? error}`);
    }
    if (names.length > Tree.MAX_NAMES) {
      throw new Unlisted(`the folder \`${path || '.'}\` holds more than ${Tree.MAX_NAMES} names`);
    }
    return names.sort();
  }

  /** Whether anything is at the path, a broken link included. */
  holds(path) {
    return this.#kind(path) !== undefined;
  }

  /** The paths below `folder` whose last name is `name`, at most `depth` folders deep. */
  find(folder, name, depth) {
    const found = [];
    const waiting = [[folder, depth]];
    for (let budget = Tree.MAX_NAMES; waiting.length > 0; ) {
      const [at, left] = waiting.pop();
      for (const entry of this.names(at)) {
        if (budget-- === 0) {
          throw new Unlisted(`there are more than ${Tree.MAX_NAMES} names where \`${name}\` is looked for`);
        }
        const path = `${at}/${entry}`;
        if (entry === name) found.push(path);
        else if (left > 0) waiting.push([path, left - 1]);
      }
    }
    return found;
  }

  /** What is there, if every folder on the way is a real one and no name steps out. */
  #kind(path) {
    try {
      const names = path.split('/').filter((name) => name !== '');
      if (names.some((name) => name === '.' || name === '..')) return undefined;
      for (let depth = 1; depth < names.length; depth++) {
        if (this.#disk.kind(names.slice(0, depth).join('/')) !== 'folder') return undefined;
      }
      return names.length === 0 ? 'folder' : this.#disk.kind(names.join('/'));
    } catch {
      return undefined;
    }
  }
}
