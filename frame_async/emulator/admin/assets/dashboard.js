"use strict";
const API = "/_emulator/";
const byId = (id) => document.getElementById(id);
const state = { paused: false, reference: "", failures: 0, kinds: {}, usage: null, limit: null, timer: 0 };

const EXPLAINED = {
  refuse: "Answers with any status and body. Nothing is created.",
  throttle: "Answers 429 with any form of Retry-After. Nothing is created.",
  delay: "Creates the session and holds the answer back.",
  drop_before_reading: "Breaks the connection before the body is read. Nothing is created.",
  read_and_drop: "Reads the request and breaks the connection. Nothing is created.",
  create_and_drop: "Creates the session and breaks the connection: the answer is lost.",
  create_and_truncate: "Creates the session and sends the first bytes of the answer, its head included.",
  create_and_fail: "Creates the session and answers with a proxy's HTML: 502 unless told otherwise.",
  close_idle: "Answers as always, and then closes the idle connection unannounced.",
  hang: "Reads the request and never answers. Nothing is created.",
  create_and_hang: "Creates the session and never answers.",
};
const SECONDS = {
  delay: "Seconds it takes", close_idle: "Seconds after the answer",
  hang: "Seconds it hangs (empty: no end)", create_and_hang: "Seconds it hangs (empty: no end)",
};

/* Elements are only ever made from text, so nothing that a request says becomes markup. */
function h(tag, attributes, ...children) {
  const element = tag.startsWith("svg:")
    ? document.createElementNS("http://www.w3.org/2000/svg", tag.slice(4))
    : document.createElement(tag);
  for (const [name, value] of Object.entries(attributes || {})) {
    if (value === null || value === undefined || value === false) continue;
    if (name === "onclick") element.addEventListener("click", value);
    else element.setAttribute(name, value === true ? "" : String(value));
  }
  for (const child of children.flat()) {
    if (child !== null && child !== undefined && child !== false) element.append(child);
  }
  return element;
}

/* Keeps the rows that are the same, so that focus and selection stay where they are. */
function sync(container, items, key, render) {
  const before = new Map([...container.children].map((row) => [row.dataset.key, row]));
  const rows = items.map((item) => {
    const name = String(key(item));
    const text = JSON.stringify(item);
    const old = before.get(name);
    before.delete(name);
    if (old && old.dataset.text === text) return old;
    const row = render(item);
    row.dataset.key = name;
    row.dataset.text = text;
    if (old && old.contains(document.activeElement)) {
      const at = focusable(old).indexOf(document.activeElement);
      old.replaceWith(row);
      focusable(row)[at]?.focus();
    } else if (old) old.replaceWith(row);
    return row;
  });
  for (const gone of before.values()) gone.remove();
  rows.forEach((row, at) => {
    if (container.children[at] !== row) container.insertBefore(row, container.children[at] || null);
  });
}
const focusable = (element) => [...element.querySelectorAll("button, a, input")];

const put = (element, text) => { if (element.textContent !== text) element.textContent = text; };
const count = (n) => n.toLocaleString("en");
const plural = (n, one, many = `${one}s`) => `${count(n)} ${n === 1 ? one : many}`;
const time = (at) => new Date(at * 1000).toLocaleTimeString("en-GB");
function moment(at) {
  const when = new Date(at * 1000);
  return `${when.toLocaleDateString("en-CA")} ${when.toLocaleTimeString("en-GB")}`;
}
function span(seconds) {
  if (seconds < 1) return `${+(seconds * 1000).toPrecision(3)} ms`;
  if (seconds < 120) return `${+seconds.toPrecision(3)} s`;
  if (seconds < 7200) return `${+(seconds / 60).toPrecision(3)} min`;
  if (seconds < 172800) return `${+(seconds / 3600).toPrecision(3)} h`;
  return `${+(seconds / 86400).toPrecision(3)} days`;
}
/* A name that may be broken after its dots, dashes and underscores, and nowhere else. */
const breakable = (text) => text.split(/(?<=[._/-])/).flatMap((part) => [h("wbr"), part]).slice(1);
const badge = (text, kind) => h("span", { class: `badge ${kind || ""}` }, text);
function statusBadge(status) {
  if (status === null) return badge("none", "warn");
  return badge(String(status), status < 300 ? "good" : status === 429 ? "warn" : status >= 400 ? "bad" : "");
}

