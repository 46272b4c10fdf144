"use strict";
// What both pages need: calls of the API with the token of the form, and a line that says how they went.
const field = (id) => document.getElementById(id);

const said = (state, text) => {
  const line = field("said");
  line.dataset.state = state;
  line.textContent = text; // never HTML: it may hold what somebody typed
  line.hidden = !text;
};

const call = async (method, path, body) => {
  let answer, doc;
  try {
    answer = await fetch(path, {
      method,
      headers: { Authorization: `Bearer ${field("token").value.trim()}`, ...(body ? { "Content-Type": "application/json" } : {}) },
      body: body ? JSON.stringify(body) : undefined,
      cache: "no-store",
    });
    doc = await answer.json();
  } catch {
    throw new Error("The API does not answer. See whether it runs, and the network.");
  }
  if (!answer.ok || !doc.success) throw new Error(`${doc.error_code}: ${doc.error}`);
  return doc.data;
};
