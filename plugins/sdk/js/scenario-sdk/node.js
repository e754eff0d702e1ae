// Trees in Node.js, for a grader's own tests.

import { closeSync, lstatSync, openSync, readSync, readdirSync } from 'node:fs';
import { join } from 'node:path';

import { Tree } from './tree.js';

/** The tree below a folder of this machine. */
export function treeAt(folder) {
  return new Tree({
    kind(path) {
      const stats = lstatSync(join(folder, path));
      return stats.isFile() ? 'file' : stats.isDirectory() ? 'folder' : 'other';
    },
    read(path, max) {
      const file = openSync(join(folder, path));
      try {
        const buffer = Buffer.alloc(max);
        return buffer.subarray(0, readSync(file, buffer, 0, max, 0));
      } finally {
        closeSync(file);
      }
    },
    names: (path) => readdirSync(join(folder, path)),
  });
}