async function call(method, path, body) {
  const options = { method, headers: {}, credentials: "omit" };
  if (body !== undefined) {
    options.headers["Content-Type"] = "application/json";
    options.body = JSON.stringify(body);
  }
  const answer = await fetch(API + path, options);
  const content = await answer.json();
  if (!answer.ok) throw new Error(content.error ? content.error.message : `status ${answer.status}`);
  return content;
}

/* Does something, says what came of it, and shows the new state at once. */
async function act(said, ...request) {
  try {
    const content = await call(...request);
    toast(said);
    await refresh();
    return content;
  } catch (error) {
    toast(error.message);
    return null;
  }
}

function toast(text) {
  put(byId("toast"), text);
  byId("toast").hidden = false;
  clearTimeout(toast.timer);
  toast.timer = setTimeout(() => { byId("toast").hidden = true; }, 4000);
}

function showTotals(counts, warnings) {
  let refused = 0;
  for (const [status, n] of Object.entries(counts.statuses)) {
    if (Number(status) >= 400 && status !== "429") refused += n;
  }
  const throttled = counts.statuses["429"] || 0;
  const calls = counts.requests - counts.visits;
  const ignored = Object.values(warnings).reduce((sum, n) => sum + n, 0);
  put(byId("n-requests"), count(calls));
  put(byId("n-created"), count(counts.created));
  put(byId("n-refused"), count(refused));
  put(byId("n-throttled"), count(throttled));
  put(byId("n-faults"), count(counts.faults_fired));
  put(byId("n-warnings"), count(ignored));
  byId("t-refused").className = refused ? "tile bad" : "tile";
  byId("t-throttled").className = throttled ? "tile warn" : "tile";
  byId("t-warnings").className = ignored ? "tile warn" : "tile";
  byId("warnings-card").hidden = !ignored;
  sync(byId("warnings"), Object.entries(warnings), ([name]) => name,
    ([name, n]) => h("li", {}, h("code", {}, name), badge(plural(n, "time"), "warn")));
}

function showRequests(requests) {
  byId("requests-empty").hidden = requests.length > 0;
  byId("requests").closest(".card").classList.toggle("long", requests.length > 8);
  put(byId("requests-note"), requests.length ? `the newest ${requests.length}` : "");
  sync(byId("requests"), requests, (each) => each.sequence, (each) => h("tr", {},
    h("td", { class: "time" }, time(each.received)),
    h("td", {}, statusBadge(each.status)),
    h("td", { class: "small names" }, called(each)),
    h("td", { class: "half" }, each.client_reference_id || ""),
    h("td", { class: "full" }, h("span", { class: "notes" }, notes(each))),
    h("td", { class: "end" }, h("button", {
      type: "button", class: "plain", "aria-label": `Details of request ${each.sequence}`,
      onclick: () => details(each.sequence),
    }, "Details"))));
}

function called({ method, path }) {
  if (method === "POST" && path === "/v1/payment_link_sessions") return "create\u00a0session";
  return h("code", {}, `${method} `, breakable(path));
}

function showVisits(visits) {
  byId("visits-card").hidden = !visits.length;
  byId("visits-card").classList.toggle("long", visits.length > 8);
  put(byId("visits-note"), visits.length ? `the newest ${visits.length}` : "");
  sync(byId("visits"), visits, (each) => each.sequence, (each) => h("tr", {},
    h("td", { class: "time" }, time(each.received)),
    h("td", {}, badge(...visited(each))),
    h("td", { class: "mono small full names quiet" }, breakable(each.session_id || each.path)),
    h("td", { class: "end" }, h("button", {
      type: "button", class: "plain", "aria-label": `Details of visit ${each.sequence}`,
      onclick: () => details(each.sequence),
    }, "Details"))));
}

