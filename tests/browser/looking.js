// Run in the page by seen.py: what is wrong with what is drawn now.
({
faults: (least) => {
  const root = document.querySelector("#dreambooth_root");
  const paint = document.createElement("canvas").getContext("2d", {willReadFrequently: true});
  const said = (one) => `${one.tagName.toLowerCase()}${one.id ? "#" + one.id : "." + one.className} `
    + `"${(one.textContent || one.placeholder || "").trim().slice(0, 40)}"`;
  const seen = [...root.querySelectorAll("*")].filter((one) => one.checkVisibility({checkOpacity: true, checkVisibilityCSS: true}));
  const ROOM = 1.5;

  // Colours of any notation as numbers, alpha from 0 to 1.
  const colours = new Map();
  function rgba(text) {
    if (!colours.has(text)) {
      paint.clearRect(0, 0, 1, 1);
      paint.fillStyle = text;
      paint.fillRect(0, 0, 1, 1);
      const [r, g, b, a] = paint.getImageData(0, 0, 1, 1).data;
      colours.set(text, [r, g, b, a / 255]);
    }
    return colours.get(text);
  }
  const over = (top, below) => [0, 1, 2].map((n) => top[n] * top[3] + below[n] * (1 - top[3])).concat(1);
  // The colours that may lie under an element: one, or those of a gradient.
  function grounds(one) {
    if (!one || one === document.documentElement) return [rgba(getComputedStyle(document.body).backgroundColor)[3] ? rgba(getComputedStyle(document.body).backgroundColor) : [255, 255, 255, 1]];
    const style = getComputedStyle(one);
    const drawn = (style.backgroundImage.match(/(rgba?|color|oklch|oklab|hsla?)\([^()]*\)/g) || []).map(rgba);
    const own = drawn.length ? drawn : [rgba(style.backgroundColor)];
    if (own.every((colour) => colour[3] === 1)) return own;
    const below = grounds(one.parentElement);
    return own.flatMap((colour) => below.map((other) => over(colour, other)));
  }
  const bright = (colour) => {
    const [r, g, b] = colour.slice(0, 3).map((n) => n / 255).map((n) => (n <= 0.04045 ? n / 12.92 : ((n + 0.055) / 1.055) ** 2.4));
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const ratio = (one, other) => {
    const [dark, light] = [bright(one), bright(other)].sort((a, b) => a - b);
    return (light + 0.05) / (dark + 0.05);
  };
  function opacity(one) {
    let found = 1;
    for (let here = one; here && here !== document.documentElement; here = here.parentElement) found *= Number(getComputedStyle(here).opacity);
    return found;
  }
  function contrast(one, colour) {
    const alpha = colour[3] * opacity(one);
    return Math.min(...grounds(one).map((ground) => ratio(over([...colour.slice(0, 3), alpha], ground), ground)));
  }
  const isOff = (one) => Boolean(one.closest(":disabled, [aria-disabled=true]"));
  const hasText = (one) => [...one.childNodes].some((node) => node.nodeType === 3 && node.data.trim());
  const isBox = (one) => ["INPUT", "SELECT", "TEXTAREA"].includes(one.tagName) && !["checkbox", "radio", "range", "file"].includes(one.type);
  const texts = seen.filter((one) => hasText(one) && !["OPTION", "SCRIPT", "STYLE"].includes(one.tagName));

  const faint = [];
  for (const one of [...texts, ...seen.filter(isBox)]) {
    if (isOff(one)) continue;
    const style = getComputedStyle(one);
    const colour = rgba(one instanceof SVGElement ? style.fill : style.color);
    const found = contrast(one, colour);
    if (found < least) faint.push(`${found.toFixed(2)} ${said(one)}`);
    if (isBox(one) && one.placeholder && !one.value) {
      const held = contrast(one, rgba(getComputedStyle(one, "::placeholder").color));
      if (held < least) faint.push(`${held.toFixed(2)} placeholder of ${said(one)}`);
    }
  }

  // Words that leave their element, or an element around it that hides what leaves it.
  const cut = [];
  const range = document.createRange();
  for (const one of texts) {
    if (one.closest("svg, output, figcaption")) continue;
    const style = getComputedStyle(one);
    if (["hidden", "clip", "auto", "scroll"].includes(style.overflowX) && one.scrollWidth > one.clientWidth + ROOM) cut.push(`inside ${said(one)}`);
    for (const node of one.childNodes) {
      if (node.nodeType !== 3 || !node.data.trim()) continue;
      range.selectNodeContents(node);
      const box = range.getBoundingClientRect();
      const own = one.getBoundingClientRect();
      if (style.display !== "inline" && (box.right > own.right + ROOM || box.left < own.left - ROOM)) cut.push(`outside ${said(one)}`);
      if (box.right > innerWidth + ROOM || box.left < -ROOM) cut.push(`beyond the window ${said(one)}`);
    }
  }
  for (const one of seen.filter(isBox)) {
    const style = getComputedStyle(one);
    paint.font = `${style.fontWeight} ${style.fontSize} ${style.fontFamily}`;
    const text = one.tagName === "SELECT" ? (one.selectedOptions[0] || {}).textContent : one.value ? "" : one.placeholder;
    const room = one.clientWidth - parseFloat(style.paddingLeft) - parseFloat(style.paddingRight) - (one.tagName === "SELECT" ? 16 : 0);
    if (text && one.tagName !== "TEXTAREA" && paint.measureText(text).width > room + ROOM) cut.push(`${Math.round(paint.measureText(text).width)} > ${Math.round(room)} in ${said(one)} "${text}"`);
  }

  // Controls and labels that lie over each other.
  const overlapping = [];
  const solid = seen.filter((one) => one.matches("input:not(.dreambooth-hidden), select, textarea, button, summary, a, .dreambooth-label, .dreambooth-hint, .dreambooth-unit, h3, h4"));
  const boxes = solid.map((one) => [one, one.getBoundingClientRect()]).filter(([, box]) => box.width && box.height);
  for (let n = 0; n < boxes.length; n += 1) for (let m = n + 1; m < boxes.length; m += 1) {
    const [[one, a], [other, b]] = [boxes[n], boxes[m]];
    if (one.contains(other) || other.contains(one)) continue;
    const wide = Math.min(a.right, b.right) - Math.max(a.left, b.left);
    const high = Math.min(a.bottom, b.bottom) - Math.max(a.top, b.top);
    if (wide > ROOM && high > ROOM) overlapping.push(`${said(one)} and ${said(other)}`);
  }
  const wide = Math.max(document.documentElement.scrollWidth, document.body.scrollWidth);
  return {faint: [...new Set(faint)], cut: [...new Set(cut)], overlapping, wide: wide > innerWidth ? [`${wide} px in a window of ${innerWidth}`] : []};
},

// Every control that can be tabbed to: whether it looks the same with the focus as without.
hiddenFocus: () => {
  const root = document.querySelector("#dreambooth_root");
  const look = (one) => {
    const parts = [one, one.closest("label"), one.closest(".dreambooth-drop")].filter(Boolean);
    return parts.map((part) => { const style = getComputedStyle(part); return [style.outlineStyle, style.outlineWidth, style.outlineColor, style.boxShadow, style.borderColor].join(); }).join("|");
  };
  const all = [...root.querySelectorAll("button, input, select, textarea, summary, a[href], [tabindex='0']")].filter((one) => one.checkVisibility({checkVisibilityCSS: true}) && !one.disabled && one.tabIndex >= 0);
  const hidden = [];
  document.activeElement.blur();
  for (const one of all) {
    const before = look(one);
    one.focus({preventScroll: true, focusVisible: true});
    if (document.activeElement !== one || look(one) === before) hidden.push(`${one.tagName} ${one.id || one.className}`);
    one.blur();
  }
  return [...new Set(hidden)];
},
})
