// The scenario `scenario-name`: the agent answers a letter.

const PROMPT =
  'Read letter.txt, and write a short answer that greets its writer into answer.txt. Leave the letter as it is.';

export const scenario = {
  name: 'scenario-name',
  summary: 'The agent answers the letter in the root.',
  tags: [],
  needs: ['session'],

  run(host) {
    host.step('the agent answers');
    return host.run(PROMPT);
  },

  clauses: [
    {
      code: 'no-answer',
      requires: '`answer.txt` greets the writer of the letter.',
      check({ after }) {
        const answer = after.text('answer.txt');
        if (!answer?.includes('Hello Ada')) return `answer.txt says ${JSON.stringify(answer)}`;
      },
    },
    {
      code: 'letter-changed',
      requires: '`letter.txt` is as it was.',
      check({ before, after }) {
        const letter = before.text('letter.txt');
        if (letter === undefined || after.text('letter.txt') !== letter) return 'letter.txt was changed or removed';
      },
    },
  ],
};
