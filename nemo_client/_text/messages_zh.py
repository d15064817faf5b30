"""English words of ours that the code gives as facts, in Simplified Chinese (`zh.json` holds the texts)."""

from __future__ import annotations

import re
from functools import cache
from typing import Final

PHRASES: Final[dict[str, str]] = {
    # What was being done, {call}.
    "the answer": "回应",
    "the sign-up": "注册免费账户",
    "a new session": "打开新会话",
    "the project page": "获取项目页面",
    "the upload": "上传",
    "the message": "发送消息",
    "the state": "读取会话状态",
    "the balance": "查询积分",
    "the render": "渲染",
    "the cancel": "取消渲染",
    "the download": "下载",
    # What it was about, {name} and {file}.
    "A file": "有文件",
    "profiles.json or NEMO_API_URL": "profiles.json 或 NEMO_API_URL",
    "profiles.json or NEMO_WEB_URL": "profiles.json 或 NEMO_WEB_URL",
    # Why, {reason}.
    "it is locked": "被占用",
    "it belongs to another user": "属于其他用户",
    "it is empty": "文件为空",
    "it is no folder": "不是文件夹",
    "it is no regular file": "不是普通文件",
    "it leads out of its folder": "指向了所属文件夹之外",
    "it lies in another folder": "位于其他文件夹中",
    "its place is not known": "无法确定其位置",
    "it changed while it was read": "读取期间内容发生变化",
    "it changed while it was sent": "发送期间内容发生变化",
    "no free name is left": "没有可用的文件名",
    "it has no picture": "没有画面",
    "its end is missing": "结尾缺失",
    "it cannot be decoded": "无法解码",
    "data, not a video": "是数据而不是视频",
    "no event stream": "不是事件流",
    "it is encoded as {}": "以 {} 编码",
    "a row of it is damaged": "其中一行已损坏",
    "no JSON": "不是 JSON",
    "nested more deeply than {} levels": "嵌套超过 {} 层",
    "more than {} values": "超过 {} 个值",
    "{} is missing or of another type": "{} 缺失或类型不符",
    "too many redirects": "重定向次数过多",
    "it is no address": "不是有效地址",
    "it is no plain http(s) address": "不是普通的 http(s) 地址",
    "it is not encrypted": "未加密",
    "it points at this machine": "指向本机",
    "it points into a private network": "指向内部网络",
    "it points at no public address": "不是公网地址",
    "only http, https, socks5 and socks5h are known": "只支持 http、https、socks5 和 socks5h",
    "its user name or password is too long": "用户名或密码过长",
    "it does not answer": "没有响应",
    "it closed the connection": "连接被关闭",
    "it does not speak HTTP": "对方使用的不是 HTTP 协议",
    "it does not speak SOCKS5": "对方使用的不是 SOCKS5 协议",
    "it asks for a user name and a password": "需要用户名和密码",
    "it refused the user name or the password": "用户名或密码被拒绝",
    "it answered HTTP {}": "返回 HTTP {}",
    "it does not allow the connection": "不允许此连接",
    "it cannot reach the network": "无法到达该网络",
    "it cannot reach the host": "无法到达该主机",
    "the host refused the connection": "主机拒绝连接",
    "it could not make the connection": "无法建立连接",
    "there is no such file": "文件不存在",
    "there is no such folder": "文件夹不存在",
    "it holds no certificates": "其中没有证书",
    "no driver ({})": "缺少驱动程序（{}）",
    "only SQLite is supported, and PostgreSQL as postgresql+psycopg://": "仅支持 SQLite，以及写作 postgresql+psycopg:// 的 PostgreSQL",
    "it is a standby, which only follows another server": "这是只跟随其他服务器的备用服务器",
    "it is read-only": "它是只读的",
    "it does not wait for the disk when it commits": "提交时不等待写入磁盘",
    "its setting fsync is off, so a crash loses what was written": "其 fsync 设置已关闭，崩溃会丢失已写入的内容",
    "its encoding is not UTF8": "其编码不是 UTF8",
    'expected {"profiles": {NAME: {...}}}': '应为 {"profiles": {名称: {...}}}',
    "the name has odd characters": "名称含有不允许的字符",
    "the name looks like that of a built-in profile": "名称与内置配置的名称相似",
    "token_env is no variable's name": "token_env 不是有效的变量名",
    "{} is no whole number": "{} 不是整数",
    "its web address must be https://host (http only on this machine), without user, query or fragment": "网页地址必须是 https://主机（仅本机可用 http），不含用户名、查询参数或片段",
    "its API address must be https://host (http only on this machine), without user, query or fragment": "接口地址必须是 https://主机（仅本机可用 http），不含用户名、查询参数或片段",
    # What would be right, {expected}.
    "a whole number from 0 to 2^64 - 1": "0 到 2^64 - 1 的整数",
    "an id of 1 to 512 characters": "1 到 512 个字符的编号",
    "at most 64 letters, digits, ._:-": "最多 64 个字母、数字或 ._:-",
    "at most {}": "最多 {}",
    "png for a picture of {}": "对于 {} 的图片使用 png",
    "0 to {} seconds (0 = automatic)": "0 到 {} 秒（0 表示自动）",
    # Which limit, {limit_name}.
    "max_credits": "积分上限 max_credits",
    "run_limit": "每次运行的限额 run_limit",
    "day_limit": "每天的限额 day_limit",
    # How a job stands, {state}.
    "planned": "未发送",
    "refused": "被拒绝",
    "done": "已生成",
    # What was expected of a manifest, {expected}.
    "a path, or a list of paths": "一个路径或路径列表",
    "a whole number": "整数",
    "a number of seconds": "秒数",
    "a file name inside the batch's folder": "批处理文件夹内的文件名",
    "0 to {}": "0 到 {}",
    "{}, or none": "{} 或留空",
}


def phrase(text: str) -> str:
    """A fact of ours in Chinese; any other text as it is."""
    if text in PHRASES:
        return PHRASES[text]
    for pattern, chinese in _patterns():
        if found := pattern.fullmatch(text):
            return chinese.format(*map(phrase, found.groups()))
    return text


@cache
def _patterns() -> tuple[tuple[re.Pattern[str], str], ...]:
    """The phrases with something in them: `{}` stands for any text."""
    with_gaps = [(english, chinese) for english, chinese in PHRASES.items() if "{}" in english]
    return tuple((re.compile(re.escape(english).replace(r"\{\}", "(.+)")), chinese) for english, chinese in with_gaps)
