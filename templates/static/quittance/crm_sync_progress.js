/* Looks again every two seconds while a bulk retry runs; replaces only the card it stands on. */
const look = async () => {
  const card = document.getElementById("progress");
  if (!card || !("running" in card.dataset)) {
    return;
  }
  try {
    const answer = await fetch(location.href, { credentials: "same-origin" });
    const page = new DOMParser().parseFromString(await answer.text(), "text/html");
    const fresh = page.getElementById("progress");
    if (fresh && !card.contains(document.activeElement)) {
      card.replaceWith(fresh);
    } else if (fresh) {
      for (const part of ["h2", ".plan-size"]) {
        card.querySelector(part).textContent = fresh.querySelector(part).textContent;
      }
      card.querySelector("progress").value = fresh.querySelector("progress").value;
      if (!("running" in fresh.dataset)) {
        card.replaceWith(fresh);
      }
    }
  } catch {
    /* The server cannot be reached just now: ask again later. */
  }
  setTimeout(look, 2000);
};

setTimeout(look, 2000);
