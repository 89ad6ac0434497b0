// Charts as SVG, drawn by hand. Colours are classes of the style sheet: inline styles are forbidden here.

const SVG = "http://www.w3.org/2000/svg";
const KINDS_MAX = 6;
const DAY_MS = 86400000;

function drawn(tag, attributes, ...children) {
  const made = document.createElementNS(SVG, tag);
  for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
  made.append(...children);
  return made;
}

// A bar as long as its part of the longest.
function bar(part, most) {
  const long = most > 0 ? Math.max(part > 0 ? 1 : 0, (100 * part) / most) : 0;
  const made = drawn("svg", { class: "bar", viewBox: "0 0 100 10", preserveAspectRatio: "none", "aria-hidden": "true" });
  made.append(drawn("rect", { width: long, height: 10, class: "kind0" }));
  return made;
}

// The kinds that have most, the first KINDS_MAX with a colour of their own; the rest is one.
function kindsOf(points, ordered) {
  const sums = new Map();
  for (const point of points) sums.set(point.kind, (sums.get(point.kind) || 0) + point.number);
  const kinds = [...sums.keys()];
  if (!ordered) kinds.sort((a, b) => sums.get(b) - sums.get(a));
  return { shown: kinds.slice(0, KINDS_MAX), others: kinds.length > KINDS_MAX };
}

// Numbers by day and kind, stacked day by day. `points` are {day (ms), kind, number}; days without any are there too.
function stackedDays(points, days, what, ordered = false) {
  const { shown, others } = kindsOf(points, ordered);
  const names = others ? [...shown, "others"] : shown;
  const byDay = new Map(days.map((day) => [day, names.map(() => 0)]));
  for (const point of points) {
    const found = byDay.get(point.day);
    const index = shown.indexOf(point.kind);
    if (found) found[index < 0 ? shown.length : index] += point.number;
  }
  const sums = days.map((day) => byDay.get(day).reduce((a, b) => a + b, 0));
  const most = Math.max(1, ...sums);
  const picture = drawn("svg", { class: "days", viewBox: `0 0 ${days.length * 10} 100`, preserveAspectRatio: "none", role: "img" });
  picture.setAttribute("aria-label", `${what} by day: at most ${most.toLocaleString()}; the numbers are in the table below.`);
  days.forEach((day, at) => picture.append(column(byDay.get(day), names, day, at, most)));
  const figure = element("figure");
  figure.append(element("p", `up to ${most.toLocaleString()} a day`, "quiet most"), picture, ends(days), legend(names), asTable(byDay, names, days));
  return figure;
}

function column(numbers, names, day, at, most) {
  const told = names.map((name, kind) => (numbers[kind] ? `${name}: ${numbers[kind].toLocaleString()}` : "")).filter(Boolean);
  const made = drawn("g", {}, drawn("title", {}, [dayName(day), ...told].join("\n")));
  made.append(drawn("rect", { x: at * 10, width: 10, y: 0, height: 100, class: "behind" }));
  let top = 100;
  numbers.forEach((number, kind) => {
    const height = (100 * number) / most;
    top -= height;
    if (number) made.append(drawn("rect", { x: at * 10 + 1, width: 8, y: top, height, class: `kind${kind}` }));
  });
  return made;
}

const dayName = (day) => new Date(day).toISOString().slice(0, 10);

function ends(days) {
  const made = element("p", undefined, "ends quiet");
  made.append(element("span", dayName(days[0])), element("span", dayName(days[days.length - 1])));
  return made;
}

function legend(names) {
  const made = element("ul", undefined, "legend");
  names.forEach((name, kind) => {
    const item = element("li");
    item.append(drawn("svg", { viewBox: "0 0 10 10", "aria-hidden": "true" }, drawn("rect", { width: 10, height: 10, class: `kind${kind}` })), name);
    made.append(item);
  });
  return made;
}

function asTable(byDay, names, days) {
  const made = element("details");
  const table = element("table");
  const head = element("tr");
  ["Day", ...names].forEach((name, index) => head.append(element("th", name, index ? "number" : "")));
  const filled = days.filter((day) => byDay.get(day).some(Boolean));
  table.append(head, ...filled.map((day) => line([dayName(day), ...byDay.get(day).map((number) => number.toLocaleString())])));
  const scroll = element("div", undefined, "scroll");
  scroll.append(table);
  made.append(element("summary", "As a table"), scroll);
  return made;
}
