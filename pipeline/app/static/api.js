// Requests to this machine's own server.

export class Refused extends Error {
  constructor(status, words, retryAfter = 0) {
    super(words);
    this.status = status;
    this.retryAfter = retryAfter;
  }
}

const GONE = "The server does not answer. Start unmask app again; nothing that was received is lost.";
const CLOSED = "The server was started again. Open the address that it printed.";

function words(status, text) {
  if (status === 401) return CLOSED;
  try {
    const { detail } = JSON.parse(text);
    return `${detail[0].toUpperCase()}${detail.slice(1)}.`;
  } catch {
    return `The server answered ${status}.`;
  }
}

export async function call(method, path, body) {
  let answer;
  try {
    answer = await fetch(path, {
      method,
      headers: body === undefined ? {} : { "Content-Type": "application/json" },
      body: body === undefined ? undefined : JSON.stringify(body),
    });
  } catch {
    throw new Refused(0, GONE);
  }
  const text = await answer.text();
  if (!answer.ok) throw new Refused(answer.status, words(answer.status, text));
  return JSON.parse(text);
}

// fetch tells nothing of an upload's progress, XMLHttpRequest does.
export function upload(file, { blind }, onProgress, signal) {
  return new Promise((resolve, reject) => {
    const request = new XMLHttpRequest();
    const query = new URLSearchParams({ name: file.name.slice(-255) || "file", blind });
    request.open("POST", `/api/cases?${query}`);
    request.setRequestHeader("Content-Type", "application/octet-stream");
    request.upload.addEventListener("progress", (event) => {
      onProgress(event.total ? event.loaded / event.total : 0);
    });
    request.addEventListener("load", () => {
      if (request.status >= 200 && request.status < 300) resolve(JSON.parse(request.responseText));
      else {
        const wait = Number(request.getResponseHeader("Retry-After")) || 0;
        reject(new Refused(request.status, words(request.status, request.responseText), wait));
      }
    });
    request.addEventListener("error", () => reject(new Refused(0, GONE)));
    request.addEventListener("abort", () => reject(new Refused(-1, "cancelled")));
    signal.addEventListener("abort", () => request.abort());
    request.send(file);
  });
}
