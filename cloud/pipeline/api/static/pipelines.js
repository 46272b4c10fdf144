"use strict";
(() => {
  const show = async () => {
    const rows = await call("GET", "/pipeline/edcpipeline");
    field("rows").replaceChildren(...rows.map((row) => {
      const line = document.createElement("tr");
      for (const text of [row.code, row.label, row.ddfiles || "-"]) line.insertCell().textContent = text;
      return line;
    }));
    field("list").hidden = field("register").hidden = false;
  };

  const on = (id, act) => field(id).addEventListener("submit", async (event) => {
    event.preventDefault();
    const button = event.target.querySelector("button");
    button.disabled = true;
    said("", "");
    try { await act(event.target); } catch (e) { said("bad", e.message); } finally { button.disabled = false; }
  });

  on("sign", show);
  on("register", async (form) => {
    const code = field("code").value.trim();
    await call("POST", "/pipeline/edcpipeline", {
      code, label: field("label").value.trim(), ddfiles: field("ddfiles").value.trim() || null,
    });
    await show();
    form.reset();
    said("good", `Pipeline ${code} is registered.`);
  });
})();
