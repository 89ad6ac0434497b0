// The live leaderboard, and the changes as they happen.

const PAGE = 20;
const SIZE_MAX = 200;
const CHANGES_MAX = 30;
const REFRESH_MS = 400;
const state = { size: PAGE, open: null, lastEventId: "", refreshing: false, stale: false, seen: new Map() };

function row(entry) {
  const made = element("tr");
  const lead = element("td", undefined, "lead");
  lead.append(leadButton(entry.name, entry.leadId));
  const grade = element("td");
  grade.append(element("span", entry.grade, "grade"));
  made.append(element("td", entry.rank, "number"), lead, grade, element("td", entry.score, "number score"),
    element("td", entry.engagement, "number wide"), element("td", entry.fit, "number wide"));
  const before = state.seen.get(entry.leadId);
  if (before !== undefined && before !== entry.version) made.className = "changed";
  return made;
}

async function refresh() {
  if (state.refreshing) { state.stale = true; return; }
  state.refreshing = true;
  try {
    const page = await get(`/v1/leaderboard?pageSize=${state.size}`);
    byId("leaders").replaceChildren(...page.entries.map(row));
    state.seen = new Map(page.entries.map((entry) => [entry.leadId, entry.version]));
    byId("total").textContent = page.totalLeads ? count(page.totalLeads, "lead", "leads") : "";
    byId("empty").hidden = page.entries.length > 0;
    byId("more").hidden = !page.nextPageToken || state.size >= SIZE_MAX;
    say("board-problem", "");
    if (state.open !== null) await refill(state.open);
  } catch (error) {
    say("board-problem", error.message);
  } finally {
    setTimeout(() => {
      state.refreshing = false;
      if (state.stale) { state.stale = false; refresh(); }
    }, REFRESH_MS);
  }
}

byId("more").addEventListener("click", () => { state.size += PAGE; refresh(); });

function connection(className, text) {
  byId("connection").className = className;
  byId("connection-text").textContent = text;
}

function changed(update) {
  if (update.cause === "ERASURE") {
    forget(update.leadId);
    refresh();
    return;
  }
  const delta = update.score - update.previousScore;
  const item = element("li");
  item.dataset.lead = update.leadId;
  item.append(element("span", signed(delta), delta < 0 ? "down" : "up"), element("span", update.leadId, "who"),
    element("span", update.score), element("span", update.grade, "grade"));
  const changes = byId("changes");
  changes.prepend(item);
  byId("no-changes").hidden = true;
  while (changes.children.length > CHANGES_MAX) changes.lastChild.remove();
  refresh();
}

function take(block) {
  let data = "";
  let kind = "message";
  for (const text of block.split("\n")) {
    if (text.startsWith("data: ")) data = text.slice(6);
    else if (text.startsWith("id: ")) state.lastEventId = text.slice(4);
    else if (text.startsWith("event: ")) kind = text.slice(7);
  }
  if (data && kind === "message") changed(JSON.parse(data));
}

// By fetch rather than EventSource, which cannot show a key.
async function watch() {
  try {
    const resume = state.lastEventId ? { "last-event-id": state.lastEventId } : {};
    const response = await fetch("/v1/scores:watch", { headers: { ...headers(), ...resume } });
    if (response.status === 401) { connection("lost", "a key is needed"); askForKey(); return; }
    if (!response.ok) throw new Error((await response.json()).detail);
    connection("live", "live");
    refresh();
    const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
    let text = "";
    for (;;) {
      const { value, done } = await reader.read();
      if (done) break;
      text += value;
      const blocks = text.split("\n\n");
      text = blocks.pop();
      blocks.forEach(take);
    }
    connection("lost", "connecting again");
  } catch (error) {
    connection("lost", "connecting again");
  }
  setTimeout(watch, 1000);
}
