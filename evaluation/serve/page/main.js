// The page: opening a video, playing it, pointing, asking, and what is drawn over it.

import {Answers, css} from "./answers.js";
import {Masks} from "./masks.js";
import {PicturePlayer, VideoPlayer} from "./player.js";
import {Pointing} from "./pointing.js";
import * as server from "./server.js";
import {Timeline} from "./timeline.js";
import {FrameTimes, written} from "./times.js";

const at = id => document.getElementById(id);
const EXAMPLES = ["What happens in this video?", "Can you segment the … in this video?", "When does … happen?"];
const say = (element, text) => { element.textContent = text; element.hidden = !text; };
const info = await server.start();
let session = null, opening = null, asking = null;

// ------------------------------------------------------------------------------------------ opening a video

at("model").textContent = `${info.checkpoint.replace(/^.*(?=(\/[^/]+){3}$)/, "…")} · ${info.device === "cuda" ? "on a GPU" : "on the CPU"}`;
at("model").title = info.checkpoint;
at("limits").textContent = `At most ${info.most_bytes_text} and ${info.most_length_text}. `
  + "It goes to the server's machine alone, and is removed there when you close this page.";
document.documentElement.style.setProperty("--span", css(info.colours.span));
document.documentElement.style.setProperty("--region", css(info.colours.region));
at("listed").hidden = !info.listed.length && !info.listed_outside;
at("names").append(...info.listed.map(name => {
  const item = document.createElement("li"), choose = document.createElement("button");
  Object.assign(choose, {type: "button", className: "link", textContent: name});
  choose.addEventListener("click", () => open(signal => server.openListed(name, signal), name));
  item.append(choose);
  return item;
}));
say(at("outside"), info.listed_outside ? `${info.listed_outside} links that lead out of the folder are left out.` : "");

async function open(get, name) {
  if (opening) return;
  opening = new AbortController();
  say(at("open-problem"), "");
  at("opening").hidden = false;
  at("opening-bar").removeAttribute("value");
  at("opening-text").textContent = `Reading ${name} …`;
  try {
    const video = await get(opening.signal);
    at("opening-text").textContent = "Opening the player …";
    await begin(video);
  } catch (error) {
    if (error.name !== "AbortError") say(at("open-problem"), error.message);
  } finally {
    opening = null;
    at("opening").hidden = true;
  }
}

function choose(file) {
  if (!file) return;
  if (file.size > info.most_bytes) {
    say(at("open-problem"), `${file.name} is too large: at most ${info.most_bytes_text} are accepted here. `
      + "Make it smaller, or start the server with a larger --max-mb.");
    return;
  }
  open(signal => server.upload(file, signal, share => {
    at("opening-bar").value = share;
    at("opening-text").textContent = share < 1 ? `Sending ${file.name}: ${Math.round(100 * share)} %`
      : `Reading ${file.name} …`;
    if (share >= 1) at("opening-bar").removeAttribute("value");
  }), file.name);
}

at("file").addEventListener("change", event => { choose(event.target.files[0]); event.target.value = ""; });
at("opening-cancel").addEventListener("click", () => opening?.abort());
addEventListener("dragover", event => { event.preventDefault(); at("drop").classList.add("over"); });
addEventListener("dragleave", () => at("drop").classList.remove("over"));
addEventListener("drop", event => {
  event.preventDefault();
  at("drop").classList.remove("over");
  const file = event.dataTransfer.files[0];
  if (file) { leave(); choose(file); }
});
at("other").addEventListener("click", () => { leave(); at("file").focus(); });
addEventListener("pagehide", event => event.persisted || session && server.close(session.video.id));

function leave() {
  if (!session) return;
  asking?.abort();
  session.player.close();
  server.close(session.video.id);
  session = null;
  at("work").hidden = true;
  at("open").hidden = false;
}

// ------------------------------------------------------------------------------------------ the video

