// Which view is shown, and the start of it all. The gateway serves the parts before this one as one script with it.

function navigate() {
  const analytics = location.hash === "#analytics";
  byId("board-view").hidden = analytics;
  byId("analytics-view").hidden = !analytics;
  for (const [id, shown] of [["to-board", !analytics], ["to-analytics", analytics]]) {
    if (shown) byId(id).setAttribute("aria-current", "page");
    else byId(id).removeAttribute("aria-current");
  }
  if (analytics) look();
}

window.addEventListener("hashchange", navigate);
navigate();
refresh();
watch();
