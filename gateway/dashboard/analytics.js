// Figures about all leads. Each panel asks for itself, so that one that fails takes no other away.

const RULES_SHOWN = 12;
const MOVERS = 5;
const LOOK_MS = 30000;
const UNITS = [["d", 86400], ["h", 3600], ["min", 60], ["s", 1]];
let looking = 0;
let asked = 0;

// A time that something took, in its two largest units.
function duration(seconds) {
  let left = Math.round(seconds);
  const said = [];
  for (const [unit, size] of UNITS) {
    const number = Math.floor(left / size);
    left -= number * size;
    if (number || said.length) said.push(number ? `${number} ${unit}` : "");
  }
  return said.slice(0, 2).filter(Boolean).join(" ") || "0 s";
}

const average = (number) => number.toLocaleString(undefined, { maximumFractionDigits: 1 });
const share = (number) => number.toLocaleString(undefined, { style: "percent", maximumFractionDigits: 1 });

function period() {
  const last = Math.floor(Date.now() / DAY_MS) * DAY_MS;
  const days = Number(byId("period").value);
  return Array.from({ length: days }, (_, ago) => last - (days - 1 - ago) * DAY_MS);
}

const between = (days) => `from=${new Date(days[0]).toISOString()}&to=${new Date(days[days.length - 1]).toISOString()}`;

const PANELS = {
  async activity(days) {
    const { points } = await get(`/v1/analytics/activity?${between(days)}`);
    const found = points.map((each) => ({ day: Date.parse(each.at), kind: each.type, number: Number(each.events) }));
    put("activity", found.length ? stackedDays(found, days, "Events") : element("p", "No events in these days.", "quiet"));
  },
  async distribution(days) {
    const found = await get(`/v1/analytics/distribution?${between(days)}`);
    byId("distribution-leads").textContent = found.leads ? `${count(found.leads, "lead", "leads")}, ${average(found.averageScore)} points on average` : "";
    fillBars("scores", found.scores.map((each) => [`from ${each.fromScore}`, each.leads]));
    fillBars("grades", found.grades.map((each) => [each.grade, each.leads]));
    const points = found.days.flatMap((each) => each.grades.map((grade) => (
      { day: Date.parse(each.day), kind: grade.grade.slice(0, 1), number: Number(grade.leads) })));
    points.sort((a, b) => a.kind.localeCompare(b.kind));
    put("grade-days", points.length ? stackedDays(points, days, "Leads by fit letter", true) : element("p", "No leads in these days.", "quiet"));
  },
  async funnel(days) {
    const found = await get(`/v1/analytics/funnel?${between(days)}`);
    const most = Math.max(...found.stages.map((each) => Number(each.reached)));
    byId("stages").replaceChildren(...found.stages.map((each) => line([each.status, bar(each.reached, most),
      each.leads.toLocaleString(), each.reached.toLocaleString(), share(each.conversion), average(each.averageScore)])));
    byId("moves").replaceChildren(...found.moves.map((each) => line([`${each.fromStatus} → ${each.toStatus}`, each.moves.toLocaleString(), duration(each.averageS)])));
    byId("moves-table").hidden = !found.moves.length;
  },
  async sources() {
    const { sources } = await get("/v1/analytics/sources");
    byId("source-rows").replaceChildren(...sources.slice(0, RULES_SHOWN).map((each) => line(
      [each.source || "(none)", each.leads.toLocaleString(), average(each.averageScore), each.events.toLocaleString()])));
  },
  async rules() {
    const { rules } = await get("/v1/analytics/rules");
    const most = Math.max(0, ...rules.map((each) => Math.abs(each.points)));
    byId("rule-rows").replaceChildren(...rules.slice(0, RULES_SHOWN).map((each) => line(
      [each.rule, bar(Math.max(0, each.points), most), each.leads.toLocaleString(), each.points.toLocaleString()])));
  },
  async movers(days) {
    const since = `since=${new Date(days[0]).toISOString()}&size=${MOVERS}`;
    try {
      const [up, down] = await Promise.all(["UP", "DOWN"].map((way) => get(`/v1/leaderboard/movers?${since}&direction=${way}`)));
      fillMovers("risers", up.leads);
      fillMovers("fallers", down.leads);
      byId("movers-panel").hidden = !up.leads.length && !down.leads.length;
    } catch (error) {
      if (byId("movers-panel").hidden) return;
      throw error;
    }
  },
};

// A chart in place of the last one; a table that somebody has opened stays open.
function put(id, chart) {
  const opened = byId(id).querySelector("details[open]");
  const table = chart.querySelector("details");
  if (opened && table) table.open = true;
  byId(id).replaceChildren(chart);
}

function fillBars(id, rows) {
  const most = Math.max(0, ...rows.map(([, leads]) => Number(leads)));
  byId(id).replaceChildren(...rows.map(([name, leads]) => line([name, bar(leads, most), leads.toLocaleString()])));
}

function fillMovers(id, leads) {
  byId(id).closest("table").hidden = !leads.length;
  byId(id).replaceChildren(...leads.map((each) => {
    const lead = element("span", undefined, "lead");
    lead.append(leadButton(each.name, each.leadId));
    return line([lead, element("span", signed(each.delta), each.delta < 0 ? "down" : "up"), each.score]);
  }));
}

async function look() {
  clearTimeout(looking);
  const days = period();
  const turn = ++asked;
  await Promise.all(Object.entries(PANELS).map(async ([name, fillPanel]) => {
    try {
      await fillPanel(days);
      say(`${name}-problem`, "");
    } catch (error) {
      say(`${name}-problem`, error.message);
    }
  }));
  if (turn === asked && !byId("analytics-view").hidden) looking = setTimeout(look, LOOK_MS);
}

byId("period").addEventListener("change", look);
