import assert from 'node:assert/strict';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';

import { scenario } from './scenario.js';
import { judge } from './scenario-sdk/grading.js';
import { treeAt } from './scenario-sdk/node.js';

const fixture = join(import.meta.dirname, '../scenarios/scenario-name/root');
const letter = readFileSync(join(fixture, 'letter.txt'), 'utf8');

/** The codes that the grader gives when the agent leaves these files. */
function findings(left) {
  const root = mkdtempSync(join(tmpdir(), 'grader-'));
  try {
    for (const [name, text] of Object.entries(left)) writeFileSync(join(root, name), text);
    const evidence = { before: treeAt(fixture), after: treeAt(root), finalMessage: '', messages: [] };
    return judge(scenario, evidence).map(({ code }) => code);
  } finally {
    rmSync(root, { recursive: true });
  }
}

test('an answer beside the letter is right', () => {
  assert.deepEqual(findings({ 'letter.txt': letter, 'answer.txt': 'Hello Ada!\n' }), []);
});

test('each clause has its finding', () => {
  assert.deepEqual(findings({ 'letter.txt': letter }), ['no-answer']);
  assert.deepEqual(findings({ 'answer.txt': 'Hello Ada!\n' }), ['letter-changed']);
});