async function begin(video) {
  const times = new FrameTimes(video);
  let player, reason = "";
  try { player = await VideoPlayer.open(video, times); } catch (error) {
    reason = error.message;
    player = await new PicturePlayer(video, times).open();
  }
  const seek = seconds => { player.pause(); player.seek(times.at(seconds)); };
  session = {
    video, times, player, regions: [],
    masks: new Masks(at("masks"), video, info.colours.objects),
    timeline: new Timeline(at("lanes"), at("ticks"), times, seek),
    pointing: new Pointing(at("marks"), video, {onstart: () => player.pause(), onregion: addRegion}),
    answers: new Answers(at("answers"), info.colours.objects, {onchoose: drawAnswer, onseek: seek}),
  };
  say(at("mode"), reason && `Shown as pictures that the server decodes, without sound, because ${reason}. `
    + "The rule: your browser plays the file if it can, in the size and at the times of the frames that the model sees.");
  at("name").textContent = video.name;
  at("facts").textContent = `${written(video.duration_s)} · ${video.frames} frames · ${video.width} × ${video.height}`;
  at("screen").replaceChildren(player.element);
  at("stage").style.setProperty("--width", video.width);
  at("stage").style.setProperty("--height", video.height);
  at("sound-label").hidden = !player.sound;
  at("sound").checked = false;
  Object.assign(at("scrub"), {max: video.frames, value: 0});  // its end is that of the last frame
  at("question").value = "";
  say(at("problem"), "");
  at("state").textContent = "";
  player.onframe = shown;
  player.onstate = () => {
    at("play").textContent = player.playing ? "❚❚" : "▶";
    at("play").setAttribute("aria-label", player.playing ? "Pause" : "Play");
  };
  player.onstate();
  drawRegions();
  shown(0);
  at("open").hidden = true;
  at("work").hidden = false;
  at("question").focus({preventScroll: true});
}

function shown(frame) {
  const {times, masks, timeline, pointing, regions} = session;
  at("scrub").value = frame;
  at("scrub").setAttribute("aria-valuetext", `frame ${frame}, ${written(times.start(frame))}`);
  at("clock").textContent = `${written(times.start(frame))} · frame ${frame}`;
  const drawn = masks.draw(frame);
  at("held").textContent = drawn !== null && drawn !== frame
    ? `The masks are those of frame ${drawn}: not every frame was segmented.` : "";
  timeline.now(frame);
  pointing.show(regions, frame);
}

function drawAnswer({record, hidden}) {
  const {masks, timeline, answers, player} = session;
  masks.set(record, hidden);
  timeline.set(record, object => answers.colour(object));
  shown(player.frame);
}

const playing = () => {
  const {player} = session;
  if (player.playing) player.pause();
  else Promise.resolve(player.play()).catch(error => say(at("problem"), error.message));
};
at("play").addEventListener("click", playing);
at("back").addEventListener("click", () => session.player.step(-1));
at("forward").addEventListener("click", () => session.player.step(1));
at("sound").addEventListener("change", () => session.player.mute(!at("sound").checked));
at("scrub").addEventListener("input", () => {
  session.player.pause();
  session.player.seek(Math.min(Number(at("scrub").value), session.video.frames - 1));
});
addEventListener("keydown", event => {
  if (event.key !== " " || !session || event.target.closest("button, textarea, input, a, label")) return;
  event.preventDefault();
  playing();
});

// ------------------------------------------------------------------------------------------ the question

at("question").maxLength = info.most_letters;
at("examples").append(...EXAMPLES.map(text => {
  const example = document.createElement("button");
  Object.assign(example, {type: "button", className: "chip", textContent: text});
  example.addEventListener("click", () => {
    const {regions} = session, question = at("question"), tokens = regions.map(() => info.region).join(" and ");
    question.value = regions.length ? text.replace("the …", tokens).replace("…", tokens) : text;
    question.focus();
    const gap = question.value.indexOf("…");
    if (gap >= 0) question.setSelectionRange(gap, gap + 1);
  });
  return example;
}));
at("question").addEventListener("keydown", event => {
  if (event.key !== "Enter" || event.shiftKey || event.isComposing) return;
  event.preventDefault();
  at("form").requestSubmit();
});

