// What the page knows of profiles and credits: one copy, read by the panel and by the settings. It holds no token: the
// server never sends one.

import { ask, Refusal, rootGraph } from "./host.mjs";
import { offer } from "./options.js";
import { allNodes } from "./prefix.js";

const MINUTE = 60_000;
let changes = 0; // of the profiles, begun or done
const readers = new Set();
const credits = new Map(); // profile -> {answer, at}; `at` counts failures, too
let latest = null;

/** Calls back with each new answer, and at once with the one at hand; returns what ends it. */
export function follow(reader) {
  readers.add(reader);
  if (latest) reader(latest);
  return () => readers.delete(reader);
}

function take(answer) {
  latest = answer;
  offer("profile", answer.profiles.map((each) => each.name), allNodes(rootGraph()), answer.default);
  for (const reader of readers) reader(answer);
}

export async function load() {
  const before = changes;
  const answer = await ask("profiles");
  if (before === changes) take(answer); // one that was read before a change would undo it in the page
}

/** Posts a change of the profiles; the answer is their new state, and is returned. */
export async function change(what, body) {
  credits.delete(body.name);
  changes += 1;
  const answer = await ask(`profiles/${what}`, { body });
  changes += 1;
  take(answer);
  return answer;
}

/** The profile that is the default, or undefined before the first answer. */
export function theDefault(answer) {
  return answer.profiles.find((each) => each.name === answer.default);
}

/** Asks for the credits of a profile: on request, otherwise at most once a minute. `knownCredits` has the answer. */
export async function askCredits(profile, { again = false } = {}) {
  const known = credits.get(profile);
  if (known && !again && Date.now() - known.at < MINUTE) return;
  credits.set(profile, { answer: known?.answer, at: Date.now() });
  const answer = await ask("credits", { body: { profile } });
  credits.set(profile, { answer, at: Date.now() });
  if (latest) take(latest);
}

/** Asks again for the credits of those profiles that were asked for before: a job that ended may have taken some. */
export async function askAgain(profiles = [...credits.keys()]) {
  for (const profile of profiles.filter((each) => credits.get(each)?.answer)) {
    try {
      await askCredits(profile, { again: true });
    } catch (error) {
      if (!(error instanceof Refusal)) throw error; // what was seen last stays; nobody asked
    }
  }
}

/** The credits last seen of a profile, if any. */
export function knownCredits(profile) {
  return credits.get(profile)?.answer;
}
