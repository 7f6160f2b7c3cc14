// Shows the OpenAPI document, without any library.

const find = (selector) => document.querySelector(selector);

function make(name, ...children) {
  const element = document.createElement(name);
  element.append(...children);
  return element;
}

/** A schema in a few words, with links to those that have a name. */
function words(schema = {}) {
  if (schema.$ref) {
    const name = schema.$ref.split("/").pop();
    const link = make("a", name);
    link.href = `#${name}`;
    return link;
  }
  const several = schema.anyOf ?? schema.oneOf;
  if (several) return make("span", ...several.flatMap((each, at) => [at ? " or " : "", words(each)]));
  if (schema.enum) return make("span", schema.enum.join(", "));
  const bounds = ["minimum", "maximum", "maxLength", "default"]
    .filter((key) => schema[key] !== undefined && schema[key] !== null)
    .map((key) => ` ${key} ${JSON.stringify(schema[key])}`);
  const items = schema.items ? [" of ", words(schema.items)] : [];
  return make("span", [schema.type ?? "anything"].flat().join(" or "), ...items, ...bounds);
}

const row = (...cells) => make("tr", ...cells.map((cell) => make("td", cell)));

function operation(path, method, told) {
  const rows = (told.parameters ?? []).map((each) =>
    row(make("code", each.name), words(each.schema), each.description ?? ""),
  );
  for (const [type, { schema }] of Object.entries(told.requestBody?.content ?? {})) {
    rows.push(row("send", words(schema), type));
  }
  for (const [status, answer] of Object.entries(told.responses)) {
    const types = Object.entries(answer.content ?? {});
    const [, { schema } = {}] = types[0] ?? [];
    rows.push(row(status, schema ? words(schema) : "", types.map(([type]) => type).join(", ")));
  }
  const summary = make("summary", make("b", method.toUpperCase()), make("code", path), ` · ${told.summary}`);
  return make("details", summary, make("p", told.description ?? ""), make("table", ...rows));
}

function shape(name, schema) {
  const rows = Object.entries(schema.properties ?? {}).map(([field, each]) =>
    row(make("code", field), words(each), each.description ?? ""),
  );
  const section = make("details", make("summary", make("code", name), ` · ${schema.description ?? ""}`), make("table", ...rows));
  section.id = name;
  section.open = true;
  return section;
}

const told = await (await fetch("/openapi.json")).json();
find("#about").textContent = told.info.description;
for (const [path, methods] of Object.entries(told.paths)) {
  for (const [method, each] of Object.entries(methods)) find("#operations").append(operation(path, method, each));
}
for (const [name, schema] of Object.entries(told.components.schemas)) find("#schemas").append(shape(name, schema));
