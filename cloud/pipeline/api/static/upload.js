"use strict";
(() => {
  const AT_ONCE = 3, TRIES = 4, ASKED = 20; // parts sent at once, tries of each, addresses asked for at once: they hold 300 s
  const KEPT = "Press Upload again to go on; what was sent is kept for some days.";
  let current = null;

  // Which upload belongs to a file, so that a broken one goes on, also after the page was closed. Only a digest is kept:
  // names may be people's. Where the browser gives no digest (plain HTTP) or no storage, it is known until the page closes.
  const known = new Map();
  const remembered = {
    get: (mark) => { try { return localStorage.getItem(mark) ?? known.get(mark); } catch { return known.get(mark); } },
    set: (mark, id) => { known.set(mark, id); try { if (globalThis.crypto?.subtle) localStorage.setItem(mark, id); } catch { /* known */ } },
    drop: (mark) => { known.delete(mark); try { localStorage.removeItem(mark); } catch { /* was not there */ } },
  };

  const markOf = async (file, record, name) => {
    const said = JSON.stringify([record, name, file.name, file.size, file.lastModified]);
    if (!globalThis.crypto?.subtle) return said;
    const ends = new Blob([said, file.slice(0, 1 << 20), file.slice(-(1 << 20))]);
    const digest = new Uint8Array(await crypto.subtle.digest("SHA-256", await ends.arrayBuffer()));
    return `upload:${Array.from(digest, (b) => b.toString(16).padStart(2, "0")).join("")}`;
  };

  // The upload of this file that was broken off, or null; one that S3 or its owner ended is forgotten.
  const resumed = async (mark) => {
    const id = remembered.get(mark);
    if (!id) return null;
    try {
      const upload = await call("POST", `/pipeline/upload/${id}/resume`);
      if (upload.state !== "ABORTED") return upload;
    } catch (e) {
      if (!e.message.startsWith("ERRL1003")) throw e; // another person's
    }
    remembered.drop(mark);
    return null;
  };

  const size = (n) => n >= 1e9 ? `${(n / 1e9).toFixed(2)} GB` : n >= 1e6 ? `${(n / 1e6).toFixed(1)} MB` : `${Math.ceil(n / 1e3)} KB`;

  const put = (url, blob, progress, sending) => new Promise((done, failed) => {
    const request = new XMLHttpRequest();
    sending.add(request);
    request.open("PUT", url);
    request.upload.onprogress = (e) => progress(e.loaded);
    request.onload = () => {
      const tag = request.status === 200 && request.getResponseHeader("ETag");
      if (tag) done(tag); else failed(new Error(request.status === 200 ? "the store's CORS rule hides ETag" : `the store answered ${request.status}`));
    };
    request.onerror = () => failed(new Error("the store does not answer, or its CORS rule does not know this page"));
    request.onabort = () => failed(new Error("cancelled"));
    request.onloadend = () => sending.delete(request);
    request.send(blob);
  });

  const send = async (upload, file) => {
    const loaded = new Array(upload.parts).fill(0), tags = new Array(upload.parts), urls = new Map();
    for (const part of upload.held) {
      tags[part.number - 1] = part.etag;
      loaded[part.number - 1] = Math.min(upload.part_size, file.size - (part.number - 1) * upload.part_size);
    }
    let next = 0;
    const show = () => {
      const sum = loaded.reduce((a, b) => a + b, 0);
      field("bar").value = sum / file.size;
      field("figures").textContent = `${size(sum)} of ${size(file.size)}`;
    };
    const address = async (number, again) => {
      if (again || !urls.has(number)) {
        const last = again ? number : Math.min(number + ASKED - 1, upload.parts);
        const numbers = Array.from({ length: last - number + 1 }, (_, i) => number + i);
        for (const row of await call("POST", `/pipeline/upload/${upload.id}/parts`, { numbers })) urls.set(row.number, row.url);
      }
      return urls.get(number);
    };
    const worker = async () => {
      while (next < upload.parts && !upload.ended) {
        const index = next++, start = index * upload.part_size;
        if (tags[index]) continue; // S3 has it since before
        const blob = file.slice(start, Math.min(start + upload.part_size, file.size));
        for (let attempt = 1; ; attempt++) {
          try {
            const url = await address(index + 1, attempt > 1);
            if (upload.ended) throw new Error("cancelled"); // while the address was asked for: there was nothing to abort yet
            tags[index] = await put(url, blob, (n) => { loaded[index] = n; show(); }, upload.sending);
            break;
          } catch (e) {
            loaded[index] = 0;
            if (upload.ended || attempt === TRIES) throw e;
            await new Promise((r) => setTimeout(r, 500 * 2 ** attempt));
          }
        }
        loaded[index] = blob.size;
        show();
      }
    };
    show();
    await Promise.all(Array.from({ length: AT_ONCE }, worker));
    if (upload.cancelled) throw new Error("cancelled");
    return call("POST", `/pipeline/upload/${upload.id}/complete`, { parts: tags.map((etag, i) => ({ number: i + 1, etag })) });
  };

  const end = (upload) => { upload.ended = true; for (const request of upload.sending) request.abort(); };

  const stop = async (upload) => {
    end(upload);
    await call("DELETE", `/pipeline/upload/${upload.id}`);
  };

  field("cancel").addEventListener("click", () => { if (current) { current.cancelled = true; end(current); } });

  addEventListener("beforeunload", (event) => { if (current) event.preventDefault(); });

  field("upload").addEventListener("submit", async (event) => {
    event.preventDefault();
    const file = field("file").files[0];
    said("", "");
    if (!file.size) { said("bad", "The file is empty."); return; }
    field("send").disabled = true;
    let mark = null;
    try {
      const record = Number(field("record").value), name = field("field").value.trim();
      mark = await markOf(file, record, name);
      current = await resumed(mark) ?? {
        held: [],
        ...await call("POST", "/pipeline/upload", { subject_event_crf_id: record, ddfile_name: name, file_name: file.name, size: file.size }),
      };
      remembered.set(mark, current.id);
      Object.assign(current, { sending: new Set(), cancelled: false, ended: false });
      field("what").textContent = current.held.length ? `Going on: ${current.held.length} of ${current.parts} parts are there` : "Uploading";
      field("course").hidden = field("cancel").hidden = false;
      const done = current.state === "COMPLETED" ? current : await send(current, file);
      remembered.drop(mark);
      said("good", `Uploaded. The EDC's number of this file is ${done.subject_event_crf_file_id}; its run begins by itself.`);
    } catch (e) {
      let text = e.message;
      if (current?.cancelled || text.startsWith("ERRA1006")) { // given up, or of no use any more
        try { await stop(current); } catch { text += " (what was sent is dropped by the store later)"; }
        remembered.drop(mark);
      } else if (current) {
        end(current);
        text = `${text}. ${KEPT}`;
      }
      said("bad", current?.cancelled && text === "cancelled" ? "Cancelled. Nothing was kept." : text);
    } finally {
      current = null;
      field("send").disabled = false;
      field("cancel").hidden = true;
    }
  });
})();
