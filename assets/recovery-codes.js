"use strict";
// The buttons beside the recovery codes. They are hidden until now, because without a script they would do nothing.
const list = document.getElementById("codes");
const said = document.getElementById("said");
const text = Array.from(list.children, (item) => item.textContent.trim()).join("\n") + "\n";

function button(id, act) {
  const element = document.getElementById(id);
  element.addEventListener("click", act);
  element.hidden = false;
}

if (navigator.clipboard) {
  button("copy", async (event) => {
    try {
      await navigator.clipboard.writeText(text);
      said.textContent = event.target.dataset.done;
    } catch {
      getSelection().selectAllChildren(list);
    }
  });
}

button("download", () => {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(new Blob([text], { type: "text/plain" }));
  link.download = list.dataset.file;
  link.click();
  URL.revokeObjectURL(link.href);
});

button("print", () => window.print());