function visited({ method, status }) {
  if (method !== "POST" && status === 200) return ["page opened", ""];
  if (status === 303) return [method === "POST" ? "form accepted" : "redirected", "good"];
  if (status === 402) return ["card refused", "warn"];
  if (status === 422) return ["form to be corrected", "warn"];
  return [`status ${status}`, status >= 400 ? "bad" : ""];
}

function notes(each) {
  const made = [];
  if (each.fault) made.push(badge(each.fault.do, "fault"), h("span", { class: "note" }, each.fault.evidence));
  if (each.replayed) made.push(badge("replayed"));
  for (const remark of each.remarks) made.push(badge(remark, "warn"));
  if (each.unknown_fields.length) made.push(badge(`ignored: ${each.unknown_fields.join(", ")}`, "warn"));
  if (each.latency > 0) made.push(h("span", { class: "note" }, `held ${span(each.latency)}`));
  if (each.key_mode && each.key_mode !== "sandbox") made.push(h("span", { class: "note" }, `key: ${each.key_mode}`));
  if (each.status === null && !each.fault) made.push(h("span", { class: "note" }, "the client left"));
  return made;
}

async function details(sequence) {
  try {
    const { entries } = await call("GET", `ledger?limit=1&before=${sequence + 1}`);
    put(byId("dialog-title"), `Request ${sequence}`);
    const found = entries[0] && entries[0].sequence === sequence;
    open(found ? facts(entries[0]) : [], !found ? "It has left the ledger." : entries[0].body ? JSON.stringify(entries[0].body, null, 2) : "");
  } catch (error) { toast(error.message); }
}

function open(listed, text) {
  byId("dialog-facts").replaceChildren(...listed.flatMap(([name, value]) => [h("dt", {}, name), h("dd", {}, value)]));
  put(byId("dialog-text"), text);
  byId("dialog").showModal();
}

/* What is known of a request, in words; the body stands below. */
function facts(each) {
  const key = each.key_mode && `${each.key_mode}${each.key_suffix ? `, ends in ${each.key_suffix}` : ""}`;
  return [
    ["Received", moment(each.received)],
    ["Call", `${each.method} ${each.path}`],
    ["Answer", each.status === null ? "none" : String(each.status)],
    ["Request id", each.request_id],
    ["Session", each.session_id],
    ["Reference", each.client_reference_id],
    ["Key", key],
    ["Idempotency-Key", each.idempotency_key && `${each.idempotency_key}${each.replayed ? ", its answer was replayed" : ""}`],
    ["User-Agent", each.user_agent],
    ["Held back", each.latency > 0 && span(each.latency)],
    ["Fault", each.fault && `${each.fault.do} (${each.fault.id}): ${each.fault.evidence}`],
    ["Frame would ignore", each.unknown_fields.join(", ")],
    ["Assumed", each.remarks.join("; ")],
  ].filter(([, value]) => value);
}

const PAID = { paid: "good", processing: "warn", failed: "bad" };
const OPEN = { open: "good", complete: "good", expired: "", canceled: "warn" };
function showSessions(sessions) {
  byId("sessions-empty").hidden = sessions.length > 0;
  byId("sessions").closest(".card").classList.toggle("long", sessions.length > 8);
  put(byId("sessions-note"), sessions.length ? `the newest ${sessions.length}` : "");
  sync(byId("sessions"), sessions, (each) => each.id, (each) => h("tr", {},
    h("td", { class: "time" }, time(each.created)),
    h("td", {}, badge(each.status, OPEN[each.status])),
    h("td", {}, badge(each.payment_status, PAID[each.payment_status])),
    h("td", { class: "full" }, each.client_reference_id || ""),
    h("td", { class: "mono small full names quiet" }, breakable(each.id)),
    h("td", { class: "end" }, h("a", { href: `/pay/${encodeURIComponent(each.id)}`, "aria-label": `Checkout page of ${each.id}` }, "Open"))));
}

