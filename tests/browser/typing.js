// Run in the page by typing.py: writes into the controls of settings as a person does, one after the other.
(async (wanted) => {
  const wrong = [];
  const tell = (one, kind) => one.dispatchEvent(new Event(kind, { bubbles: true }));
  const write = (box, text) => {
    box.focus();
    box.select();
    // As typed: the page gets the browser's own events.
    if (text) document.execCommand("insertText", false, text);
    else document.execCommand("delete");
  };
  const choose = (list, text) => {
    const number = [...list.options].findIndex((one) => one.value === text || one.textContent === text);
    if (number < 0) throw new Error(`no ${text} among ${[...list.options].map((one) => one.textContent)}`);
    list.focus();
    list.selectedIndex = number;
    tell(list, "input");
    tell(list, "change");
  };
  for (const [panel, path, typed] of wanted) {
    const field = document.querySelector(`#dreambooth_panel_${panel} [data-path="${path}"]`);
    try {
      const ticks = field.querySelector(".dreambooth-ticks");
      const units = field.querySelector(".dreambooth-units");
      const box = field.querySelector("input, select, textarea");
      if (!field.checkVisibility()) throw new Error("is not seen");
      if (ticks) {
        for (const one of ticks.querySelectorAll("input")) if (one.checked !== typed.split("\n").includes(one.value)) one.click();
      } else if (box.type === "checkbox") {
        if (box.checked !== (typed === "true")) box.click();
      } else if (box.tagName === "SELECT") choose(box, typed);
      else if (units) {
        const [amount, unit] = typed.split(" ");
        choose(units, unit);
        write(box, amount);
      } else write(box, typed);
    } catch (error) {
      wrong.push(`${path}: ${error.message}`);
    }
    document.activeElement.blur();
  }
  return wrong;
})
