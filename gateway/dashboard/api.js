"use strict";
// How every part of the page talks to the API and makes elements. Whatever leads, events or rules are called is untrusted
// text and only ever becomes text nodes.

const byId = (id) => document.getElementById(id);
const signed = (number) => (number > 0 ? `+${number}` : `${number}`);
const dateTime = (time) => new Date(time).toLocaleString(undefined, { dateStyle: "medium", timeStyle: "short" });
const count = (number, one, many) => `${number.toLocaleString()} ${Number(number) === 1 ? one : many}`;

const headers = () => {
  const key = sessionStorage.getItem("key");
  return key ? { authorization: `Bearer ${key}` } : {};
};

async function call(path, options = {}) {
  let response;
  try {
    response = await fetch(path, { ...options, headers: { ...headers(), ...options.headers } });
  } catch {
    throw new Error("the suite does not answer");
  }
  if (response.status === 401) askForKey();
  if (response.ok) return response.json();
  const problem = await response.json().catch(() => ({}));
  const error = new Error(problem.detail || `the suite answered ${response.status}`);
  error.status = response.status;
  throw error;
}

const get = (path) => call(path);
const send = (method, path, body) =>
  call(path, { method, body: JSON.stringify(body), headers: { "content-type": "application/json" } });

// What went wrong, as a sentence at its place; none takes the last one away.
function say(id, text) {
  const sentence = text ? `${text[0].toUpperCase()}${text.slice(1)}` : "";
  byId(id).textContent = sentence && !/[.!?]$/.test(sentence) ? `${sentence}.` : sentence;
}

function element(tag, text, className) {
  const made = document.createElement(tag);
  if (text !== undefined) made.textContent = text;
  if (className) made.className = className;
  return made;
}

// A row of a table: the first cell is a name, the others are numbers or bars.
function line(cells, className) {
  const made = element("tr");
  cells.forEach((cell, index) => {
    const isBar = cell instanceof SVGElement;
    const around = element("td", undefined, isBar ? "graph" : index ? "number" : "name");
    around.append(cell);
    made.append(around);
  });
  if (className) made.className = className;
  return made;
}

function leadButton(text, leadId) {
  const button = element("button", text || leadId);
  button.title = leadId;
  button.addEventListener("click", () => show(leadId));
  return button;
}

function askForKey() {
  byId("key-error").textContent = sessionStorage.getItem("key") ? "This key is not known." : "";
  byId("key-form").hidden = false;
}

byId("key-form").addEventListener("submit", (event) => {
  event.preventDefault();
  sessionStorage.setItem("key", byId("key").value.trim());
  byId("key-form").hidden = true;
  refresh();
  watch();
  navigate();
});
