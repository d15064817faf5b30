// Reading again and again, only while the page is seen.

/** Runs `step` now, after each `pause()` milliseconds, and on `now()`; never two at once, never in a hidden page. */
export function poll(step, pause) {
  let timer = 0;
  let busy = false;
  let again = false;
  let ended = false;
  const run = async () => {
    clearTimeout(timer);
    if (ended || document.hidden) return;
    if (busy) {
      again = true;
      return;
    }
    busy = true;
    again = false;
    try {
      await step();
    } finally {
      busy = false;
      if (!ended) timer = setTimeout(run, again ? 100 : pause());
    }
  };
  document.addEventListener("visibilitychange", run);
  const end = () => {
    ended = true;
    clearTimeout(timer);
    document.removeEventListener("visibilitychange", run);
  };
  run();
  return { now: run, end };
}
