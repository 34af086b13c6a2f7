// What the page asks of the server. An error that the server words is shown as it is.

export class Refused extends Error {
  constructor({where, problem, fix}) {
    super([`${where} ${problem}`, fix].filter(Boolean).join(" "));
  }
}

const GONE = {
  where: "The server", problem: "does not answer.", fix: "Is `ufvideo serve` still running? Look at its terminal.",
};

async function request(path, options = {}) {
  let reply;
  try { reply = await fetch(path, options); } catch (error) {
    throw error.name === "AbortError" ? error : new Refused(GONE);
  }
  if (!reply.ok) throw new Refused(await reply.json().catch(() => GONE));
  return reply;
}

const json = value => ({
  method: "POST", headers: {"Content-Type": "application/json"}, body: JSON.stringify(value),
});

export const start = async () => (await request("/api/start")).json();
export const openListed = async (name, signal) => (await request("/api/listed", {...json({name}), signal})).json();
export const close = id => fetch(`/api/videos/${id}`, {method: "DELETE", keepalive: true}).catch(() => {});

// ``onsent`` gets the share of the file that has been sent.
export function upload(file, signal, onsent) {
  return new Promise((done, fail) => {
    const sending = new XMLHttpRequest();
    sending.responseType = "json";
    sending.upload.onprogress = event => onsent(event.loaded / event.total);
    sending.onload = () => sending.status === 201 ? done(sending.response)
      : fail(new Refused(sending.response ?? GONE));
    sending.onerror = () => fail(new Refused(GONE));
    sending.onabort = () => fail(new DOMException("", "AbortError"));
    signal.addEventListener("abort", () => sending.abort());
    sending.open("POST", "/api/videos");
    sending.setRequestHeader("Content-Type", "application/octet-stream");
    sending.setRequestHeader("X-File-Name", encodeURIComponent(file.name));
    sending.send(file);
  });
}

// Every state of a question, as it comes; the last one has the answer or the error.
export async function* ask(question, signal) {
  const reply = await request("/api/questions", {...json(question), signal});
  const reader = reply.body.pipeThrough(new TextDecoderStream()).getReader();
  let rest = "", last = null;
  for (;;) {
    let piece;
    try { piece = await reader.read(); } catch (error) {
      throw error.name === "AbortError" ? error : new Refused(GONE);
    }
    if (piece.done) break;
    const lines = (rest + piece.value).split("\n");
    rest = lines.pop();
    for (const line of lines) yield last = JSON.parse(line);
  }
  if (!last?.answer && !last?.error) throw new Refused(GONE);
}
