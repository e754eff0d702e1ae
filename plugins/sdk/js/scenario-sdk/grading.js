// Graders: lists of clauses. All clauses are checked, and all that fail are told.

import { Unlisted } from './tree.js';

const MAX_EVIDENCE = 4_000;

/**
 * Checks every clause of a scenario, and gives the findings of those that fail.
 *
 * A clause is `{ code, requires, check }`. Its check gets the evidence, `{ before, after, finalMessage, messages }`, and
 * gives nothing where it holds, else a message or `{ message, evidence }`.
 */
export function judge(scenario, evidence) {
  const findings = [];
  for (const { code, check } of scenario.clauses) {
    let found;
    try {
      found = check(evidence);
    } catch (error) {
      if (!(error instanceof Unlisted)) throw error;
      found = error.message;
    }
    if (found === undefined || found === null) continue;
    const finding = typeof found === 'string' ? { message: found } : found;
    // A promise, too, would be taken for a finding; `true` and `false` say nothing of which is meant.
    if (typeof finding.message !== 'string') {
      throw new TypeError(`the check of \`${code}\` gave ${named(found)}, and neither nothing nor a message`);
    }
    findings.push({ code, message: finding.message, evidence: shortened(finding.evidence) });
  }
  return findings;
}

function named(found) {
  return typeof found.then === 'function' ? 'a promise' : JSON.stringify(found);
}

function shortened(text) {
  if (text === undefined || text === null) return undefined;
  if (text.length <= MAX_EVIDENCE) return text;
  return `${text.slice(0, MAX_EVIDENCE)}\n… (${text.length - MAX_EVIDENCE} more characters)`;
}
