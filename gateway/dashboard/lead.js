// All about one lead: who has it, where it stands, why its score is what it is, what becomes of it, and what was said.

const FORECAST_DAYS = 90;
const dateOf = (time) => new Date(time).toLocaleDateString(undefined, { day: "numeric", month: "long", year: "numeric", timeZone: "UTC" });
const pathOf = (leadId) => `/v1/leads/${encodeURIComponent(leadId)}`;

async function show(leadId) {
  if (state.open !== leadId) {
    byId("note").value = "";
    ["owner", "status"].forEach((id) => { delete byId(id).dataset.stored; });
    ["owner-said", "status-said", "note-said"].forEach((id) => say(id, ""));
  }
  state.open = leadId;
  location.hash = "";
  byId("detail").hidden = false;
  byId("detail-title").textContent = leadId;
  byId("detail-title").focus();
  try {
    await fill(leadId);
  } catch (error) {
    say("detail-problem", error.message);
  }
}

async function fill(leadId, token = "") {
  const path = pathOf(leadId);
  const wait = token ? `?consistencyToken=${encodeURIComponent(token)}` : "";
  const lead = await get(`${path}${wait}`);
  const [why, history, forecast] = await Promise.all([
    get(`${path}/explanation`), get(`${path}/history?pageSize=10`), get(`${path}/forecast?days=${FORECAST_DAYS}`)]);
  if (state.open !== leadId) return;
  say("detail-problem", "");
  fillLead(lead);
  fillWhy(why);
  byId("forecast").textContent = forecastSentence(forecast);
  byId("history").replaceChildren(...history.entries.map((each) =>
    line([`${dateTime(each.recordedAt)} · ${each.type || each.cause.toLowerCase()}`, signed(each.delta), each.scoreAfter])));
}

// What somebody has changed in a field and not sent yet stays there, whatever happens to the lead meanwhile.
function fillField(id, value) {
  const field = byId(id);
  if (field.dataset.stored === undefined || field.value === field.dataset.stored) field.value = value;
  field.dataset.stored = value;
}

function fillLead(lead) {
  const name = typeof lead.profile.name === "string" && lead.profile.name;
  const company = typeof lead.profile.company === "string" && lead.profile.company;
  byId("detail-title").textContent = name || lead.leadId;
  byId("detail-who").textContent = [name && lead.leadId, company, lead.source && `came from ${lead.source}`].filter(Boolean).join(" · ");
  fillField("owner", lead.owner);
  fillField("status", lead.status);
  byId("notes").replaceChildren(...lead.notes.map((note) => {
    const item = element("li");
    const when = `${dateTime(note.occurredAt)}${note.author ? ` · ${note.author}` : ""}`;
    item.append(element("p", note.text, "text"), element("p", when, "quiet"));
    return item;
  }));
}

function fillWhy(why) {
  byId("detail-score").textContent = `${count(why.score, "point", "points")}, grade ${why.grade}: engagement ${why.engagement}, fit ${why.fit}`;
  const held = why.override;
  const until = held && held.until ? ` until ${dateTime(held.until)}` : "";
  byId("detail-override").textContent = held
    ? `Set by hand${held.actor ? ` by ${held.actor}` : ""}${until}: ${held.reason}. The model gives ${why.machineScore}.` : "";
  byId("why").replaceChildren(
    ...why.contributions.map((each) => line([each.rule, each.count ? `${each.count} ×` : "", signed(each.points)])),
    line(["score", "", why.score], "score"));
}

// What matters most of it: when the grade changes, else how far the score goes.
function forecastSentence(found) {
  if (!found.steps.length) return `Nothing changes within ${FORECAST_DAYS} days if nothing happens.`;
  let before = found.score;
  for (const step of found.steps) {
    if (step.grade !== found.grade) {
      const goes = step.score === before ? "Goes" : step.score < before ? "Falls" : "Rises";
      return `${goes} from ${found.grade} to ${step.grade} on ${dateOf(step.at)} if nothing happens.`;
    }
    before = step.score;
  }
  const last = found.steps[found.steps.length - 1];
  return `Keeps its grade for ${FORECAST_DAYS} days and is at ${count(last.score, "point", "points")} from ${dateOf(last.at)} on if nothing happens.`;
}

// Sends what somebody has said about the open lead, and shows the lead as it is then.
async function tell(method, part, body, id, said) {
  const leadId = state.open;
  say(id, "");
  try {
    const answer = await send(method, `${pathOf(leadId)}/${part}`, body);
    await fill(leadId, answer.consistencyToken);
    if (state.open === leadId) say(id, said);
    return true;
  } catch (error) {
    say(id, error.message);
    return false;
  }
}

byId("owner-form").addEventListener("submit", (event) => {
  event.preventDefault();
  const owner = byId("owner").value.trim();
  byId("owner").value = owner;
  tell("PUT", "owner", { owner }, "owner-said", owner ? `${owner} has it now` : "nobody has it now");
});

byId("status-form").addEventListener("submit", (event) => {
  event.preventDefault();
  const status = byId("status").value;
  tell("PUT", "status", { status }, "status-said", `the status is ${status}`);
});

byId("note-form").addEventListener("submit", async (event) => {
  event.preventDefault();
  const text = byId("note").value.trim();
  if (!text) { say("note-said", "write something first"); return; }
  if (await tell("POST", "notes", { text }, "note-said", "the note is kept")) byId("note").value = "";
});

byId("close").addEventListener("click", () => { state.open = null; byId("detail").hidden = true; });
