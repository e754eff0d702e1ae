// node plugin/scenario-sdk/build.js SOURCE OUT: makes the component.

import { mkdir, writeFile } from 'node:fs/promises';
import { dirname } from 'node:path';

import { componentize } from '@bytecodealliance/componentize-js';

const [source, out] = process.argv.slice(2);
const { component } = await componentize({
  sourcePath: source,
  witPath: 'wit',
  worldName: 'plugin-wasi',
  // `fetch` is there; whom it reaches is for the grant `http` to say. A plugin serves no requests.
  disableFeatures: ['fetch-event'],
});
await mkdir(dirname(out), { recursive: true });
await writeFile(out, component);
console.log(`${out}: ${component.length} bytes`);