function ordinal(n) {
  const ending = { one: "st", two: "nd", few: "rd", other: "th" };
  return `${count(n)}${ending[new Intl.PluralRules("en", { type: "ordinal" }).select(n)]}`;
}

function condition(fault) {
  const said = [];
  if (fault.every) said.push(fault.every === 1 ? "every request" : `every ${ordinal(fault.every)} request`);
  if (fault.probability !== undefined) said.push(`${+(fault.probability * 100).toPrecision(3)} % of requests`);
  if (fault.reference) said.push(`reference ${fault.reference}`);
  if (fault.times) said.push(`${plural(fault.times, "time")}`);
  if (fault.lasting) said.push(`for ${span(fault.lasting)}`);
  if (!said.length) said.push("every request");
  if (fault.status) said.push(`status ${fault.status}`);
  if (fault.at !== undefined) said.push(`at byte ${fault.at}`);
  if (fault.retry_after) said.push(`Retry-After: ${fault.retry_after}`);
  if (fault.wait !== undefined) said.push(`wait ${span(fault.wait)}`);
  if (fault.seconds !== undefined) said.push(span(fault.seconds));
  if (fault.reset) said.push("reset");
  return said.join(", ");
}

function showFaults(faults) {
  put(byId("faults-note"), faults.length ? `${plural(faults.filter((f) => f.on && !f.spent).length, "rule")} in force` : "what goes wrong on purpose");
  sync(byId("faults"), faults, (each) => each.id, (each) => h("li", {},
    h("button", {
      type: "button", class: "switch", role: "switch", "aria-checked": String(each.on && !each.spent), disabled: each.spent, "aria-label": `${each.id}: ${each.do}`,
      onclick: () => act(`${each.id} is ${each.on ? "off" : "on"}`, "PATCH", `faults/${each.id}`, { on: !each.on }),
    }, h("i")),
    h("div", { class: each.on && !each.spent ? "what" : "what off" },
      h("b", {}, each.do), " ", each.spent && badge("spent"),
      h("div", { class: "small quiet" }, `${condition(each)} · fired on ${count(each.fired)} of ${plural(each.seen, "request")}`)),
    h("button", {
      type: "button", class: "plain", "aria-label": `Remove ${each.id}`,
      onclick: () => act(`${each.id} is removed`, "DELETE", `faults/${each.id}`),
    }, "Remove")));
}

const DELIVERED = { delivered: "good", failed: "bad", pending: "warn" };
function showWebhooks(webhooks) {
  const deliveries = webhooks ? webhooks.deliveries : [];
  const endpoints = webhooks ? webhooks.endpoints : [];
  byId("endpoint-form").hidden = !webhooks;
  byId("deliveries-region").hidden = !deliveries.length;
  byId("webhooks-empty").hidden = deliveries.length > 0;
  put(byId("webhooks-empty"), !webhooks ? "This emulator sends no webhooks." : endpoints.length ? "Nothing was delivered yet." : "No endpoint is registered: nothing is sent.");
  put(byId("webhooks-note"), webhooks ? plural(endpoints.length, "endpoint") : "");
  sync(byId("endpoints"), endpoints, (each) => each.id, (each) => h("li", { class: "two" },
    h("div", { class: "what" }, h("b", {}, each.url), h("div", { class: "small quiet" }, each.events.includes("*") ? "all events" : each.events.join(", "))),
    h("button", {
      type: "button", class: "plain", "aria-label": `Remove ${each.url}`,
      onclick: () => act("The endpoint is removed", "DELETE", `webhooks/endpoints/${encodeURIComponent(each.id)}`),
    }, "Remove")));
  sync(byId("deliveries"), deliveries, (each) => each.id, (each) => {
    const last = each.attempts[each.attempts.length - 1];
    const outcome = last ? (last.error || `status ${last.status}`) : "not sent yet";
    return h("tr", {},
      h("td", { class: "time" }, last ? time(last.at) : ""),
      h("td", {}, badge(each.state, DELIVERED[each.state])),
      h("td", { class: "full names" }, h("code", {}, breakable(each.event_type)), h("div", { class: "small quiet" }, `${outcome}, ${plural(each.attempts.length, "attempt")}${endpoints.length > 1 ? `, to ${each.url}` : ""}`)),
      h("td", { class: "end" }, h("button", {
        type: "button", class: "plain", "aria-label": `Resend ${each.event_type} ${each.event_id}`,
        onclick: () => act("Sent again", "POST", `webhooks/deliveries/${encodeURIComponent(each.id)}/resend`),
      }, "Resend")));
  });
}

