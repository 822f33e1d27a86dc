(() => {
  "use strict";
  const $ = (id) => document.getElementById(id);
  const { measures, rows } = JSON.parse($("data").textContent);
  const LAYERS = ["rainy", "restored", "clean"];
  const STEP = 100;

  const make = (tag, properties = {}, ...children) => {
    const node = Object.assign(document.createElement(tag), properties);
    node.append(...children);
    return node;
  };
  const print = (value, decimals, signed) =>
    value === null ? "–" : value === "Infinity" ? "∞" : (signed && value > 0 ? "+" : "") + value.toFixed(decimals);
  const size = (row) => `${row.width} × ${row.height}`;

  // ---- previews: parsed when they are looked at, and only then decoded

  const kept = new Map(); // a few pictures around the present one
  async function previews(index) {
    if (kept.has(index)) return kept.get(index);
    // they stand at the end of a long page, and are whole once something stands behind them
    while (document.readyState === "loading" && !$("p" + index)?.nextElementSibling) {
      await new Promise((done) => setTimeout(done, 50));
    }
    const files = JSON.parse($("p" + index).textContent);
    for (const name of Object.keys(files)) files[name] = "data:image/webp;base64," + files[name];
    kept.set(index, files);
    if (kept.size > 60) kept.delete(kept.keys().next().value);
    return files;
  }

  // ---- the viewer

  let current = -1;
  let mode = null;
  let layers = [];
  const MODES = [
    ["rainy", "restored", "clean"],
    ["rainy", "restored"],
    ["restored", "clean"],
    ["rainy", "clean"],
  ];
  const name = (each) => (each.length === 3 ? "All three" : each.map((part) => part[0].toUpperCase() + part.slice(1)).join(" | "));

  async function show(index) {
    const row = rows[index];
    current = index;
    $("viewer").hidden = false;
    $("name").textContent = row.name;
    const before = row.rainy || {};
    const scores = measures.map((m, i) => [m, row.values[i]]).filter(([m, value]) => value !== null && m.key !== "gain")
      .map(([m, value]) => `${m.title} ${print(value, m.decimals)}`
        + (m.key in before ? ` (rainy ${print(before[m.key], m.decimals)})` : ""));
    $("facts").textContent = [size(row), ...scores, ...(row.notes || [])].join(" · ");
    for (const each of $("body").rows) {
      if (Number(each.dataset.index) === index) each.setAttribute("aria-current", "true");
      else each.removeAttribute("aria-current");
    }
    const shown = row.preview || [row.width, row.height];
    const stage = $("stage");
    stage.style.aspectRatio = `${shown[0]} / ${shown[1]}`;
    stage.style.width = `min(100%, calc(62vh * ${shown[0] / shown[1]}))`;
    const files = await previews(index);
    if (current !== index) return;
    offer(LAYERS.filter((layer) => files[layer]));
    $("map").hidden = !files.error;
    $("error").src = files.error || "";
    $("error").hidden = !files.error;
    draw(files);
  }

  function offer(available) {
    const modes = MODES.filter((each) => each.every((layer) => available.includes(layer)));
    const names = modes.map(name).join();
    if ($("modes").dataset.names === names) return;
    $("modes").dataset.names = names;
    for (const label of [...$("modes").querySelectorAll("label")]) label.remove();
    layers = modes.find((each) => name(each) === mode) || modes[0] || available.slice(0, 1);
    for (const each of modes) {
      const radio = make("input", { type: "radio", name: "mode", value: name(each), checked: each === layers });
      radio.addEventListener("change", async () => {
        layers = each;
        mode = name(each);
        place(layers.length === 3 ? [33, 67] : [50]);
        draw(await previews(current));
      });
      $("modes").append(make("label", {}, radio, make("span", { textContent: name(each) })));
    }
    place(layers.length === 3 ? [33, 67] : [50]);
  }

  function draw(files) {
    ["under", "middle", "over"].forEach((id, i) => {
      const layer = layers[i];
      $(id).hidden = !layer || !files[layer];
      if (layer && files[layer]) {
        $(id).src = files[layer];
        $(id).alt = `${layer}: ${rows[current].name}`;
      } else {
        $(id).removeAttribute("src");
      }
      $("label-" + i).textContent = layer || "";
    });
    $("error").alt = `Error map of ${rows[current].name}: bright where the restored picture is wrong`;
    $("a").setAttribute("aria-label", `Border between ${layers[0]} and ${layers[1]}`);
    $("b").setAttribute("aria-label", `Border between ${layers[1]} and ${layers[2]}`);
    arrange();
  }

  function place([a, b]) {
    $("a").value = a;
    $("b").value = b ?? 100;
  }

  function arrange() {
    const count = layers.length;
    const covered = $("map").getAttribute("aria-pressed") === "true" && !$("map").hidden;
    const a = Number($("a").value);
    const b = count === 3 ? Number($("b").value) : 100;
    $("middle").style.clipPath = `inset(0 0 0 ${a}%)`;
    $("over").style.clipPath = `inset(0 0 0 ${b}%)`;
    $("error").style.visibility = covered ? "visible" : "hidden";
    $("legend").hidden = !covered;
    $("stage").classList.toggle("single", covered || count < 2);
    $("hint").hidden = covered || count < 2;
    $("modes").hidden = covered || $("modes").querySelectorAll("label").length < 2;
    for (const [id, at, wanted] of [["a", a, count > 1], ["b", b, count > 2]]) {
      $("line-" + id).hidden = !wanted || covered;
      $("line-" + id).style.left = at + "%";
      const [width, half] = [$("stage").clientWidth, 17]; // the grip stays inside
      const inside = Math.max(half, Math.min(width - half, (at / 100) * width));
      $("line-" + id).firstChild.style.transform = `translateX(${inside - (at / 100) * width}px)`;
      $(id).hidden = !wanted || covered;
      $(id).setAttribute("aria-valuetext", `${at} percent`);
    }
    [[0, count > 1 ? a : 100], [a, b], [b, 100]].forEach(([from, to], i) => {
      const label = $("label-" + i);
      label.hidden = covered || i >= count || (to - from) / 100 * $("stage").clientWidth < label.textContent.length * 8 + 24;
      label.style.left = (from + to) / 2 + "%";
    });
  }

  function slide(id, at) {
    const bound = layers.length === 3;
    const low = id === "b" ? Number($("a").value) : 0;
    const high = id === "a" && bound ? Number($("b").value) : 100;
    $(id).value = Math.max(low, Math.min(high, at));
    arrange();
  }

  for (const id of ["a", "b"]) {
    $(id).addEventListener("input", () => slide(id, Number($(id).value)));
    $(id).addEventListener("focus", () => $("line-" + id).classList.toggle("focused", $(id).matches(":focus-visible")));
    $(id).addEventListener("blur", () => $("line-" + id).classList.remove("focused"));
  }
  let dragged = null;
  const where = (event) => {
    const box = $("stage").getBoundingClientRect();
    return ((event.clientX - box.left) / box.width) * 100;
  };
  $("stage").addEventListener("pointerdown", (event) => {
    if ($("stage").classList.contains("single") || event.button) return;
    const at = where(event);
    const nearer = (id) => Math.abs(Number($(id).value) - at);
    const apart = nearer("a") - nearer("b");
    dragged = layers.length < 3 || apart < 0 || (apart === 0 && at < Number($("a").value)) ? "a" : "b";
    $("stage").setPointerCapture(event.pointerId);
    $(dragged).focus({ preventScroll: true });
    slide(dragged, at);
    event.preventDefault();
  });
  $("stage").addEventListener("pointermove", (event) => {
    if (dragged) slide(dragged, where(event));
  });
  for (const end of ["pointerup", "pointercancel"]) $("stage").addEventListener(end, () => { dragged = null; });
  window.addEventListener("resize", () => { if (current >= 0) arrange(); });

  $("map").addEventListener("click", () => {
    $("map").setAttribute("aria-pressed", String($("map").getAttribute("aria-pressed") !== "true"));
    arrange();
  });

  // ---- the table

  let order = [];
  let sorted = { column: 0, up: measures.length ? measures[0].better > 0 : true }; // the worst first
  let drawn = 0;
  const number = (value) => (value === null ? NaN : value === "Infinity" ? Infinity : value);
  const collator = new Intl.Collator(undefined, { numeric: true });
  const byName = (a, b) => collator.compare(rows[a].name, rows[b].name);

  const watcher = new IntersectionObserver((entries) => {
    for (const entry of entries) {
      if (!entry.isIntersecting) continue;
      watcher.unobserve(entry.target);
      previews(Number(entry.target.dataset.index)).then((files) => {
        if (files.restored) entry.target.src = files.restored;
      });
    }
  }, { root: document.querySelector(".scroll"), rootMargin: "200px" });

  function head() {
    const cell = (title, column, key) => {
      const button = make("button", { type: "button", textContent: title });
      const th = make("th", { scope: "col", className: key }, button);
      button.addEventListener("click", () => {
        sorted = { column, up: sorted.column === column ? !sorted.up : true };
        list();
      });
      return th;
    };
    $("head").append(make("th", { scope: "col" }, make("span", { className: "hidden", textContent: "Preview" })));
    $("head").append(cell("Picture", -1, "name"), ...measures.map((m, i) => cell(m.title, i, m.key)));
  }

  function list() {
    const text = $("filter").value.trim().toLowerCase();
    const limit = $("below").value === "" ? Infinity : Number($("below").value);
    order = rows.map((_, i) => i).filter((i) => rows[i].name.toLowerCase().includes(text)
      && (limit === Infinity || number(rows[i].values[0]) < limit));
    const { column, up } = sorted;
    order.sort((a, b) => {
      if (column < 0) return up ? byName(a, b) : byName(b, a);
      const [x, y] = [a, b].map((i) => number(rows[i].values[column]));
      if (Number.isNaN(x) || Number.isNaN(y)) return Number.isNaN(x) - Number.isNaN(y); // without a value: last
      return (x === y ? 0 : (x < y ? -1 : 1) * (up ? 1 : -1)) || byName(a, b);
    });
    [...$("head").cells].slice(1).forEach((th, i) => {
      if (i - 1 === column) th.setAttribute("aria-sort", up ? "ascending" : "descending");
      else th.removeAttribute("aria-sort");
    });
    $("count").textContent = order.length === rows.length ? `${rows.length}` : `${order.length} of ${rows.length}`;
    $("body").replaceChildren();
    drawn = 0;
    if (!order.length) {
      const cell = make("td", { colSpan: measures.length + 2, textContent: "No picture matches." });
      $("body").append(make("tr", { className: "none" }, cell));
    }
    more();
  }

  function more() {
    for (const index of order.slice(drawn, drawn + STEP)) $("body").append(line(index));
    drawn = Math.min(order.length, drawn + STEP);
    $("more").hidden = drawn >= order.length;
  }

  function line(index) {
    const row = rows[index];
    const button = make("button", { type: "button", textContent: row.name });
    const title = make("td", {}, button);
    if (row.notes) title.append(make("small", { textContent: row.notes.join("; ") }));
    const thumb = make("td");
    if (row.preview) {
      const image = make("img", { className: "thumb", alt: "" });
      image.dataset.index = index;
      thumb.append(image);
      watcher.observe(image);
    }
    const tr = make("tr", {}, thumb, title, ...row.values.map((value, i) =>
      make("td", { textContent: print(value, measures[i].decimals, measures[i].key === "gain"), className: measures[i].key })));
    tr.dataset.index = index;
    if (index === current) tr.setAttribute("aria-current", "true");
    tr.addEventListener("click", () => show(index));
    button.addEventListener("keydown", (event) => {
      const other = { ArrowDown: tr.nextElementSibling, ArrowUp: tr.previousElementSibling }[event.key];
      if (!other) return;
      event.preventDefault();
      other.querySelector("button").focus();
      show(Number(other.dataset.index));
    });
    return tr;
  }

  function step(by) {
    if (!order.length) return;
    const at = order.indexOf(current);
    const next = (at < 0 ? (by > 0 ? -1 : 0) : at) + by;
    const index = order[(next + order.length) % order.length];
    while (order.indexOf(index) >= drawn) more();
    show(index);
    const scroll = document.querySelector(".scroll");
    const tr = [...$("body").rows].find((each) => Number(each.dataset.index) === index);
    const top = tr.offsetTop - $("head").offsetHeight;
    if (top < scroll.scrollTop) scroll.scrollTop = top;
    else if (tr.offsetTop + tr.offsetHeight > scroll.scrollTop + scroll.clientHeight) {
      scroll.scrollTop = tr.offsetTop + tr.offsetHeight - scroll.clientHeight;
    }
  }
  $("previous").addEventListener("click", () => step(-1));
  $("next").addEventListener("click", () => step(1));
  $("filter").addEventListener("input", list);
  $("below").addEventListener("input", list);
  $("more").addEventListener("click", more);
  document.querySelector(".scroll").addEventListener("scroll", (event) => {
    const box = event.target;
    if (!$("more").hidden && box.scrollTop + box.clientHeight > box.scrollHeight - 300) more();
  }, { passive: true });

  // ---- zoom: the originals where they are, the previews where they are not

  let layer = "restored";
  let scale = 0; // 0 fits the window
  async function enlarge() {
    const row = rows[current];
    const files = await previews(current);
    const choices = [...LAYERS, "error"].filter((each) => files[each] || (row.files || {})[each]);
    if (!choices.includes(layer)) layer = choices[0];
    $("dialog-name").textContent = row.name;
    for (const label of [...$("layers").querySelectorAll("label")]) label.remove();
    choices.forEach((each) => {
      const radio = make("input", { type: "radio", name: "layer", value: each, checked: each === layer });
      radio.addEventListener("change", () => { layer = each; load(); });
      $("layers").append(make("label", {}, radio, make("span", { textContent: each === "error" ? "error map" : each })));
    });
    scale = 0;
    if (!$("dialog").open) $("dialog").showModal();
    load();
    $("pan").focus();
  }

  async function load() {
    const row = rows[current];
    const [wanted, files] = [layer, await previews(current)];
    const original = (row.files || {})[wanted];
    const image = $("large");
    const say = (kind) => {
      $("kind").textContent = kind;
      $("kind").classList.toggle("preview", kind === "preview");
      $("kind").hidden = wanted === "error";
    };
    const fall = () => {
      image.onload = image.onerror = null;
      say("preview");
      if (files[wanted]) image.src = files[wanted];
    };
    image.alt = `${wanted}: ${row.name}`;
    resize();
    image.onerror = fall;
    image.onload = () => {
      const turned = image.naturalWidth === row.width && image.naturalHeight === row.height;
      if (turned) say("original");
      else fall(); // another file stands at its place now
    };
    if (original) image.src = original;
    else fall();
  }

  function resize() {
    const row = rows[current];
    const fit = Math.min($("pan").clientWidth / row.width, $("pan").clientHeight / row.height);
    const factor = scale || fit;
    $("large").style.width = row.width * factor + "px";
    $("large").style.height = row.height * factor + "px";
    $("large").style.imageRendering = factor >= 3 ? "pixelated" : "auto";
    $("scale").textContent = scale ? Math.round(scale * 100) + " %" : "Fit";
    return factor;
  }

  function zoom(by, x = $("pan").clientWidth / 2, y = $("pan").clientHeight / 2) {
    const pan = $("pan");
    const before = resize();
    const [left, top] = [pan.scrollLeft + x, pan.scrollTop + y];
    scale = Math.min(16, Math.max(0.05, before * by));
    resize();
    pan.scrollLeft = (left * scale) / before - x;
    pan.scrollTop = (top * scale) / before - y;
  }
  $("zoom").addEventListener("click", enlarge);
  $("larger").addEventListener("click", () => zoom(1.5));
  $("smaller").addEventListener("click", () => zoom(1 / 1.5));
  $("scale").addEventListener("click", () => { scale = scale ? 0 : 1; resize(); });
  $("close").addEventListener("click", () => $("dialog").close());
  $("pan").addEventListener("wheel", (event) => {
    event.preventDefault();
    const box = $("pan").getBoundingClientRect();
    zoom(event.deltaY < 0 ? 1.2 : 1 / 1.2, event.clientX - box.left, event.clientY - box.top);
  }, { passive: false });
  let held = null;
  $("pan").addEventListener("pointerdown", (event) => {
    if (event.pointerType !== "mouse" || event.button) return; // fingers scroll by themselves
    held = [event.clientX + $("pan").scrollLeft, event.clientY + $("pan").scrollTop];
    $("pan").setPointerCapture(event.pointerId);
  });
  $("pan").addEventListener("pointermove", (event) => {
    if (held) $("pan").scrollTo(held[0] - event.clientX, held[1] - event.clientY);
  });
  for (const end of ["pointerup", "pointercancel"]) $("pan").addEventListener(end, () => { held = null; });
  $("pan").addEventListener("dragstart", (event) => event.preventDefault());
  $("dialog").addEventListener("keydown", (event) => {
    const radios = [...$("layers").querySelectorAll("input")];
    const number = Number(event.key);
    if (number >= 1 && number <= radios.length) radios[number - 1].click();
    else if (event.key === "+") zoom(1.5);
    else if (event.key === "-") zoom(1 / 1.5);
  });
  window.addEventListener("resize", () => { if ($("dialog").open) resize(); });

  // ---- light and dark

  const dark = () => (document.documentElement.dataset.theme
    ? document.documentElement.dataset.theme === "dark"
    : matchMedia("(prefers-color-scheme: dark)").matches);
  const paint = () => $("theme").setAttribute("aria-pressed", String(dark()));
  $("theme").addEventListener("click", () => {
    document.documentElement.dataset.theme = dark() ? "light" : "dark";
    paint();
  });
  paint();

  if (measures.length) $("below-label").firstChild.textContent = measures[0].title + " below ";
  head();
  list();
  if (order.length) show(order[0]);
})();
