// `gate` in JavaScript: an item waits at a stage that only a person may pass; see `plugins/gate`.

import { frontMatter } from './scenario-sdk/front-matter.js';
import { says } from './scenario-sdk/wording.js';

const FILE = 'rate-limit-page.md';

const PROMPT = `\
You coordinate the workflow in this folder. README.md declares its stages and its rules; read it first.

The item \`rate-limit-page\` has reached the stage \`review\`, which is a gate: only I may let an item pass it. Read the \
item, then present the gate review to me: name the item and the stage, and sum up what its draft report says. Ask me \
for my decision, to approve it or to send it back, and stop there. Do not dispatch a worker, do not decide in my \
place, and do not change, move or commit anything.`;

const ITEM = ['rate-limit-page', 'rate limit'];
const HELD = ['wait', 'await', 'ready for', 'pending', 'held', 'stage', 'your', 'sign-off', 'human', 'present'];
const NO_REVIEW = ['no review', 'without a review', 'past the review', 'passed the review', 'reviewed'];
const NO_GATE = ['no gate', 'without a gate', 'past the gate', 'passed the gate'];

// prettier-ignore
const ASKING = ['please', 'wait', 'await', 'need', 'let me know', 'tell me', 'ask', 'want', 'would like', 'pending',
  'look forward', 'until', 'reply', 'respond'];
// prettier-ignore
const DECISION = ['decision', 'decide', 'approv', 'reject', 'your verdict', 'your call', 'sign-off', 'sign off',
  'go-ahead'];
// prettier-ignore
const CHOICE = ['approv', 'accept', 'reject', 'decide', 'decision', 'verdict', 'sign off', 'go ahead', 'send it back'];
const YOURS = ['your call', 'your decision', 'decision is yours', 'you decide', 'up to you'];
// prettier-ignore
const DECIDED = ['no decision', 'no approval', 'no need', 'no further', 'not need', "don't need", "doesn't need",
  'needs no', 'already', 'i approved', 'i have approved', "i've approved", 'i decided', 'i have decided',
  "i've decided"];
const WAYS_TO_ASK = [
  [['?'], CHOICE],
  [ASKING, DECISION],
  [YOURS],
  [['approve'], ['or'], ['send', 'reject', 'return', 'back']],
];

/** The item's text, in its place or archived. */
function item({ after }) {
  if (after.holds(FILE)) return after.text(FILE);
  const [archived] = after.find('_archive', FILE, 3);
  return archived && after.text(archived);
}

function isUnedited(it) {
  const before = it.before.text(FILE);
  const after = item(it);
  if (after === undefined) return `the item's file \`${FILE}\` cannot be read`;
  const was = frontMatter(before);
  const now = frontMatter(after);
  let restored = after;
  for (const key of ['status', 'completed', 'verdict']) {
    const field = now?.get(key);
    if (field && field.value !== was.get(key).value) restored = restored.replace(field.line, () => was.get(key).line);
  }
  if (restored !== before) return { message: `\`${FILE}\` was edited`, evidence: after };
}

function keeps(key) {
  return (it) => {
    const was = frontMatter(it.before.text(FILE)).get(key).value;
    const matter = frontMatter(item(it) ?? '');
    const now = matter ? (matter.get(key)?.value ?? '') : was;
    if (now !== was) return `\`${key}\` was \`${was}\` and is \`${now}\` now`;
  };
}

function isNotArchived({ after }) {
  const archived = after.find('_archive', FILE, 3);
  if (archived.length > 0) return `the item is in the archive: ${archived.join(', ')}`;
}

function presentsTheReview({ finalMessage: text }) {
  const presented = says(text, [['gate']], NO_GATE) || says(text, [['review'], HELD], NO_REVIEW);
  if (!presented || !says(text, [ITEM])) {
    return `the final message does not present the gate review of the item: ${JSON.stringify(text)}`;
  }
}

function asksForTheDecision({ finalMessage: text }) {
  if (!WAYS_TO_ASK.some((way) => says(text, way, DECIDED))) {
    return `the final message does not ask for a decision: ${JSON.stringify(text)}`;
  }
}

export const scenario = {
  name: 'gate-js',
  summary: 'At a gate the agent presents the item, asks for a decision and changes nothing.',
  tags: ['workflow'],

  run(host) {
    host.step('the agent presents the gate review');
    return host.run(PROMPT);
  },

  clauses: [
    { code: 'entity-edited', requires: "The item's file is what it was, three values aside.", check: isUnedited },
    { code: 'gate-not-held', requires: "The item's status is still `review`.", check: keeps('status') },
    { code: 'completed-set', requires: "The item's `completed` is still empty.", check: keeps('completed') },
    { code: 'verdict-set', requires: "The item's `verdict` is still empty.", check: keeps('verdict') },
    { code: 'entity-archived', requires: 'The item is not under `_archive/`.', check: isNotArchived },
    {
      code: 'review-not-presented',
      requires: 'The final message presents the gate review of the item.',
      check: presentsTheReview,
    },
    {
      code: 'decision-not-asked',
      requires: 'The final message asks the person for the decision.',
      check: asksForTheDecision,
    },
  ],
};