function showRun(snapshot) {
  const { limits, clock, settings } = snapshot;
  put(byId("clock"), moment(clock.now));
  put(byId("offset"), clock.offset ? `, ${span(clock.offset)} ahead of time` : "");
  const form = byId("limits");
  if (!form.contains(document.activeElement)) {
    form.limit.value = limits.limit === null ? "" : limits.limit;
    form.period.value = limits.period;
  }
  const said = [`Latency ${settings.latency}`, `idempotency keys ${settings.idempotency ? "heeded" : "ignored, as Frame does"}`];
  if (settings.seed !== null) said.push(`seed ${settings.seed}`);
  said.push(`errors in the ${settings.envelope} envelope`);
  said.push(`assumed of events: ${settings.assumed.join(", ") || "nothing beyond what Frame publishes"}`);
  put(byId("settings"), `${said.join(", ")}.`);
}

function niceTop(most) {
  const step = 10 ** Math.floor(Math.log10(Math.max(most, 1)));
  return [1, 1.2, 1.6, 2, 2.4, 3, 4, 5, 6, 8, 10].map((n) => n * step).find((n) => n >= most && Number.isInteger(n)) || Math.ceil(most);
}

function showPlot() {
  const { usage, limit } = state;
  if (!usage) return;
  const box = byId("plot");
  const width = Math.max(280, box.clientWidth - 24), height = 220;
  const left = 38, right = 10, top = 16, bottom = 24;
  const steps = usage.series.length ? usage.series[0].accepted.length : 120;
  const most = Math.max(1, ...usage.series.flatMap((each) => [...each.accepted, ...each.refused]), limit || 0);
  const ceiling = niceTop(most * 1.04);
  const x = (at) => left + (width - left - right) * (at / (steps - 1));
  const y = (value) => height - bottom - (height - top - bottom) * (value / ceiling);
  const svg = h("svg:svg", { viewBox: `0 0 ${width} ${height}`, role: "img", "aria-label": plotWords() });
  for (let part = 0; part <= 4; part++) {
    const value = (ceiling * part) / 4;
    if (!Number.isInteger(value)) continue;
    svg.append(h("svg:line", { class: "grid", x1: left, x2: width - right, y1: y(value), y2: y(value) }));
    svg.append(h("svg:text", { x: left - 7, y: y(value) + 4, "text-anchor": "end" }, count(value)));
  }
  const whole = usage.step * steps;
  for (const part of width < 480 ? [0, 0.5, 1] : [0, 0.25, 0.5, 0.75, 1]) {
    const anchor = part === 0 ? "start" : part === 1 ? "end" : "middle";
    const label = part === 1 ? "now" : `−${span(whole * (1 - part))}`;
    svg.append(h("svg:text", { x: x(part * (steps - 1)), y: height - 6, "text-anchor": anchor }, label));
  }
  usage.series.forEach((each, at) => {
    const bar = Math.max(1.5, (width - left - right) / steps - 1);
    each.refused.forEach((n, step) => {
      if (n) svg.append(h("svg:rect", { class: "refused", x: x(step) - bar / 2, width: bar, y: y(n), height: y(0) - y(n) }));
    });
    const line = each.accepted.map((n, step) => `${x(step).toFixed(1)},${y(n).toFixed(1)}`).join(" ");
    svg.append(h("svg:polygon", { class: `area f${at + 1}`, points: `${x(0)},${y(0)} ${line} ${x(steps - 1)},${y(0)}` }));
    svg.append(h("svg:polyline", { class: `line s${at + 1}`, points: line }));
  });
  if (limit !== null) {
    svg.append(h("svg:line", { class: "limit", x1: left, x2: width - right, y1: y(limit), y2: y(limit) }));
    svg.append(h("svg:text", { class: "limit-label", x: left + 6, y: y(limit) - 5 }, `limit ${count(limit)}`));
  }
  const tip = h("div", { class: "tip", hidden: true });
  const cursor = h("svg:line", { class: "cursor", y1: top, y2: height - bottom, visibility: "hidden" });
  svg.append(cursor);
  svg.addEventListener("pointermove", (event) => {
    const at = Math.round(((event.offsetX - left) / (width - left - right)) * (steps - 1));
    const inside = at >= 0 && at < steps && usage.series.length > 0;
    tip.hidden = !inside;
    cursor.setAttribute("visibility", inside ? "visible" : "hidden");
    if (!inside) return;
    cursor.setAttribute("x1", x(at));
    cursor.setAttribute("x2", x(at));
    const lines = usage.series.map((each) => `${each.label}: ${count(each.accepted[at])}${each.refused[at] ? `, ${count(each.refused[at])} refused` : ""}`);
    tip.textContent = `${time(usage.until - (steps - 1 - at) * usage.step)} · ${lines.join(" · ")}`;
    const near = Math.min(Math.max(4, x(at) - tip.offsetWidth / 2), box.clientWidth - tip.offsetWidth - 4);
    tip.style.left = `${near}px`;
  });
  svg.addEventListener("pointerleave", () => { tip.hidden = true; cursor.setAttribute("visibility", "hidden"); });
  if (!box.matches(":hover") || !box.firstChild) box.replaceChildren(svg, tip);
}

