// Names for the values of combos and switches: ComfyUI translates the labels of widgets, not their values. What is stored
// and sent stays the value; front ends without `getOptionLabel` show the value as before.

import { language } from "./words.js";

const ZH = {
  aspect_ratio: {
    auto: "自动"
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
    nemo: "nemo（云端）",
    "local preview": "local preview（本地预览）"
  },
  on_item_error: {
    stop: "停止",
    skip: "跳过"
  },
  encoding: {
    auto: "自动"
  },
  when_changed: {
    stop: "停止",
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

/** Names the values of a node's widgets; to be called when it is made, before ComfyUI draws it. */
export function nameOptions(node) {
  for (const widget of node.widgets ?? []) {
    const names = ZH[widget.name];
    if (!names || !widget.options) continue;
    if (widget.type === "toggle") {
      if (language() === "zh") Object.assign(widget.options, { on: names.true, off: names.false });
    } else {
      widget.options.getOptionLabel = (value) => (language() === "zh" && names[value]) || String(value ?? "");
    }
  }
}
