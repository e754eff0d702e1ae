// Every call of the contract, in JavaScript.

function ensure(holds, what) {
  if (!holds) throw new Error(JSON.stringify(what, (_, value) => (typeof value === 'bigint' ? `${value}` : value)));
}

export const scenario = {
  name: 'tour-js',
  summary: 'Every call.',

  // What waits for something is waited for.
  async run(host) {
    await Promise.resolve();
    host.step('first stop');
    host.note('a note ü');
    host.metric('stops', 2.5, 'count');
    host.attach('map.txt', 'text/plain', new TextEncoder().encode('north\n'));
    const session = host.start('begin');
    const seen = {};
    for (let event; (event = session.nextEvent()) !== undefined; ) seen[event.kind.tag] = event.kind.val;
    const { 'tool-call': call, 'tool-result': result, raw } = seen;
    if (call === undefined) host.skip('there was no tool call');
    ensure(call.name === 'shell' && call.input.includes('echo out'), call);
    ensure(result.id === call.id && result.output === 'out\n', result);
    ensure(raw === 'no event', seen);
    session.send('more');
    return session.conclude();
  },

  clauses: [
    {
      code: 'other-words',
      requires: 'It says what it should.',
      check({ messages, finalMessage }) {
        const said = messages.join('\n');
        if (said !== 'one\nzwei, drü' || finalMessage !== 'zwei, drü') return { message: 'it said more', evidence: said };
      },
    },
  ],
};