function plotWords() {
  const { usage, limit } = state;
  if (!usage.series.length) return `No request in the last ${span(usage.step * 120)}.`;
  return usage.series.map((each) => {
    const now = each.accepted[each.accepted.length - 1];
    const refused = each.refused.reduce((sum, n) => sum + n, 0);
    return `${each.label}: ${count(now)} ${limit === null ? "in the window" : `of ${count(limit)} in the window`}${refused ? `, ${count(refused)} refused lately` : ""}`;
  }).join("; ");
}

function showUsage(usage, limits) {
  state.usage = usage;
  state.limit = limits.limit;
  showPlot();
  put(byId("window-now"), `requests in the last ${span(limits.period)}, by key`);
  const entries = usage.series.map((each, at) => ({ at: at + 1, text: plotWords().split("; ")[at] }));
  if (!entries.length) entries.push({ at: 0, text: plotWords() });
  if (usage.more) entries.push({ at: 0, text: `and ${plural(usage.more, "more key", "more keys")}` });
  sync(byId("legend"), entries, (each) => each.text, (each) => h("li", {},
    each.at ? h("svg:svg", { viewBox: "0 0 14 10", "aria-hidden": "true" }, h("svg:rect", { class: `f${each.at}`, width: 14, height: 10, rx: 3 })) : null, each.text));
}

function show(snapshot) {
  state.kinds = snapshot.fault_kinds;
  fillKinds();
  showTotals(snapshot.counts, snapshot.warnings);
  showUsage(snapshot.usage, snapshot.limits);
  showRequests(snapshot.requests);
  showVisits(snapshot.visits);
  showSessions(snapshot.sessions);
  showFaults(snapshot.faults);
  showRun(snapshot);
  showWebhooks(snapshot.webhooks);
}

function live(kind, text) {
  byId("live").className = `live ${kind}`;
  put(byId("live-text"), text);
}

async function refresh() {
  try {
    const query = state.reference ? `?reference=${encodeURIComponent(state.reference)}` : "";
    show(await call("GET", `snapshot${query}`));
    state.failures = 0;
    byId("lost").hidden = true;
    live(state.paused ? "paused" : "", state.paused ? "paused" : "live");
  } catch (error) {
    state.failures += 1;
    live("lost", "not connected");
    if (state.failures === 2) {
      put(byId("lost"), "The emulator does not answer. This page tries again by itself.");
      byId("lost").hidden = false;
    }
  }
}

