"use strict";
(() => {
  const data = JSON.parse(document.getElementById("data").textContent);
  // A call: [line, begin, end, text, thread, vm, transaction of the VM, whether it failed].
  const calls = [], holes = [], numbers = data.machines.map(() => 0), byLine = new Map();
  for (const t of data.transactions) {
    t.vm ??= 0;
    const number = numbers[t.vm]++;
    for (const call of t.calls) {
      call.push(t.thread, t.vm, number, false);
      calls.push(call);
      byLine.set(call[0], call);
    }
    [t.line, t.at] = t.calls[0];
    t.end = t.calls[t.calls.length - 1][2];
    for (const h of t.holes || []) holes.push(Object.assign(h, { vm: t.vm, transaction: number, begin: byLine.get(h.lines[0])?.[1] ?? null, end: byLine.get(h.lines[1])?.[2] }));
  }
  for (const f of data.failures) calls.push([f.line, f.at, f.at, f.call + ", " + f.errno, f.thread, f.vm, null, true]);
  const at = (id) => document.getElementById(id);
  const hex = (n) => "0x" + n.toString(16);
  const big = (text) => BigInt("0x" + text);
  const range = (start, size) => hex(start) + "-" + hex(start + size - 1n);
  const units = ["B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"];
  function sized(bytes) {
    let unit = 0, value = Number(bytes);
    while (value >= 1024 && unit < 6) { value /= 1024; unit += 1; }
    return (Number.isInteger(value) ? value : "~" + value.toFixed(1)) + " " + units[unit];
  }
  function lasting(ns) {
    if (ns === null || ns === undefined) return "unknown";
    if (ns < 1000) return ns + " ns";
    for (const [name, unit] of [["µs", 1e3], ["ms", 1e6], ["s", 1e9]]) {
      if (ns / unit < 1000 || name === "s") return (ns / unit).toFixed(1) + " " + name;
    }
  }
  const make = (name, text, kind) => {
    const node = document.createElement(name);
    if (text !== undefined) node.textContent = text;
    if (kind) node.className = kind;
    return node;
  };
  const draw = (name, attributes, text) => {
    const node = document.createElementNS("http://www.w3.org/2000/svg", name);
    for (const key in attributes) node.setAttribute(key, attributes[key]);
    if (text) node.append(draw("title", {})), node.firstChild.textContent = text;
    return node;
  };
  const label = (attributes, text) => { const node = draw("text", attributes); node.textContent = text; return node; };

  // A slot: [key, guest address, size, host address, flags, host object].
  const slotOf = (s) => ({ key: s[0], space: s[0].includes(":") ? s[0].split(":")[0] : "0",
    start: big(s[1]), size: big(s[2]), host: big(s[3]), flags: s[4], object: s[5] || "" });
  const flagNames = (bits) => ["log-dirty-pages", "readonly", "guest-memfd"].filter((_, i) => bits >> i & 1).join(" ") || "–";
  const hostName = (s) => s.object ? s.object + " +" + hex(s.host) : hex(s.host);

  let vm = 0, rows = [], index = 0, found = null, focus = null;
  // Every 256 arrays are kept whole; the others are differences to them.
  let kept = [];
  function choose(machine) {
    vm = machine;
    at("vm").value = machine;
    rows = data.transactions.filter((t) => t.vm === machine);
    kept = [];
    let slots = new Map();
    rows.forEach((t, i) => { if (i % 256 === 0) kept.push(new Map(slots)); step(slots, t, i); });
    at("slider").max = Math.max(0, rows.length - 1);
    focus = null;
    show(rows.length - 1);
  }
  function step(slots, t, i) {
    for (const key of t.removed) slots.delete(key);
    for (const s of t.added) { const slot = slotOf(s); slot.since = i; slots.set(slot.key, slot); }
  }
  function arrayAfter(i) {
    if (i < 0) return new Map();
    const base = Math.floor(i / 256), slots = new Map(kept[base]);
    for (let n = base * 256; n <= i; n += 1) step(slots, rows[n], n);
    return slots;
  }
  const ordered = (slots) => [...slots.values()].sort((a, b) => a.space === b.space ? (a.start < b.start ? -1 : 1) : (a.space < b.space ? -1 : 1));

  const own = (machine) => data.transactions.filter((t) => t.vm === machine);
  // The last transaction that began before a line.
  const before = (machine, line) => { const list = own(machine), n = list.findIndex((t) => t.line > line); return n < 0 ? list.length - 1 : Math.max(0, n - 1); };
  // Time: positions are nanoseconds or, without times, the numbers of lines.
  const timed = data.transactions.some((t) => t.at !== null);
  const place = (time, line) => timed ? time : line;
  const ends = calls.flatMap((c) => [place(c[1], c[0]), place(c[2] ?? c[1], c[0] + 1)])
    .concat(data.holds.flat()).filter((n) => n !== null && n !== undefined);
  let least = Infinity, most = -Infinity;
  for (const n of ends) { if (n < least) least = n; if (n > most) most = n; }
  if (!(least < most)) { least = least === Infinity ? 0 : least; most = least + 1; }
  let view = [least, most];
  const width = 1000, left = 150;
  function lanes() {
    const list = [{ name: "transactions", spans: rows.map((t, i) => [place(t.at, t.line), place(t.end ?? t.at, t.line + 1), "transaction", "transaction " + (i + 1) + ": " + t.what, i]) }];
    const threads = [...new Set(calls.map((c) => c[4]))].sort((a, b) => a - b);
    for (const thread of threads) {
      list.push({ name: "thread " + thread, spans: calls.filter((c) => c[4] === thread && c[5] === vm)
        .map((c) => [place(c[1], c[0]), place(c[2] ?? c[1], c[0] + 1), c[7] ? "failed" : "call", "line " + c[0] + ": " + c[3], c[6] ?? before(vm, c[0])]) });
    }
    list.push({ name: "missing", spans: holes.filter((h) => h.vm === vm).map((h) => [place(h.begin, h.lines[0]), place(h.end ?? h.begin, h.lines[1]),
      "hole " + h.guest, range(big(h.start), big(h.size)) + " missing", h.transaction]) });
    if (data.holds.length) list.push({ name: "vCPUs held", spans: data.holds.map((h) => [h[0], h[1], "held", "vCPUs held for " + lasting(h[1] - h[0]), null]) });
    return list;
  }
  function axis() {
    const list = lanes(), scale = (width - left) / (view[1] - view[0]);
    const svg = draw("svg", { viewBox: "0 0 " + width + " " + (list.length * 20 + 22) });
    list.forEach((lane, n) => {
      const y = n * 20 + 4;
      svg.append(label({ x: 0, y: y + 11 }, lane.name), draw("line", { x1: left, x2: width, y1: y + 15, y2: y + 15, class: "lane" }));
      let reach = {};
      for (const [from, to, kind, text, target] of lane.spans) {
        if (from === null || to < view[0] || from > view[1]) continue;
        const x = Math.max(left, left + (from - view[0]) * scale), end = Math.min(width, left + (to - view[0]) * scale);
        // What shares a pixel with the span before is drawn once.
        if (reach[kind] !== undefined && end - reach[kind] < 1) continue;
        const node = draw("rect", { x: x.toFixed(1), y, width: Math.max(3, end - x).toFixed(1), height: 13, class: kind }, text);
        if (target !== null && target !== undefined) node.addEventListener("click", () => show(target));
        svg.append(node);
        reach[kind] = Math.max(end, x + 3);
      }
    });
    const t = rows[index];
    if (t) {
      const x = left + (place(t.at, t.line) - view[0]) * scale;
      if (x >= left && x <= width) svg.append(draw("line", { x1: x, x2: x, y1: 0, y2: list.length * 20, class: "now" }));
    }
    const bottom = list.length * 20 + 16;
    const name = (n) => timed ? lasting(Math.round(n - least)) : "line " + Math.round(n);
    svg.append(label({ x: left, y: bottom }, name(view[0])), label({ x: width, y: bottom, "text-anchor": "end" }, name(view[1])));
    at("axis").replaceChildren(svg);
  }
  function zoom(factor) {
    const t = rows[index], middle = t ? place(t.at, t.line) : (view[0] + view[1]) / 2;
    const half = Math.max((view[1] - view[0]) * factor / 2, timed ? 1000 : 2);
    view = [Math.max(least, middle - half), Math.min(most, middle + half)];
    if (!(view[0] < view[1])) view = [least, most];
    axis();
  }

  function map(slots, changed) {
    const list = ordered(slots).filter((s) => !focus || (s.start < focus[1] && s.start + s.size > focus[0]));
    const svg = draw("svg", { viewBox: "0 0 " + width + " 64" });
    // Sizes by their logarithm: a page and a terabyte are both visible.
    const weight = (s) => Math.log2(Number(s.size) / 4096 + 1) + 1;
    const total = list.reduce((sum, s) => sum + weight(s), 0) || 1;
    let x = 0;
    for (const s of list) {
      const wide = width * weight(s) / total;
      const kind = "slot" + (s.flags & 2 ? " rom" : s.flags & 1 ? " log" : "") + (changed.has(s.key) ? " changed" : "")
        + (found !== null && s.start <= found && found < s.start + s.size ? " found" : "");
      const node = draw("rect", { x: x.toFixed(1), y: 6, width: Math.max(1, wide).toFixed(1), height: 34, class: kind }, "slot " + s.key + " " + range(s.start, s.size));
      node.addEventListener("click", () => search(s.start));
      svg.append(node);
      if (wide > 46) svg.append(label({ x: x + 3, y: 27 }, s.key + " · " + sized(s.size)), label({ x: x + 3, y: 54 }, hex(s.start)));
      x += wide;
    }
    at("map").replaceChildren(svg);
    const body = at("slots").tBodies[0];
    body.replaceChildren(...list.map((s) => {
      const row = make("tr", undefined, "linked");
      for (const text of [s.key, range(s.start, s.size), sized(s.size), hostName(s), flagNames(s.flags), "transaction " + (s.since + 1)]) row.append(make("td", text));
      row.addEventListener("click", () => show(s.since));
      return row;
    }));
    if (!list.length) body.append(row("no slots"));
  }
  const row = (text) => { const tr = make("tr"), td = make("td", text, "empty"); td.colSpan = 8; tr.append(td); return tr; };
  function mapZoom(factor) {
    const slots = ordered(arrayAfter(index));
    if (!slots.length) return;
    if (!focus) { const last = slots[slots.length - 1]; focus = [slots[0].start, last.start + last.size]; }
    const length = focus[1] - focus[0];
    const middle = found !== null ? found : focus[0] + length / 2n;
    const half = factor < 1 ? length / 4n : length;
    focus = [middle > half ? middle - half : 0n, middle + (half > 4096n ? half : 4096n)];
    show(index);
  }

  // Each piece of the new slots with the old slot that had its host pages.
  function pieces(t, before) {
    const old = t.removed.map((key) => before.get(key)).filter(Boolean), list = [];
    const rest = old.map((s) => [[s.host, s.host + s.size]]);
    for (const s of t.added.map(slotOf)) {
      let covered = [];
      old.forEach((o, n) => {
        if (o.object !== s.object) return;
        const from = o.host > s.host ? o.host : s.host, to = o.host + o.size < s.host + s.size ? o.host + o.size : s.host + s.size;
        if (from >= to) return;
        list.push(["slot " + o.key + " " + range(o.start + from - o.host, to - from), "slot " + s.key + " " + range(s.start + from - s.host, to - from), sized(to - from), hostName({ object: o.object, host: from })]);
        covered.push([from, to]);
        rest[n] = rest[n].flatMap(([a, b]) => [[a, from < b ? (from > a ? from : a) : b], [to > a ? to : a, b]].filter(([x, y]) => x < y));
      });
      covered.sort((a, b) => a[0] < b[0] ? -1 : 1);
      let from = s.host;
      for (const [a, b] of [...covered, [s.host + s.size, s.host + s.size]]) {
        if (a > from) list.push(["new", "slot " + s.key + " " + range(s.start + from - s.host, a - from), sized(a - from), hostName({ object: s.object, host: from })]);
        if (b > from) from = b;
      }
    }
    old.forEach((o, n) => { for (const [a, b] of rest[n]) list.push(["slot " + o.key + " " + range(o.start + a - o.host, b - a), "gone", sized(b - a), hostName({ object: o.object, host: a })]); });
    return list;
  }

  function show(i) {
    index = Math.max(0, Math.min(rows.length - 1, i));
    at("slider").value = index;
    const t = rows[index];
    if (!t) { at("moment").textContent = "no transactions"; map(new Map(), new Set()); axis(); return; }
    at("moment").textContent = "after transaction " + (index + 1) + " of " + rows.length + ", line " + t.line
      + (t.at === null ? "" : ", at " + lasting(t.at - least)) + ", thread " + t.thread + ": " + t.what + ", vCPU " + t.guest;
    map(arrayAfter(index), new Set(t.added.map((s) => s[0])));
    at("change").textContent = t.calls.length + " calls, " + t.removed.length + " slots removed or changed, " + t.added.length + " installed";
    const body = at("pieces").tBodies[0];
    body.replaceChildren(...pieces(t, arrayAfter(index - 1)).map((cells) => { const tr = make("tr"); for (const c of cells) tr.append(make("td", c)); return tr; }));
    if (!body.rows.length) body.append(row("no change"));
    at("plan").replaceChildren(...(t.plan || ["not computed: a transaction of one call needs it"]).map((text) => make("li", text)));
    axis();
  }
  function search(address) {
    found = address;
    at("address").value = hex(address);
    const list = make("ul");
    let last = null, since = 0, slots = new Map();
    const close = (to) => {
      if (since >= to && last === null) return;
      const what = last === null ? "no memory" : "slot " + last.key + " at " + range(last.start, last.size) + ", host " + hostName({ object: last.object, host: last.host + address - last.start }) + ", " + flagNames(last.flags);
      const item = make("li", "transactions " + (since + 1) + "–" + to + ": " + what, "linked");
      const target = since;
      item.addEventListener("click", () => show(target));
      list.append(item);
    };
    rows.forEach((t, i) => {
      step(slots, t, i);
      const hits = [...slots.values()].filter((s) => s.space === "0" && s.start <= address && address < s.start + s.size);
      const hit = hits[0] || null;
      if (i === 0) { last = hit; return; }
      const same = hit === null ? last === null : last !== null && hit.key === last.key && hit.host === last.host && hit.start === last.start && hit.size === last.size && hit.flags === last.flags;
      if (!same) { close(i); last = hit; since = i; }
    });
    if (rows.length) close(rows.length);
    const missing = holes.filter((h) => h.vm === vm && big(h.start) <= address && address < big(h.start) + big(h.size));
    for (const h of missing) {
      const item = make("li", "missing between line " + h.lines[0] + " and line " + h.lines[1] + ", at most " + lasting(h.atMost) + ", vCPU " + h.guest, "linked hole-verdict");
      item.addEventListener("click", () => show(h.transaction));
      list.append(item);
    }
    at("found").replaceChildren(make("p", "What is at " + hex(address) + ":"), list);
    show(index);
  }

  // A click, or Enter, leads to a transaction of a VM, and to an address.
  function link(node, machine, target, address) {
    if (target === null || target < 0) return node;
    node.classList.add("linked");
    node.tabIndex = 0;
    node.addEventListener("click", () => {
      if (machine !== vm) choose(machine);
      show(target);
      if (address) search(big(address));
      at("moment").scrollIntoView({ block: "center" });
    });
    node.addEventListener("keydown", (e) => { if (e.key === "Enter") node.click(); });
    return node;
  }
  at("name").textContent = document.title = data.name;
  at("headline").textContent = data.headline;
  at("unknown").replaceChildren(...data.unknownBecause.map((text) => make("li", "unknown because " + text)));
  data.machines.forEach((name, n) => { const option = make("option", name); option.value = n; at("vm").append(option); });
  at("vm-label").hidden = data.machines.length < 2;
  choose(0);
  const table = at("holes").tBodies[0];
  const listed = holes.slice(0, 2000);
  table.replaceChildren(...listed.map((h) => {
    const tr = make("tr");
    for (const text of [range(big(h.start), big(h.size)), sized(big(h.size)), h.lines.join("–"), lasting(h.certain), lasting(h.atMost), h.backing, h.guest]) tr.append(make("td", text));
    tr.append(make("td", h.verdict, h.verdict === "hole" ? "hole-verdict" : ""));
    return link(tr, h.vm, h.transaction);
  }));
  if (!holes.length) table.append(row("none"));
  if (holes.length > listed.length) table.append(row("and " + (holes.length - listed.length) + " more, in the data of this page"));
  const fill = (id, items) => { at(id).replaceChildren(...items); if (!items.length) at(id).append(make("li", "none", "empty")); };
  fill("failures", data.failures.map((f) => link(make("li", "line " + f.line + ": " + f.call + ": " + f.text), f.vm, before(f.vm, f.line))));
  fill("findings", data.findings.map((f) => link(make("li", f.severity + ": " + f.text, f.severity), f.vm, own(f.vm).length - 1, f.start)));
  fill("notes", data.notes.map((text) => make("li", text)));

  const nextHole = () => { const next = holes.map((h) => h.vm === vm ? h.transaction : -1).filter((n) => n > index).sort((a, b) => a - b)[0]; if (next !== undefined) show(next); };
  at("slider").addEventListener("input", (e) => show(Number(e.target.value)));
  at("first").addEventListener("click", () => show(0));
  at("previous").addEventListener("click", () => show(index - 1));
  at("next").addEventListener("click", () => show(index + 1));
  at("last").addEventListener("click", () => show(rows.length - 1));
  at("next-hole").addEventListener("click", nextHole);
  at("time-in").addEventListener("click", () => zoom(0.5));
  at("time-out").addEventListener("click", () => zoom(2));
  at("time-all").addEventListener("click", () => { view = [least, most]; axis(); });
  at("map-in").addEventListener("click", () => mapZoom(0.5));
  at("map-out").addEventListener("click", () => mapZoom(2));
  at("map-all").addEventListener("click", () => { focus = null; found = null; at("found").replaceChildren(); show(index); });
  at("vm").addEventListener("change", (e) => choose(Number(e.target.value)));
  at("search").addEventListener("submit", (e) => {
    e.preventDefault();
    const text = at("address").value.trim();
    if (/^(0x[0-9a-fA-F]{1,16}|[0-9]{1,20})$/.test(text)) search(BigInt(text));
    else at("found").replaceChildren(make("p", "an address is 0x… or decimal", "error"));
  });
  document.addEventListener("keydown", (e) => {
    if (e.target.matches("input, select") || e.ctrlKey || e.metaKey || e.altKey) return;
    const actions = { ArrowLeft: () => show(index - 1), ArrowRight: () => show(index + 1), Home: () => show(0), End: () => show(rows.length - 1),
      h: nextHole, "/": () => at("address").focus(), "+": () => zoom(0.5), "-": () => zoom(2), 0: () => at("time-all").click() };
    if (actions[e.key]) { e.preventDefault(); actions[e.key](); }
  });
})();
