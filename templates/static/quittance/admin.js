/* What Unfold writes as expressions in its pages, as functions: Alpine's build for strict content
   policies calls functions by name and evaluates nothing. */
document.addEventListener("alpine:init", () => {
  Alpine.data("theme", (chosen) => theme(chosen));

  Alpine.data("page", (tab) => ({
    activeTab: tab ? getCurrentTab() || tab : "",
    sortRecords: (event) => sortRecords(event),
    moveRecords: (event) => moveRecords(event),
  }));

  Alpine.data("sidebarFrame", () => ({
    resizing: false,
    drag(event) {
      if (!this.resizing) {
        return;
      }
      this.sidebarWidth = Math.min(360, Math.max(220, event.clientX));
      localStorage.setItem("sidebarWidth", this.sidebarWidth);
    },
  }));

  Alpine.data("searchCommand", () => {
    const command = searchCommand();
    command.chooseItem = function (event, addHistory) {
      if (!event.metaKey && !event.ctrlKey) {
        this.selectItem(addHistory, false);
      }
    };
    return command;
  });
});

/* Buttons that copy: <button data-copy="text" data-copied="Copied">. */
document.addEventListener("click", async (event) => {
  const button = event.target.closest("[data-copy]");
  if (!button) {
    return;
  }
  const label = button.querySelector("[data-copy-label]") || button;
  const before = label.textContent;
  try {
    await navigator.clipboard.writeText(button.dataset.copy);
    label.textContent = button.dataset.copied;
  } catch {
    /* No right to the clipboard (plain http on another host): select the text instead. */
    const source = document.getElementById(button.dataset.copyFrom);
    if (source) {
      getSelection().selectAllChildren(source);
    }
    return;
  }
  setTimeout(() => {
    label.textContent = before;
  }, 2000);
});

/* Forms that ask before they act: <form data-confirm="Really?">. */
document.addEventListener("submit", (event) => {
  const question = event.target.dataset.confirm;
  if (question && !window.confirm(question)) {
    event.preventDefault();
  }
});