async function loop() {
  clearTimeout(state.timer);
  if (!state.paused && !document.hidden) await refresh();
  clearTimeout(state.timer);
  state.timer = setTimeout(loop, state.failures ? Math.min(10000, 1000 * 2 ** state.failures) : 1000);
}

function fillKinds() {
  const select = byId("fault-do");
  if (select.options.length) return;
  for (const name of Object.keys(state.kinds)) select.append(h("option", {}, name));
  select.value = "create_and_drop";
  fitOptions();
}

function fitOptions() {
  const kind = byId("fault-do").value;
  const { takes, needs, stage } = state.kinds[kind];
  put(byId("fault-explained"), EXPLAINED[kind] || "");
  byId("fault-reference").hidden = stage === "before the body is read";
  for (const label of document.querySelectorAll("[data-option]")) {
    label.hidden = !takes.includes(label.dataset.option);
    label.querySelector("input, select").required = needs.includes(label.dataset.option);
    if (label.dataset.option === "seconds") label.firstChild.textContent = `${SECONDS[kind] || "Seconds before it"} `;
  }
}

byId("fault-do").addEventListener("change", fitOptions);
byId("fault-form").addEventListener("submit", async (event) => {
  event.preventDefault();
  const form = event.target;
  const fault = { do: byId("fault-do").value };
  for (const field of form.querySelectorAll("[name]")) {
    if (field.closest("label").hidden || field.value === "") continue;
    fault[field.name] = field.type === "number" ? Number(field.value) : field.name === "reset" ? true : field.value;
  }
  if (await act(`The fault ${fault.do} is in force`, "POST", "faults", fault)) {
    const kind = byId("fault-do").value;
    HTMLFormElement.prototype.reset.call(form); // a field is named "reset"
    byId("fault-do").value = kind;
  }
});
byId("limits").addEventListener("submit", (event) => {
  event.preventDefault();
  const { limit, period } = event.target;
  document.activeElement.blur();
  act("The limit is changed", "PATCH", "limits", { limit: limit.value === "" ? null : Number(limit.value), period: Number(period.value) });
});
byId("advance").addEventListener("click", (event) => {
  const seconds = Number(event.target.dataset.seconds);
  if (seconds) act(`Time is ${span(seconds)} further`, "POST", "clock", { advance: seconds });
});
byId("endpoint-form").addEventListener("submit", async (event) => {
  event.preventDefault();
  const form = event.target;
  const made = await act("The endpoint is registered", "POST", "webhooks/endpoints", { url: form.url.value });
  if (!made) return;
  form.reset();
  put(byId("dialog-title"), "The endpoint's secret");
  open([["Endpoint", made.url], ["Shown", "this once; events are signed with it"]], made.secret);
});
byId("reset").addEventListener("click", () => {
  if (confirm("Forget all requests, sessions and faults?")) act("Everything is forgotten", "POST", "reset");
});
byId("pause").addEventListener("click", () => {
  state.paused = !state.paused;
  byId("pause").setAttribute("aria-pressed", String(state.paused));
  put(byId("pause"), state.paused ? "Go on" : "Pause");
  live(state.paused ? "paused" : "", state.paused ? "paused" : "live");
  loop();
});
byId("reference").addEventListener("input", (event) => { state.reference = event.target.value.trim(); refresh(); });
for (const more of document.querySelectorAll("[data-more]")) {
  more.addEventListener("click", () => {
    const all = byId(more.dataset.more).classList.toggle("all");
    more.setAttribute("aria-expanded", String(all));
    put(more, all ? "Show the newest only" : "Show more");
  });
}
put(byId("paste"), `export FRAME_API_BASE_URL=${location.origin}\nexport FRAME_SECRET_KEY=sk_sandbox_emulator`);
byId("dialog-close").addEventListener("click", () => byId("dialog").close());
document.addEventListener("visibilitychange", loop);
new ResizeObserver(() => showPlot()).observe(byId("plot"));
loop();