function addRegion(region) {
  const {regions} = session, question = at("question");
  if (regions.length >= info.most_regions) {
    say(at("problem"), `At most ${info.most_regions} boxes and points in one question. Remove one first.`);
    drawRegions();
    return;
  }
  regions.push(region);
  if (!question.value.trim()) question.value = `What is ${info.region}?`;
  else {
    // At the cursor, but behind every <region> that is there: the k-th one means the k-th box or point.
    const last = question.value.lastIndexOf(info.region), least = last < 0 ? 0 : last + info.region.length;
    let place = Math.max(question.selectionStart, least);
    if (place === question.value.length) place -= /[?.!]?\s*$/.exec(question.value)[0].length;
    const before = question.value.slice(0, place).trimEnd(), after = question.value.slice(place);
    question.value = `${before} ${info.region}${/^[\s?.!,;]|^$/.test(after) ? "" : " "}${after}`;
    question.setSelectionRange(before.length + 1 + info.region.length, before.length + 1 + info.region.length);
  }
  say(at("problem"), "");
  drawRegions();
}

function removeRegion(k) {
  session.regions.splice(k, 1);
  let seen = -1;
  at("question").value = at("question").value
    .replaceAll(info.region, token => { seen += 1; return seen === k ? "" : token; })
    .replace(/ {2,}/g, " ").replace(/ ([?.!,;])/g, "$1").trimStart();
  drawRegions();
}

function drawRegions() {
  const {regions, times, player, pointing} = session;
  at("regions").replaceChildren(...regions.map((region, k) => {
    const item = document.createElement("li"), go = document.createElement("button"), remove = go.cloneNode();
    const what = `${k + 1}: ${region.kind} at ${written(times.start(region.frame))}`;
    Object.assign(go, {type: "button", className: "link", textContent: what, title: "Go to its frame"});
    Object.assign(remove, {type: "button", className: "remove", textContent: "×"});
    remove.setAttribute("aria-label", `Remove ${what}`);
    go.addEventListener("click", () => { player.pause(); player.seek(region.frame); });
    remove.addEventListener("click", () => removeRegion(k));
    item.append(go, remove);
    return item;
  }));
  pointing.show(regions, player.frame);
}

// ------------------------------------------------------------------------------------------ asking

const STATES = {
  queued: ({before}) => before ? `Waiting: ${before} ${before > 1 ? "questions are" : "question is"} before yours.`
    : "Waiting for the model …",
  decoding: () => "Decoding the video …",
  answering: () => "The model is answering …",
  segmenting: ({done, total}) => `Drawing masks: ${done} of ${total} frames`,
};

at("cancel").addEventListener("click", () => asking?.abort());
at("form").addEventListener("submit", async event => {
  event.preventDefault();
  if (asking || !session) return;
  const {video, regions, answers} = session, text = at("question").value.trim();
  const named = text.split(info.region).length - 1;
  say(at("problem"), "");
  if (named !== regions.length) {
    say(at("problem"), `Your question has ${named || "no"} ${info.region}, and ${regions.length || "nothing"} `
      + `${regions.length > 1 ? "are" : "is"} pointed at. Write ${info.region} once for each box or point, in their `
      + "order, or remove what is too much.");
    return;
  }
  if (text.includes("…")) {
    say(at("problem"), "Write what you mean in place of “…”.");
    return;
  }
  asking = new AbortController();
  wait(true);
  try {
    for await (const reply of server.ask({video: video.id, text, regions}, asking.signal)) {
      if (reply.error) throw new server.Refused(reply.error);
      if (reply.answer) {
        answers.add(reply.answer);
        at("state").textContent = "";
        continue;
      }
      at("state").textContent = STATES[reply.state](reply);
      at("bar").hidden = reply.state !== "segmenting";
      Object.assign(at("bar"), {max: reply.total || 1, value: reply.done});
    }
  } catch (error) {
    at("state").textContent = error.name === "AbortError" ? "Cancelled." : "";
    if (error.name !== "AbortError") say(at("problem"), error.message);
  } finally {
    asking = null;
    wait(false);
  }
});

function wait(busy) {
  at("ask").hidden = busy;
  at("cancel").hidden = !busy;
  at("bar").hidden = true;
  if (busy) at("state").textContent = "Sending …";
  document.body.classList.toggle("busy", busy);
}

document.body.dataset.ready = "";
