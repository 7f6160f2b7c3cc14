// Shows the OpenAPI document, without any library.

const find = (selector) => document.querySelector(selector);

function make(name, ...children) {
  const element = document.createElement(name);
  element.append(...children);
  return element;
}

/** A sentence of the document, in which what stands between backticks is code. */
function prose(text = "") {
  return text.split("`").map((part, at) => (at % 2 ? make("code", part) : part));
}

const LIMITS = { minimum: "from", maximum: "to", maxLength: "at most", default: "else" };

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
  if (schema.enum) return make("span", ...schema.enum.flatMap((each, at) => [at ? ", " : "", make("code", each)]));
  if (schema.contentEncoding) return make("span", schema.contentEncoding);
  if (schema.format === "binary") return make("span", "file");
  const limits = Object.entries(LIMITS)
    .filter(([key]) => (schema[key] ?? "") !== "")
    .map(([key, said]) => `${key === "maximum" ? "" : ","} ${said} ${schema[key]}${key === "maxLength" ? " characters" : ""}`);
  const items = schema.items ? [" of ", words(schema.items)] : [];
  return make("span", [schema.type ?? "anything"].flat().join(" or "), ...items, ...limits);
}

const row = (...cells) => make("tr", ...cells.map((cell) => make("td", ...[cell].flat())));

function table(title, rows) {
  return rows.length ? [make("h3", title), make("table", ...rows)] : [];
}

/** The fields of a schema, of which some have to be sent. */
function fields(schema) {
  const required = new Set(schema.required ?? []);
  return Object.entries(schema.properties ?? {}).map(([name, each]) => {
    const mark = schema.marks && required.has(name) ? [" ", make("em", "needed")] : [];
    return row([make("code", name), ...mark], words(each), prose(each.description));
  });
}

function resolved(schema = {}) {
  return schema.$ref ? told.components.schemas[schema.$ref.split("/").pop()] : schema;
}

function operation(path, method, each) {
  const bodies = Object.entries(each.requestBody?.content ?? {});
  const [, { schema: sent } = {}] = bodies[0] ?? [];
  const parameters = (each.parameters ?? []).map((one) =>
    row(make("code", one.name), words(one.schema), prose(one.description)),
  );
  const good = [];
  const refusals = [];
  for (const [status, answer] of Object.entries(each.responses)) {
    const types = Object.entries(answer.content ?? {});
    if (types.some(([type]) => type === "application/problem+json")) {
      refusals.push(row(status, prose(answer.description)));
    } else {
      const shapes = types.flatMap(([type, { schema }], at) => [at ? make("br") : "", make("code", type), " ", words(schema)]);
      good.push(row(status, prose(answer.description), shapes));
    }
  }
  const samples = (each["x-codeSamples"] ?? []).map(({ source }) =>
    make("pre", source.replaceAll("$URL", location.origin)),
  );
  const how = make("b", method.toUpperCase());
  how.className = method;
  const summary = make("summary", how, make("code", path), make("span", each.summary));
  return make(
    "details",
    summary,
    make("p", ...prose(each.description)),
    ...samples,
    ...table("In the address", parameters),
    ...table(`Send ${bodies.map(([type]) => type).join(" or ")}`, sent ? fields({ ...resolved(sent), marks: true }) : []),
    ...table("Answers", good),
    ...table("Refusals", refusals),
  );
}

function shape(name, schema) {
  const summary = make("summary", make("code", name), make("span", ...prose(schema.description)));
  const values = schema.enum ? [make("p", words(schema))] : [];
  const section = make("details", summary, ...values, make("table", ...fields(schema)));
  section.id = name;
  section.open = true;
  return section;
}

const told = await (await fetch("/openapi.json")).json();
find("#about").append(...told.info.description.split("\n\n").map((part) => make("p", ...prose(part.replaceAll("\n", " ")))));
for (const [path, methods] of Object.entries(told.paths)) {
  for (const [method, each] of Object.entries(methods)) find("#operations").append(operation(path, method, each));
}
for (const [name, schema] of Object.entries(told.components.schemas)) find("#schemas").append(shape(name, schema));
