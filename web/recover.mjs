// What NemoVideo Recover offers, as it is now: the jobs by time and the beginning of their prompts. Only the page shows
// these words; the widget's value stays id and time, and "latest unfinished" comes first as the server has it.

import { nameOf, stateOf } from "./job_card.mjs";
import { ask, onJobs, onPromptEnd, Refusal, rootGraph } from "./host.mjs";
import { nameJobs, offer } from "./options.js";
import { allNodes } from "./prefix.js";
import { t } from "./words.js";

const LATEST = "latest unfinished";
const SOON = 300;
let following = false;
let timer = 0;

const isRecover = (node) => (node.comfyClass ?? node.type) === "NemoRecover";

/** Keeps the combos of all Recover nodes as the jobs are, from the first of these nodes on. */
export function followJobs() {
  if (!following) {
    following = true;
    onJobs(readSoon);
    onPromptEnd(readSoon);
    document.addEventListener("visibilitychange", readSoon);
  }
  readSoon();
}

function readSoon() {
  clearTimeout(timer);
  timer = setTimeout(read, SOON);
}

async function read() {
  const nodes = allNodes(rootGraph()).filter(isRecover);
  if (document.hidden || !nodes.length) return;
  try {
    const { jobs } = await ask("jobs");
    const labelled = jobs.filter((job) => job.label);
    nameJobs(new Map(labelled.map((job) => [job.label, `${nameOf(job)} (${t(`jobs.state.${stateOf(job)}`)})`])));
    offer("job", [LATEST, ...labelled.map((job) => job.label)], nodes);
  } catch (error) {
    if (!(error instanceof Refusal)) throw error; // what was offered before stays
  }
}
