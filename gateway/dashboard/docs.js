"use strict";
// Shows the OpenAPI document.

const element = (tag, text, className) => {
  const made = document.createElement(tag);
  if (text !== undefined) made.textContent = text;
  if (className) made.className = className;
  return made;
};

function typeOf(schema) {
  if (!schema) return "";
  if (schema.$ref) return schema.$ref.split("/").pop();
  if (schema.enum) return schema.enum.join(" | ");
  if ("const" in schema) return String(schema.const);
  if (Array.isArray(schema.type)) return schema.type.join(" | ");
  if (schema.type === "array") return `${typeOf(schema.items)}[]`;
  return schema.format || schema.type || "any";
}

function limits(schema) {
  const names = { minLength: "at least", maxLength: "at most", minimum: "from", maximum: "to", minItems: "at least", maxItems: "at most" };
  return Object.entries(names).filter(([name]) => name in schema).map(([name, words]) => `${words} ${schema[name]}`).join(", ");
}

function table(rows) {
  const made = element("table");
  const body = element("tbody");
  for (const [name, type, description] of rows) {
    const line = element("tr");
    const cell = element("td");
    cell.append(element("code", name));
    line.append(cell, element("td", type, "quiet"), element("td", description));
    body.append(line);
  }
  made.append(body);
  return made;
}

const fields = (schema) => Object.entries(schema.properties || {}).map(([name, field]) =>
  [name, [typeOf(field), limits(field)].filter(Boolean).join(", "), field.description || ""]);

function example(schema, schemas, depth = 0) {
  if (schema.$ref) return example(schemas[schema.$ref.split("/").pop()], schemas, depth + 1);
  if (schema.enum) return schema.enum[1] || schema.enum[0];
  if (Array.isArray(schema.type)) return example({ ...schema, type: schema.type[0] }, schemas, depth);
  if (schema.type === "array") return depth > 4 ? [] : [example(schema.items, schemas, depth + 1)];
  if (schema.type === "object" && schema.properties)
    return Object.fromEntries(Object.entries(schema.properties)
      .filter(([name]) => !schema.required || schema.required.includes(name))
      .map(([name, field]) => [name, example(field, schemas, depth + 1)]));
  if (schema.format === "date-time") return new Date(0).toISOString();
  return { string: "...", integer: 0, number: 0, boolean: false, object: {} }[schema.type];
}

function operation(verb, path, spec, schemas) {
  const made = element("section", undefined, "operation");
  const title = element("h3");
  title.append(element("span", verb.toUpperCase(), "verb"), element("code", path));
  made.append(title, element("p", spec.description));
  if (spec.parameters && spec.parameters.length)
    made.append(element("h3", "Parameters"), table(spec.parameters.map((each) =>
      [each.name, [each.in, typeOf(each.schema), limits(each.schema)].filter(Boolean).join(", "), each.description])));
  const content = (spec.requestBody || {}).content || {};
  const answers = (spec.responses["200"] || spec.responses["202"] || {}).content || {};
  const options = answers["text/event-stream"] ? "-N " : verb === "get" ? "" : `-X ${verb.toUpperCase()} `;
  let command = `curl ${options}'${location.origin}${path}'`;
  const form = content["multipart/form-data"];
  const body = form ? undefined : content["application/json"];
  if (form) {
    made.append(element("h3", "Form"), table(fields(form.schema)),
      element("h3", "mapping"), table(fields(form.schema.properties.mapping)));
    command += ` \\\n  -F 'mapping={"columns": {"lead_id": "user_id"}}' -F file=@events.csv`;
  }
  if (body) {
    const schema = schemas[typeOf(body.schema)] || body.schema;
    made.append(element("h3", `Body: ${typeOf(body.schema)}`), table(fields(schema)));
    command += ` \\\n  -H 'content-type: application/json' \\\n  -d '${JSON.stringify(example(body.schema, schemas))}'`;
  }
  made.append(element("h3", "Example"), element("pre", command));
  const answer = answers["application/json"];
  const shape = answer && (schemas[typeOf(answer.schema)] || answer.schema);
  if (shape) made.append(element("h3", `Answer: ${typeOf(answer.schema)}`), table(fields(shape)));
  return made;
}

async function main() {
  const spec = await (await fetch("/openapi.json")).json();
  const made = [];
  for (const [path, verbs] of Object.entries(spec.paths))
    for (const [verb, each] of Object.entries(verbs)) made.push(operation(verb, path, each, spec.components.schemas));
  document.getElementById("operations").replaceChildren(...made);
}

main();
