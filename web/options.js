// Names for the values of combos and switches, and for a 0 that means something: ComfyUI translates the labels of
// widgets, not their values. What is stored and sent stays the value; front ends without `getOptionLabel` show the value.

import { language } from "./words.js";

const EN = {
  profile: {
    nemo: "NemoVideo cloud",
    "local preview": "Local preview (free)"
  },
  aspect_ratio: {
    "9:16": "9:16 (tall)",
    "16:9": "16:9 (wide)",
    "1:1": "1:1 (square)"
  },
  language: {
    en: "English",
    "zh-CN": "Chinese (Simplified)",
    ja: "Japanese",
    ko: "Korean",
    es: "Spanish",
    fr: "French",
    de: "German",
    pt: "Portuguese",
    ru: "Russian"
  },
  on_item_error: {
    stop: "stop with an error",
    skip: "skip it and continue"
  },
  when_changed: {
    stop: "stop with an error",
    "generate again (pays)": "generate again (paid again)"
  },
  job: {
    "latest unfinished": "newest job without a video"
  }
};

const ZH = {
  aspect_ratio: {
    auto: "自动",
    "9:16": "9:16（竖屏）",
    "16:9": "16:9（横屏）",
    "1:1": "1:1（方形）"
  },
  resolution: {
    auto: "自动"
  },
  quality: {
    high: "高",
    medium: "中",
    low: "低"
  },
  language: {
    auto: "自动",
    en: "英语",
    "zh-CN": "简体中文",
    ja: "日语",
    ko: "韩语",
    es: "西班牙语",
    fr: "法语",
    de: "德语",
    pt: "葡萄牙语",
    ru: "俄语"
  },
  batch_mode: {
    "all images in one video": "所有图像合成一个视频",
    "one video per image": "每张图像一个视频"
  },
  profile: {
    nemo: "NemoVideo 云端",
    "local preview": "本地预览（免费）"
  },
  on_item_error: {
    stop: "停止并报错",
    skip: "跳过它继续"
  },
  encoding: {
    auto: "自动"
  },
  when_changed: {
    stop: "停止并报错",
    "edit the newest state": "编辑最新状态",
    "generate again (pays)": "重新生成（会扣费）"
  },
  follow: {
    true: "开",
    false: "关"
  },
  job: {
    "latest unfinished": "最近未完成的任务"
  }
};

// What 0 means, on widgets where it is no amount.
const ZERO = {
  en: { duration: "automatic", max_credits: "no limit" },
  zh: { duration: "自动", max_credits: "不限" }
};

/** What people read for a value of a widget of this name. */
export function labelOf(name, value) {
  const job = name === "job" ? jobNames.get(value) : undefined;
  return job ?? (language() === "zh" ? ZH : EN)[name]?.[value] ?? String(value ?? "");
}

/** A profile as the panel names it: the built-in ones in words, as on nodes; the user's own by their names. */
export function profileName(name) {
  const label = labelOf("profile", name);
  return label === name ? name : label.replace(/\s*[(（].*[)）]$/, ""); // without "(free)"
}

// Widgets that the canvas draws ask `_displayValue` what to show; those of Vue nodes show the number.
function nameZero(widget) {
  let kind = widget;
  while (kind && !Object.getOwnPropertyDescriptor(kind, "_displayValue")) kind = Object.getPrototypeOf(kind);
  const usual = kind && Object.getOwnPropertyDescriptor(kind, "_displayValue").get;
  if (!usual) return;
  Object.defineProperty(widget, "_displayValue", {
    configurable: true,
    get() {
      const shown = usual.call(this);
      return shown && Number(this.value) === 0 ? ZERO[language()][this.name] : shown;
    }
  });
}

const offered = new Map(); // the name of a combo -> its values by now, and the one that new nodes begin with
let jobNames = new Map(); // a job's label -> what Recover shows in its place, in this page only

/** Gives the combos of this name other values, on these nodes of ours and on every new one. */
export function offer(name, values, nodes, first) {
  offered.set(name, { values, first });
  for (const node of nodes.filter(isOurs)) fill(node, name, values);
}

/** Names the jobs that Recover offers: neither workflows nor prompts hold these words. */
export function nameJobs(names) {
  jobNames = names;
}

function isOurs(node) {
  return String(node?.comfyClass ?? node?.type ?? "").startsWith("Nemo");
}

function fill(node, name, values) {
  const widget = node.widgets?.find((each) => each.name === name);
  if (widget?.options?.values && widget.options.values.join("\n") !== values.join("\n")) widget.options.values = [...values];
  return widget;
}

/** Gives a node that is just made what its combos offer by now; a workflow that is loaded sets its own values after. */
function fillNew(node) {
  for (const [name, { values, first }] of offered) {
    const widget = fill(node, name, values);
    if (widget && first !== undefined) widget.value = first;
  }
}

/** Names the values of a node's widgets; to be called when it is made, before ComfyUI draws it. */
export function nameOptions(node) {
  if (isOurs(node)) fillNew(node);
  for (const widget of node.widgets ?? []) {
    if (widget.name in ZERO.en) nameZero(widget);
    const names = ZH[widget.name];
    if (!names || !widget.options) continue;
    if (widget.type === "toggle") {
      if (language() === "zh") Object.assign(widget.options, { on: names.true, off: names.false });
    } else {
      widget.options.getOptionLabel = (value) => labelOf(widget.name, value);
    }
  }
}
