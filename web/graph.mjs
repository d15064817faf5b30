// The workflows of jobs: opened from the delivered file, and made ready for another take. Nothing is run from here:
// what pays is started by ComfyUI's Run alone.

import { ask, canvas, openGraph, Refusal, rootGraph, showNode, tell } from "./host.mjs";
import { allNodes } from "./prefix.js";
import { isPaid, KINDS, newTake } from "./takes.js";
import { t } from "./words.js";

const WORDS = ["prompt", "instruction", "message"];

/** Opens the workflow that the delivered file of a job carries, in a tab of its own where the front end has tabs. */
export async function openWorkflow(job) {
  const found = await ask(`jobs/${encodeURIComponent(job.id)}/workflow`);
  await openGraph(found, job.video.filename.replace(/\.\w+$/, ""));
}

/** Gives the node that made a job another seed, in the file's workflow, or in the graph that is open where it has none. */
export async function takeAgain(job) {
  let noFile = null;
  if (job.video) {
    try {
      await openWorkflow(job);
    } catch (error) {
      if (!(error instanceof Refusal)) throw error;
      noFile = error;
    }
  }
  const makers = findMakers(job);
  if (!makers.length) throw noFile ?? new Refusal(t("take.no-node"));
  if (makers.length > 1) throw new Refusal(t("take.which"));
  const [node] = makers;
  if (!newTake(node, canvas())) throw new Refusal(t("take.linked"));
  showNode(node);
  tell("info", readyWords(job));
}

/** The nodes of the open graph that may have made a job: those with its words, else the one that pays as it did. */
function findMakers(job) {
  const able = allNodes(rootGraph()).filter((node) => isPaid(node) && KINDS[node.comfyClass ?? node.type] === job.kind);
  const saying = able.filter((node) => isMessageOf(job.prompt.trim(), wordsOf(node)));
  return saying.length || !job.video ? saying : able;
}

/** Whether a message says these words: a plain line for length and shape may come after them. */
function isMessageOf(message, words) {
  return Boolean(words) && message.startsWith(words) && /^(\s|$)/.test(message.slice(words.length));
}

function wordsOf(node) {
  return String(node.widgets?.find((each) => WORDS.includes(each.name))?.value ?? "").trim();
}

function readyWords(job) {
  if (job.free) return t("take.ready.free");
  if (job.spent && job.certainty === "exact") return t("take.ready.credits", { credits: job.spent });
  return t("take.ready");
}
