"""What people read: one table of texts a language, looked up by id.

Code never composes sentences; it names an id and hands over facts. A text that a language lacks is taken from
English, and a fact that is missing shows as `?`, because a failure to word an error must not hide the error.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from typing import Final

DEFAULT_LANGUAGE: Final = "en"

FORMATS: Final = "mp4 mov avi webm mkv, jpg png gif webp, mp3 wav m4a aac"

_EN: Final[dict[str, str]] = {
    # Money, one of these follows every failure.
    "money.no": "Nothing was charged.",
    "money.maybe": "This may have been charged.",
    "money.yes": "This was charged.",
    "money.kept": "{spent} credits were paid in this run before that, and what they made is kept (job {jobs}): queue the same workflow again, or use NemoVideo Recover, and nothing is paid again.",
    "money.kept-maybe": "Up to {spent} credits may have been paid in this run before that, and what was made is kept (job {jobs}): queue the same workflow again, or use NemoVideo Recover, and nothing is paid again.",
    # The connection.
    "connect-dns": "The name {host} could not be found. Check the network and its DNS.",
    "connect-proxy": "No connection to {host} through the proxy {proxy}: {reason}. Check HTTPS_PROXY, ALL_PROXY and NO_PROXY; the profile 'local preview' works without a network.",
    "proxy-setting": "The proxy in {variable} cannot be used: {reason}. Write it as http://HOST:PORT or socks5://HOST:PORT, with special characters of a password as %XX, or unset it; the profile 'local preview' works without a network.",
    "certificates-broken": "The certificates that {variable} names cannot be used: {path}: {reason}. Set it right or unset it; the profile 'local preview' works without a network.",
    "connect-tls": "No trusted TLS connection to {host}: {reason}. Check the clock and the system's certificates; where a company's network opens TLS, name its certificate in SSL_CERT_FILE.",
    "connect-refused": "No connection to {host}: {reason}. Check the network, then queue again.",
    "connect-timeout": "{host} did not answer the connection in time. Check the network, then queue again.",
    "answer-timeout": "{host} stopped answering {call}. Queue again to continue from the last finished step.",
    "answer-broken": "The connection to {host} broke during {call}. Queue again to continue.",
    "answer-moved": "{host} sent {call} on to another address (HTTP {status}). That is not followed, because a token goes to no other address than its own. Check the profile's API address.",
    "answer-html": "{host} answered {call} with a web page, not with data (HTTP {status}). It may be a proxy or a log-in page of the network; open it in a browser, then queue again.",
    "answer-not-json": "{host} answered {call} with something that is not valid data (HTTP {status}). Queue again.",
    "answer-wrong-shape": "{host} answered {call} in a way this version does not know ({reason}). Update NemoVideo.",
    "answer-too-large": "{host} answered {call} with more than {limit} bytes, which was not read.",
    # What the backend refuses.
    "api-error": "The backend refused {call}: {reason} (code {code}).",
    "api-server": "The backend had a problem of its own in {call} (HTTP {status}). Queue again in a moment.",
    "token-refused": "The token of profile {profile!r} is wrong or has expired. Set a new one in {variable}, or with 'nemo-video login' where that is not set; if {variable} holds a free account's token, unset it instead.",
    "token-refused-env-free": "The token in {variable}, which profile {profile!r} uses, is a free account's and has expired. Unset {variable}, so that another free account is opened, or register at {link} and set your own token there.",
    "token-refused-free": "The free token of profile {profile!r} is not accepted any more. Queue again in a minute; to go on with your own account, register at {link} and run 'nemo-video login'.",
    "token-refused-anonymous": "The free token of profile {profile!r} is not accepted any more, and work that was paid with it is not delivered yet. Queue again in a minute to collect it; where that stays so, 'nemo-video login --new-anonymous' opens another free account and names that work first.",
    "token-missing": "Profile {profile!r} has no token. Set the environment variable {variable}.",
    "sign-up-limit": "No free token can be had now: one a client in 7 days, about ten a network address. Register at {link} and set NEMO_TOKEN, or use the profile 'local preview', which needs no account.",
    "session-gone": "The backend no longer knows this session. Queue again from the upload to start a new one.",
    "session-gone-paid": "The backend no longer knows this session, in which {spent} credits were paid for: {paid}. To make it again, which pays again, give the first of these steps another seed.",
    "no-credits-anonymous": "Not enough credits ({available} available). Register at {link} to get more, then queue again.",
    "no-credits": "Not enough credits ({available} available). Top up credits in your account, then queue again.",
    "unsupported-file": "{name} is of a kind that the backend does not take. It takes: {formats}.",
    "upload-refused": "The backend did not take {name} into the project, twice. Look whether the file opens, then queue again; no message is sent without its pictures.",
    "file-too-large": "{name} has {size_mb} MB; at most {limit_mb} MB can be sent. Compress or trim it.",
    "file-too-large-there": "The backend refused the file as too large. At most 200 MB can be sent; compress or trim it.",
    "client-id-refused": "The backend did not accept the client id, and no other one. Check NEMO_CLIENT_ID, or delete the file client_id in {home}.",
    "client-id-refused-there": "The backend did not accept the client id in {call}. Check NEMO_CLIENT_ID, or unset it, then queue again.",
    "plan": "Register or upgrade your plan to unlock export.",
    "plan-free": "This free account has no export. Register at {link} to unlock export, then queue again.",
    "plan-other": "The account's plan does not include {call}: {reason}. Upgrade the plan in your account, then queue again.",
    "plan-other-free": "This free account does not include {call}: {reason}. Register at {link}, then queue again.",
    "rate-limit": "The backend asks for a pause (too many requests). Wait a minute, then queue again.",
    # What became of a job.
    "nothing-made": "The backend answered without making a video: {reply} Change the words, or use another seed to ask again. To answer it instead, put NemoVideo Chat in the place of this node, on the same session, with the answer as its message.",
    "question-asked": "The backend asks before it goes on: {question} To answer, put NemoVideo Chat in the place of this node, on the same session, with the answer as its message, and queue again.",
    "question-asked-image": "The backend asks before it goes on: {question} To answer, connect NemoVideo Upload Image with the same pictures (and the same language) to NemoVideo Chat, with the answer as its message, and queue that: it goes to the session that asked.",
    "nothing-made-image": "The backend answered without making a video: {reply} Change the words, or use another seed to ask again. To answer it instead, connect NemoVideo Upload Image with the same pictures (and the same language) to NemoVideo Chat, with the answer as its message.",
    "answer-refused": "The question was asked in another session, or was answered there already, and nothing can answer it from here. Chain this node behind the node that answered it.",
    "result-none": "The message was sent, but nothing was made of it. Use another seed to send it again.",
    "result-unknown": "The message was sent, but what became of it is not known yet. Queue the same request again later: the result is looked up, and nothing is sent twice.",
    "answered-nothing": "The backend answered nothing, and no result shows in the project yet. Queue the same request again later: its result is looked up first, and nothing is sent twice.",
    "result-late": "The backend said that the work is done, but the project does not show it yet. Queue the same request again in a few minutes: its result is looked up first, and nothing is sent twice.",
    "stream-capped": "The answer took longer than 15 minutes, so this program stopped listening to it. Queue the same request again later: its result is looked up first, and nothing is sent twice.",
    "result-lost": "The message was sent, and no result showed up. Use another seed to send it again, which pays again.",
    "stream-failure": "The backend reported a failure while it was working: {reason}. Queue the same request again: its result is looked up first, and nothing is sent twice.",
    "render-failed": "The backend could not render the video: {reason}. Rendering is free; queue again.",
    "render-timeout": "The render did not finish within {minutes} minutes. It is kept; queue again to look for it.",
    "render-word": "The backend says {said!r} of the render, which this version does not know. The render is kept; queue again to look at it again.",
    "not-ready": "There is nothing to export yet: the draft has no clips. Generate a video first.",
    "video-broken": "The downloaded video is damaged ({reason}). Rendering is free; queue again.",
    "download-refused": "The video's address {address} answered with HTTP {status}. Queue again: it is fetched, or rendered again, for free.",
    "download-page": "The video's address {address} answered with a web page, not with a video. Queue again: it is fetched, or rendered again, for free.",
    "download-foreign": "The backend named an address for the video that is not allowed ({reason}).",
    "container-converted": "The backend sent a {was} file instead of {asked}. It was changed into {asked} on this machine.",
    "container-named": "The backend sent a {was} file instead of {asked}, and it could not be changed into {asked} here. It is saved as {was}; choose that format to export without a change.",
    "cancelled": "Cancelled.",
    "cancelled-detached": "Cancelled here; the paid work at the backend goes on. Queue the same request again to collect the video without paying again.",
    "fork-refused": "Another branch already went on from this point, and paid steps lie behind it. Chain this node behind that branch, or give the step before another seed (which pays again).",
    "owner-stuck": "Another process (pid {pid}) holds this request and does not move. Continue or end it, then queue again.",
    "journal-damaged": "The journal {path} is damaged. It was set aside as {kept}; paid work that it knew of can no longer be found by itself. Queue again to start with a new one.",
    "journal-unusable": "The journal {path} cannot be used: {reason}. Nothing that costs credits is sent without it.",
    "journal-away": "The journal's database cannot be reached at the moment: {reason}. Nothing that costs credits is sent without it; queue again when it is back.",
    "journal-unwritten": "The message was sent, but the journal's database was away for {minutes} minutes, so what it came to is not recorded. Queue the same request again when the database is back: the result is looked up, and nothing is sent twice.",
    "journal-too-new": "The journal {path} was written by a newer NemoVideo. Update this one; until then nothing that costs credits is sent.",
    "job-unknown": "There is no such job: {job!r}. 'nemo-video jobs list' shows them.",
    "job-ambiguous": "{job!r} is the beginning of several jobs: {jobs}. Give more of the id.",
    "job-open": "This job is still open; it may yet turn out well. It can be sent again in {minutes} minutes.",
    "job-not-lost": "This job is {state}; only one that failed or was lost can be sent again.",
    "edit-changed": "This place was already edited with other words, by an earlier run or another branch, and the backend's session holds that edit. Choose 'edit the newest state' or 'generate again (pays)' for when_changed, or chain this node behind that edit.",
    "chat-changed": "Another message already went on from here, in an earlier run or another branch, and the backend's session holds it. Choose 'edit the newest state' for when_changed to carry the conversation on from there, or chain this node behind that one.",
    "session-unsettled": "The message before this one in the session is not settled yet: its result is still looked for. Queue again in {minutes} min, or Resume job {job} (in a shell: `nemo-video jobs resume {job}`).",
    "session-busy": "This session is still at work on another message. Queue again when it has finished.",
    # Wrong input.
    "file-missing": "There is no file {name}.",
    "file-missing-meant": "There is no file {name}, but one called {meant}. Write its name as it is.",
    "name-no-text": "The name {name} holds bytes that are no UTF-8 text. Choose another name for the video or its folder.",
    "file-unreadable": "{name} cannot be read: {reason}.",
    "not-an-image": "{name} is not an image that can be read.",
    "image-too-large": "The image has {width} x {height} pixels; at most {limit} million pixels can be used.",
    "image-not-finite": "The image holds values that are not numbers (NaN or infinite). Look at the node it comes from.",
    "input-missing": "The input {name} has no value. Connect something to it, or set its widget.",
    "no-handle": "The input {name} is a {given}, not what a NemoVideo node gives. Connect the output of one.",
    "no-tensor": "The input is a {given}, not a tensor with values. Look at the node it comes from.",
    "tensor-kind": "The input holds values of the kind {given}; expected fractions from 0 to 1 (float). Convert it to float, and bytes by dividing by 255.",
    "image-shape": "The image has shape {shape}; expected [batch, height, width, 1, 3 or 4 channels].",
    "one-source": "Give exactly one of source, audio and video (now: {given}).",
    "source-outside": "There is no file {name} in ComfyUI's input, output or temp folder. Other folders have to be named in NEMO_ALLOWED_DIRS on the server.",
    "audio-shape": "AUDIO of shape {shape} at {rate} Hz cannot be sent. Expected [1, channels, samples].",
    "audio-not-finite": "The audio has values that are no numbers (NaN or infinite).",
    "image-empty": "There is no image in this batch.",
    "mask-shape": "The mask has shape {shape}; expected [height, width] or [batch, height, width], one or one an image.",
    "mask-not-finite": "The mask holds values that are not numbers (NaN or infinite). Look at the node it comes from.",
    "video-unusable": "The video cannot be made into a file: {reason}. Give it frames in RGB, at least 2 pixels wide and high, of even width and height.",
    "mask-jpeg": "A mask cannot be sent as jpeg. Choose encoding auto, png or webp.",
    "heic-extra": "{name} is a HEIC picture, which needs an extra: pip install 'nemo-video[heic]'.",
    "prompt-empty": "The prompt is empty. Say what the video shall show.",
    "prompt-too-long": "The prompt has {length} characters; at most {limit} can be sent.",
    "value": "{name} is {value!r}; expected {expected}.",
    "profile-unknown": "There is no profile {name!r}. There are: {names}.",
    "profile-broken": "Profile {name!r} in {file} cannot be used: {reason}.",
    "url": "{url!r} is not an http(s) address.",
    "extra-cli": "The shell command needs an extra: pip install 'nemo-video[cli]'.",
    "packages-missing": "NemoVideo cannot work before its Python packages are installed (missing: {missing}). Run `{command}`, then start ComfyUI again.",
    "pack-twice": "NemoVideo is installed twice: the copy in {running} runs, and the one in {aside} stands aside. Remove one of these folders from custom_nodes and start ComfyUI again.",
    "comfyui-too-old": "This ComfyUI is too old for the NemoVideo nodes ({missing} is missing). Update ComfyUI to 0.3.48 or later.",
    "prefix-outside": "The file name prefix {prefix!r} leads out of ComfyUI's output folder. Use a name or a subfolder.",
    "prefix-odd": "The file name prefix {prefix!r} cannot be a file name. Use letters, digits, - and _, and / for subfolders.",
    "sessions-and-images": "{sessions} sessions came with {images} images; give one session, or as many as images.",
    "uploads-elsewhere": "{name} is to be uploaded once more, but it is kept on the machine that uploaded it, or no longer at all. Queue again with its pictures, from the upload.",
    "handle-unknown": "This session is not in the journal of this machine. Queue again from the upload.",
    "item-failed": "This item failed before: {reason}",
    "lists-differ": "{name} came as a list of {length}, where one value or {expected} are needed.",
    "items-failed": "{failed} of {total} items failed. The first: {first}",
    "usage": "{reason}. See `{command} --help`.",
    "either": "Give either {one} or {other}, not both.",
    "output-format": "--output ends in .{suffix}, but --format says {format}. Let them agree, or leave one out.",
    "serve-failed": "The local preview cannot listen on {host}, port {port}: {reason}.",
    "chat-no-session": "There is no session to look at. Give --session to go on with one, or --image to start one.",
    "chat.exported": "Exported: {path}",
    "chat.export-free": "An export is free: it takes no credits.",
    "chat.largest-size": "{resolution} is the largest size there is, so the video is exported in it.",
    "chat.nearest-size": "There is no size {asked}, so the video is exported in {resolution}, the nearest there is.",
    "chat-output-format": "--output ends in .{suffix}, but the message asks for {format}. Name a file that ends in .{format}, or a folder.",
    "chat.upload": "To add pictures, sounds or videos, put NemoVideo Upload Image or NemoVideo Upload File or URL before this node and connect their session.",
    "chat.proposal": "The backend proposes (this costs credits): {message}",
    "chat-upload": "Say which picture: give it with --image, or type the path of its file.",
    "limit": "This would cost about {estimate} credits; with {spent} spent before, that is more than the limit of {limit} ({limit_name}). Raise the limit to send it.",
    # The local disk.
    "disk-full": "The disk is full: {path} could not be written. Free some space, then queue again.",
    "disk-unwritable": "{path} cannot be written: {reason}.",
    "home-unusable": "The home directory {path} cannot be used: {reason}. Set NEMO_HOME to a private folder.",
    "home-none": "This user has no home directory that the system knows, so {path} cannot be found. Set NEMO_HOME to the full path of a private folder.",
    "home-none-journal": "This user has no home directory that the system knows, so {path} cannot be found; the journal of earlier runs lies in {old}. Set NEMO_HOME to the full path of a private folder, or to {old} to go on with it.",
    "home-moved": "The home directory is {path}, but the journal of earlier runs lies in {old}, as this setting was read before. Move it by `{command}`, then try again.",
    "home-served": "The home directory {path} lies in a folder that ComfyUI serves to browsers. Set NEMO_HOME to a private folder.",
    "credentials-broken": "{path} is damaged. Move it away to start with a new one.",
    "unexpected": "Something unexpected went wrong ({kind}: {reason}). Please report it.",
    # Progress.
    "stage.sign-up": "Signing in",
    "stage.encode": "Preparing the picture",
    "stage.session": "Opening a session",
    "stage.upload": "Uploading",
    "stage.queue": "Waiting for its turn",
    "stage.wait": "Waiting for another process with the same request",
    "stage.plan": "Checking credits",
    "stage.generate": "Generating",
    "stage.edit": "Editing",
    "stage.chat": "Asking",
    "stage.settle": "Looking for the result",
    "stage.record": "Waiting for the journal's database to record the result",
    "stage.render": "Rendering",
    "stage.download": "Downloading",
    "stage.check": "Checking the file",
    "stage.done": "Done",
    "progress.tool": "{stage}: {tool}",
    "progress.still": "Still working",
    "progress.elapsed": "{seconds} s",
    "progress.left": "about {seconds} s left",
    "progress.price": "about {credits} credits",
    "progress.free": "nothing charged",
    "progress.spent": "{credits} credits",
    "progress.spent-left": "{credits} credits, {left} left",
    "progress.some": "{done} of {total} finished",
    "progress.failed": "Item {number} failed: {reason}",
    "progress.reused": "found in the journal",
    # Results.
    "credits": "{available} credits available, {frozen} reserved, {total} in total.",
    "account.anonymous": "{profile}: free account, token until {expires}",
    "account.anonymous-new": "{profile}: a free account is opened at the first use",
    "account.user": "{profile}: your own account",
    "account.local": "{profile}: renders on this machine, free, no account",
    "language": "Language {language}",
    # The shell.
    "shell.free": "Free: made on this machine.",
    "shell.spent.exact": "{spent} credits spent, {left} left.",
    "shell.spent.at most": "At most {spent} credits spent, {left} left; other work, perhaps your own, used the account at the same time.",
    "shell.spent.unknown": "What it cost could not be read; {left} credits left.",
    "shell.reused": "Found in the journal: nothing was sent again.",
    "shell.register": "A free account. Register to keep its projects and get more credits: {link}",
    "shell.proposal": 'It proposes "{message}", which may cost credits. To do it: `{command}`',
    "shell.uploaded": "{count} uploaded.",
    "shell.session": "To go on in this session: `{command}`",
    "shell.converse": "Say what to make or change; 'export' delivers the video, 'credits' and 'status' are free, 'exit' leaves.",
    "shell.serving": "The local preview backend is running. Ctrl-C stops it.",
    "shell.stop": "Stopping. Press Ctrl-C again to leave at once.",
    "shell.stop-paid": "Paid work is out: it is read to its end, and nothing new is started. Press Ctrl-C again to leave at once, which may lose it.",
    "shell.left": "Left while paid work was out, which may have stopped it. `{command}` looks for its result; nothing is sent twice.",
    "shell.kept": "What was paid for is kept: `{command}` delivers it without paying again.",
    "shell.unknown": "The message was sent, but what became of it is not known yet: {reason}. `{command}` looks for its result; nothing is sent twice.",
    "shell.unknown-reason": "the connection broke",
    "shell.kept-paid": "{spent} credits were paid in this run, and what they made is kept: `{command}` delivers it without paying again.",
    "shell.unknown-nothing": "the backend answered nothing",
    "shell.unknown-late": "the backend said that the work is done, but the project does not show it yet",
    "shell.unknown-cap": "the answer took longer than 15 minutes, so this program stopped listening to it",
    "shell.unknown-end": "its answer did not come to an end",
    "shell.question": "The backend asks before it goes on: {question} To answer: `{command}`",
    "shell.answered": "The backend answered without making a video: {reply} To answer: `{command}`",
    "shell.unsettled": "The message before this one in the session is not settled yet: its result is still looked for. Try again in {minutes} min, or look now: `{command}`",
    "shell.lost": "The message was sent, and no result showed up. `{command}` sends it again, which pays again.",
    # Jobs.
    "job.state.planned": "not sent",
    "job.state.sent": "sent, no result yet",
    "job.state.unknown": "sent, result not known",
    "job.state.done": "made, not delivered",
    "job.state.answered": "answered",
    "job.state.delivered": "delivered",
    "job.state.refused": "refused",
    "job.state.failed": "nothing was made",
    "job.state.lost": "sent, no result came",
    "job.forgotten": "forgotten",
    "job.gone": "{path} (no longer there)",
    "jobs.none": "There are no jobs.",
    "jobs.unfinished": "* owes a video: `nemo-video jobs resume ID` delivers it.",
    "jobs.head": "id,time,state,credits,prompt,video",
    "jobs.sends": "Job {job} was never sent. It is sent now, and charged.",
    "jobs.pays": "Sending job {job} again pays again: {prompt}",
    "jobs.ask": "Send it again? [y/N]",
    "jobs-yes": "Sending job {job} again pays again. Add --yes to do it.",
    "jobs.stopped": "The render of job {job} was stopped. Rendering is free, and what was paid for is kept: `{command}` renders it again.",
    "jobs.out": "The message of job {job} is out: it cannot be called back, goes on at the backend, and is charged. `{command}` collects the video.",
    "jobs.idle": "Nothing of job {job} is running.",
    "jobs.idle-kept": "Nothing of job {job} is running. What was made is kept: `{command}` delivers it.",
    "jobs.page": "Open it in a browser soon. Whoever has this link can open the project.",
    "jobs.hidden": "Job {job} is no longer listed. It stays known, so that the same request is not paid again.",
    "jobs.hidden-open": "Job {job} is no longer listed. It is not finished and may yet be charged; `{command}` still collects it.",
    "jobs.uploads": "{count} kept uploads were deleted.",
    # Signing in.
    "login.prompt": "Token of {profile} (it is not shown):",
    "login.kept": "The token of {profile} is kept in {path}.",
    "login.unchecked": "It could not be tried out now: {reason}",
    "login.anonymous": "{profile} has a new free account. Register to keep its projects and get more credits: {link}",
    "login.before": "{variable} is set and goes before it.",
    "login.given-up": "Given up with the free account before: jobs {jobs}.",
    "login.given-up-credits": "Given up with the free account before: {credits} credits.",
    "login.gives-up": "The stored free account goes with its token. This is given up: {credits} credits; open jobs: {jobs}.",
    "login.ask": "Give it up? [y/N]",
    "login-gives-up": "With the stored free account, this would be given up: {credits} credits; open jobs: {jobs}. Collect jobs with `nemo-video jobs resume`, or add --yes.",
    "login-own": "The stored token of profile {name!r} is your own, and is not replaced by a free account. Take it out of {path} first.",
    "login-refused": "The backend refused this token, and it was not kept. Check that it is the token of profile {profile!r}.",
    "login-variable": "{variable} is set and goes before any stored token. Unset it first.",
    "login-free": "Profile {name!r} works on this machine and needs no token.",
    "token-odd": "That is no token: expected one line of plain characters without spaces.",
    # The settings page and the list of jobs in the browser.
    "profile-free": "Profile {name!r} works on this machine, free, and has no limits.",
    "profile-built-in": "Profile {name!r} is built in; it cannot be deleted, and its address is not changed here. Give another profile a name of its own.",
    "profile-pinned": "The token of profile {name!r} comes from {variable}, so its address is not changed here. Change it in profiles.json on the server.",
    "token-gives-up": "With the stored free account, this would be given up: {credits} credits; open jobs: {jobs}. Resume jobs first, or confirm that all this is given up.",
    "token-untried": "The new token of profile {profile!r} could not be tried out, and the stored one stays: {reason} Try again when the connection is back.",
    "token-changing": "The stored token of profile {profile!r} was changed by another process, and stays. Try again.",
    "origin-foreign": "This request came from another page. Open ComfyUI by the address that it is served at; a proxy must pass on the Host header.",
    "host-foreign": "ComfyUI listens on this machine alone, and was asked for as {host}, which may be a stranger's name for it. Open it as localhost or 127.0.0.1; where a proxy passes that name on without TLS, name it in NEMO_HOSTS on the server.",
    "header-missing": "The request lacks the header {header}. Reload the page; from a script, send `{header}: 1`.",
    "body-not-json": "The request's body is not JSON. Send a JSON object with Content-Type application/json.",
    "body-too-large": "The request's body is too large. At most {limit} bytes are read.",
    "picture-none": "There is no picture of job {job}.",
    "page-none": "Job {job} has no project page. Only projects on the cloud have one.",
    "folder-none": "The video of job {job} is not in ComfyUI's output folder. Resume the job to deliver it again, for free.",
    "folder-remote": "A folder can be opened only by who sits at the machine that ComfyUI runs on. The video lies in {path}.",
    "folder-no-program": "No file manager could be started on the machine that ComfyUI runs on. The video lies in {path}.",
    "resume-unsent": "Job {job} was never sent, and nothing was charged. Queue its workflow again to send it.",
    "board.refused": "It was refused before any work on it, and nothing was charged. Queue its workflow again.",
    "board.out": "The message of job {job} is out: it cannot be called back, goes on at the backend, and is charged. Resume collects the video.",
    "board.stopped": "The render of job {job} was stopped. Rendering is free, and what was paid for is kept: Resume renders it again.",
    "board.idle": "Nothing of job {job} is running.",
    "board.idle-kept": "Nothing of job {job} is running. What was made is kept: Resume delivers it.",
    # Batches, and their page.
    "batch-no-image": "There is no picture for this item. Give `image`: a path, several with | between them, or an http(s) address.",
    "batch-no-pictures": "There are no pictures in {name}. Give a folder with pictures, a glob, or a manifest.",
    "batch-empty": "The manifest {file} has no items. Write one line an item below the names of the columns.",
    "batch-kind": "{name} is no manifest that can be read. Save it as CSV (UTF-8), or write one JSON object a line; manifests end in {manifests}.",
    "batch-line": "{file}, line {line}: {what}",
    "batch-encoding": "{file}, line {line} is not UTF-8 text. Save the manifest as 'CSV UTF-8'.",
    "batch-json": "{file}, line {line} is no JSON object ({what}). Write one object a line.",
    "batch-cells": "{file}, line {line} has {cells} cells, but there are {columns} columns. Put text that holds the separator in double quotes.",
    "batch-csv": "{file}, line {line} is no valid CSV ({what}). Look at its double quotes.",
    "batch-column-twice": "{file} has the column {column!r} twice. Take one of them out.",
    "batch-no-image-column": "{file} has no column `image`. The first line names the columns: {columns}.",
    "batch-column": "{file}, line {line}: there is no column {column!r}. There are: {columns}.",
    "batch-column-meant": "{file}, line {line}: there is no column {column!r}. Perhaps {meant!r} is meant; there are: {columns}.",
    "batch-same-name": "Two items have the output name {name!r} (lines {first} and {line}). Give each its own.",
    "batch-busy": "Another batch is at work in {folder}. Wait until it has ended, or choose another folder with --output.",
    "batch-problems": "{count} of {total} items cannot be made. The first: {first} Mend them, or add --skip-broken to go on without them.",
    "batch-failed": "{failed} of {total} items failed. The first: {first} What to do about each is in {results}; --retry failed tries them again.",
    "batch-unknown": "Of {count} items the message was sent, and the result is not known yet. The same command again looks for it; nothing is sent twice.",
    "batch-left": "{left} of {total} items are left: {reason} The same command again goes on.",
    "batch-stopped": "Stopped; {left} of {total} items are left. The same command again goes on, and nothing is paid twice.",
    "batch.stop-paid": "Stopping: {count} items that are paid for go on to their end, and nothing new begins. Press Ctrl-C again to leave at once; the same command goes on later.",
    "batch.done": "{done} of {total} done",
    "batch.running": "{count} running",
    "batch.failing": "{count} failed",
    "batch.credits": "{credits} credits",
    "batch.left": "about {time} left",
    "batch.asked": "The backend asks before it goes on: {question}",
    "batch.answered": "The backend answered without making a video: {reply}",
    "batch.answer": "Answer it with `{command}`, or change the words or the seed of this item.",
    "batch.item-failed": "{item}: {reason}",
    "batch.quieter": "More items fail; they are told in {results} only.",
    "batch.found": "{count} items were done before and are left as they are.",
    "batch.kept-failed": "{count} items failed before; --retry failed tries them again.",
    "batch.cluster": "Cluster: workers {workers}, threads {threads}.",
    "batch.summary": "{done} of {total} videos are in {folder}. {time}.",
    "batch.spent.exact": "{spent} credits were spent in this run.",
    "batch.spent.at most": "At most {spent} credits were spent in this run; other work, perhaps your own, used the account at the same time.",
    "batch.spent.unknown": "What this run cost could not be read.",
    "batch.all.exact": "This folder's videos took {spent} credits in all.",
    "batch.all.at most": "This folder's videos took at most {spent} credits in all.",
    "batch.all.unknown": "This folder's videos took at least {spent} credits in all.",
    "batch-money.no": "Nothing was charged for these.",
    "batch-money.maybe": "Some of these may have been charged.",
    "batch-money.yes": "Some of these were charged.",
    "cluster-extra": "Working on a cluster needs Dask. Install it: pip install 'nemo-video[fleet]'.",
    "cluster-away": "The scheduler at {address} does not answer ({reason}). Look whether it runs there (`dask scheduler`), and whether the address begins with tcp:// or tls:// as it does.",
    "cluster-empty": "No worker came to the scheduler at {address} within {seconds} seconds. Start some: dask worker {address} --nthreads 32.",
    "cluster-lost": "The scheduler at {address} went away in the middle. What its workers had begun is in the journal, and is found by the next run.",
    "cluster-deserted": "No worker is left at {address}. What they had begun is in the journal, and is found by the next run.",
    "cluster-failed": "A worker of {address} could not carry an item out ({reason}). Install the same nemo-video on each worker, then try again.",
    "cluster-worker": "The worker {worker} cannot take part: {reason} Nothing was begun.",
    "cluster-missing": "On the worker {worker} nemo-video cannot be loaded ({reason}). Install it there: pip install 'nemo-video[fleet]'.",
    "cluster-version": "The worker {worker} has nemo-video {theirs}, and this machine has {ours}. Install the same on all.",
    "cluster-folder": "The worker {worker} does not see {folder}. It has to be there under the same path, on a file system that all machines share.",
    "cluster-profile": "On the worker {worker} the profile {profile!r} leads somewhere else, or does not exist. Give all machines the same NEMO_API_URL and profiles.json.",
    "cluster-no-account": "This machine has no token for the profile {profile!r}. A batch on a cluster needs the same account everywhere: set its token here and on each worker.",
    "cluster-worker-account": "The worker {worker} has no token for the profile {profile!r}. Set it in the environment in which that worker starts.",
    "cluster-other-account": "The worker {worker} has another account for the profile {profile!r} than this machine. Give all the same token.",
    "cluster-journal": "The worker {worker} has another journal than this machine, so the same request could be paid twice. Set the same NEMO_JOURNAL_URL everywhere.",
    "cluster-file-journal": "The worker {worker} is on another machine, and a journal that is a file is not shared safely. Set NEMO_JOURNAL_URL to one PostgreSQL database everywhere (docs/fleet.md).",
    "worker-lost": "The workers that worked on it died, one after another. What they had begun is in the journal, and is found by the next run.",
    "batch.plan": "{count} of {total} items are to be made.",
    "batch.price": "{profile}: {count} items, about {credits} credits ({each} each, as seen here before).",
    "batch.price-guess": "{profile}: {count} items, about {credits} credits ({each} each is a guess: none was made here yet).",
    "batch.price-free": "{profile}: {count} items, free.",
    "batch.price-limit": "--max-credits {limit} is enough for about {count} of them.",
    "batch.no-problems": "No problems were found. Nothing was sent.",
    "batch.problems": "{count} items have a problem; nothing was sent. The first:",
    "page.title": "Videos",
    "page.all": "All",
    "page.search": "Find in names and prompts",
    "page.state.done": "done",
    "page.state.failed": "failed",
    "page.state.unknown": "result not known yet",
    "page.state.stopped": "stopped",
    "page.state.open": "not begun",
    "page.duplicate": "the same as {item}",
    "page.credits": "{credits} credits",
    "page.seconds": "{seconds} s",
    "page.made": "{done} of {total} videos",
}

TEXTS: Final[dict[str, Mapping[str, str]]] = {"en": _EN}
"""The tables that are loaded; `table` loads the others when they are first spoken."""

LANGUAGES: Final = ("en", "zh")


class _Facts(dict[str, object]):
    def __missing__(self, key: str) -> str:
        return "?"


def choose_language(preferred: str | None = None) -> str:
    """The language to speak: `NEMO_LANG`, else `preferred` (a handle's), else English; only known ones count.

    A code counts up to its first separator: `zh-CN`, `zh_TW` and `zh_CN.UTF-8` are all `zh`.
    """
    for choice in (os.environ.get("NEMO_LANG"), preferred):
        if choice:
            short = choice.strip().replace("_", "-").split("-")[0].split(".")[0].lower()
            if short in LANGUAGES:
                return short
    return DEFAULT_LANGUAGE


def load_texts(lang: str) -> Mapping[str, str]:
    """The texts of a language of `LANGUAGES`."""
    if lang == "zh" and lang not in TEXTS:
        from . import messages_zh as _words_zh  # only who speaks it pays for it

        TEXTS[lang] = _words_zh.TEXTS
    return TEXTS[lang]


def say(text_id: str, lang: str | None = None, /, **facts: object) -> str:
    """The text `text_id` with `facts` filled in, in the language that `language(lang)` means; never raises."""
    spoken = choose_language(lang)
    return _filled(_template(text_id, spoken), facts, spoken)


def what_and_hint(text_id: str, lang: str | None = None, /, **facts: object) -> tuple[str, str]:
    """As `say`, in two: what happened (the text's first sentence), and what to do about it, which may be empty."""
    spoken = choose_language(lang)
    what, _, hint = _SENTENCE.sub("\n", _template(text_id, spoken), count=1).partition("\n")
    return _filled(what, facts, spoken), _filled(hint, facts, spoken)


_SENTENCE: Final = re.compile(r"(?<=[.!?])\s+|(?<=。)(?=.)")


def _template(text_id: str, spoken: str) -> str:
    return load_texts(spoken).get(text_id) or _EN.get(text_id) or text_id


def _filled(template: str, facts: Mapping[str, object], spoken: str) -> str:
    try:
        return template.format_map(_Facts(_worded(facts, spoken)))
    except (ValueError, AttributeError, LookupError, TypeError):  # `{width:d}` and the like on a missing fact
        return template


_PHRASED: Final = ("call", "expected", "file", "limit_name", "name", "reason", "state")
"""Facts that can be English words of ours; what is not in the list of phrases stays as it is."""


def _worded(facts: Mapping[str, object], lang: str) -> Mapping[str, object]:
    if lang == DEFAULT_LANGUAGE:
        return facts
    from .messages_zh import phrase

    return {name: phrase(fact) if name in _PHRASED and isinstance(fact, str) else fact for name, fact in facts.items()}
