// What a plugin exports, and its conversation with the lane's agent. Only a component has these imports: a grader's own
// tests load the scenario, and not this file.

import { Session } from 'scenario:host/agent@0.1.0';
import * as report from 'scenario:host/report@0.1.0';
import { getDirectories } from 'wasi:filesystem/preopens@0.2.12';

import { judge } from './grading.js';
import { Tree } from './tree.js';

/** What a scenario's `run` gets: the agent, and `step`, `note`, `metric` and `attach` for whoever reads the run. */
const host = {
  ...report,

  /** Starts a session: `nextEvent`, `send` and `conclude`, which gives the evidence. A session that breaks throws. */
  start(prompt) {
    const session = Session.start(prompt);
    const messages = [];
    const nextEvent = () => {
      const event = session.nextEvent();
      if (event?.kind.tag === 'message') messages.push(event.kind.val);
      return event;
    };
    const finishTurn = () => {
      while (nextEvent() !== undefined);
    };
    return {
      nextEvent,
      send(message) {
        finishTurn();
        session.send(message);
      },
      conclude() {
        finishTurn();
        const conclusion = session.conclude();
        const finalMessage = conclusion.finalMessage;
        if (messages.at(-1) !== finalMessage) messages.push(finalMessage);
        return { before: tree('/host/before'), after: tree('/'), finalMessage, messages, conclusion };
      },
    };
  },

  /** Runs one prompt to its end, and gives the evidence. */
  run(prompt) {
    return host.start(prompt).conclude();
  },

  /** Ends the scenario as one that does not apply here. */
  skip(reason) {
    throw new Skipped(reason);
  },
};

class Skipped extends Error {}

/** The export `scenarios` of a plugin that contains these scenarios, whose `run` may be asynchronous. */
export function plugin(...contained) {
  return {
    list: () =>
      contained.map(({ name, summary, tags = [], needs = ['session'], clauses }) => ({
        name,
        summary,
        tags,
        needs,
        clauses: clauses.map(({ code, requires }) => ({ code, requires })),
      })),
    async run(name) {
      const scenario = contained.find((scenario) => scenario.name === name);
      try {
        const findings = judge(scenario, await scenario.run(host));
        return findings.length === 0 ? { tag: 'pass' } : { tag: 'fail', val: findings };
      } catch (error) {
        if (error instanceof Skipped) return { tag: 'skip', val: error.message };
        // After a session fault, which the host has noted, what is returned does not count.
        if (error?.payload?.class !== undefined) return { tag: 'skip', val: error.payload.message };
        throw error;
      }
    },
  };
}

function tree(path) {
  const [folder] = getDirectories().find(([, name]) => name === path) ?? [];
  const need = () => folder ?? raise(`${path} is not there`);
  return new Tree({
    kind(path) {
      const { type } = need().statAt({}, path);
      return { 'regular-file': 'file', directory: 'folder' }[type] ?? type;
    },
    read(path, max) {
      const file = need().openAt({}, path, {}, { read: true });
      const parts = [];
      for (let size = 0, end = false; !end && size < max; ) {
        const [part, ended] = file.read(BigInt(max - size), BigInt(size));
        parts.push(part);
        size += part.length;
        end = ended || part.length === 0;
      }
      return joined(parts);
    },
    names(path) {
      const folder = path === '' ? need() : need().openAt({}, path, { directory: true }, { read: true });
      const entries = folder.readDirectory();
      const names = [];
      for (let entry; names.length <= Tree.MAX_NAMES && (entry = entries.readDirectoryEntry()); ) {
        names.push(entry.name);
      }
      return names;
    },
  });
}

function raise(message) {
  throw new Error(message);
}

function joined(parts) {
  const whole = new Uint8Array(parts.reduce((size, part) => size + part.length, 0));
  let at = 0;
  for (const part of parts) {
    whole.set(part, at);
    at += part.length;
  }
  return whole;
}
