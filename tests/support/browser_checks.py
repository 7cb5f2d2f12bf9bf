"""What can be checked of any page by rule: names, contrast, width."""

from typing import Any

from playwright.async_api import Page

# In the page: every text with its colour and what is behind it, composed from all that
# is partly transparent. Text of no size, and what is not shown, is left out.
_COLOURS = """() => {
  const read = (text) => {
    const parts = text.match(/[\\d.]+/g).map(Number);
    return parts.length < 4 ? [...parts, 1] : parts;
  };
  const mix = (top, under, i) => top[i] * top[3] + under[i] * (1 - top[3]);
  const over = (top, under) => [mix(top, under, 0), mix(top, under, 1), mix(top, under, 2), 1];
  const behind = (element) => {
    const layers = [];
    for (let at = element; at; at = at.parentElement) {
      layers.unshift(read(getComputedStyle(at).backgroundColor));
    }
    return layers.reduce((under, top) => over(top, under), [255, 255, 255, 1]);
  };
  const found = [];
  const note = (element, text, style) => {
    const under = behind(element);
    const colour = read(style.color);
    colour[3] *= Number(style.opacity);
    const large = parseFloat(style.fontSize) >= 24
      || (parseFloat(style.fontSize) >= 18.66 && Number(style.fontWeight) >= 700);
    found.push({ text, colour: over(colour, under), under, large });
  };
  for (const element of document.querySelectorAll("body *")) {
    if (!element.checkVisibility()) continue;
    if (element.closest(".unseen, svg, noscript, script, style")) continue;
    const own = [...element.childNodes].filter((n) => n.nodeType === 3 && n.data.trim());
    const style = getComputedStyle(element);
    if (own.length) note(element, own[0].data.trim(), style);
    if (!element.matches("input, select")) continue;
    const empty = element.placeholder && !element.value;
    if (empty) note(element, element.placeholder, getComputedStyle(element, "::placeholder"));
    else if (element.value) note(element, element.value, style);
  }
  return found;
}"""

# In the page: controls without a name, ids that occur twice, references that lead nowhere.
_FAULTS = """() => {
  const faults = [];
  if (document.documentElement.lang !== "en") faults.push("no language");
  if (!document.title.trim()) faults.push("no title");
  if (document.querySelectorAll("main").length !== 1) faults.push("not one main");
  if (document.querySelectorAll("h1").length !== 1) faults.push("not one h1");
  for (const control of document.querySelectorAll("input:not([type=hidden]), select, textarea")) {
    const text = [...control.labels].map((label) => label.textContent.trim()).join(" ");
    if (!text) faults.push(`no label: ${control.outerHTML}`);
  }
  for (const thing of document.querySelectorAll("button, a, summary")) {
    const name = thing.getAttribute("aria-label") || thing.textContent;
    if (!name.trim()) faults.push(`no name: ${thing.outerHTML}`);
  }
  for (const picture of document.querySelectorAll("svg")) {
    if (picture.getAttribute("aria-hidden") !== "true") faults.push("a picture that is read out");
  }
  const ids = [...document.querySelectorAll("[id]")].map((element) => element.id);
  if (new Set(ids).size !== ids.length) faults.push("an id twice");
  for (const name of ["for", "aria-describedby", "aria-labelledby", "form"]) {
    for (const element of document.querySelectorAll(`[${name}]`)) {
      for (const id of element.getAttribute(name).split(" ")) {
        if (!document.getElementById(id)) faults.push(`${name}=${id} leads nowhere`);
      }
    }
  }
  for (const group of document.querySelectorAll("fieldset")) {
    if (!group.querySelector("legend")?.textContent.trim()) faults.push("a group without a legend");
  }
  for (const element of document.querySelectorAll("[style], [onclick], [tabindex]")) {
    if (Number(element.getAttribute("tabindex")) > 0) faults.push("an order of its own");
    if (element.style.length || element.onclick) faults.push("inline style or handler");
  }
  return faults;
}"""

_OVERFLOW = """() => {
  const width = document.documentElement.clientWidth;
  return [...document.querySelectorAll("body *")]
    .filter((e) => e.checkVisibility() && !e.closest(".unseen"))
    .filter((e) => e.getBoundingClientRect().right > width + 0.5)
    .map((e) => e.outerHTML.slice(0, 120))
    .concat(document.documentElement.scrollWidth > width ? ["the page scrolls"] : []);
}"""


async def faults_of(page: Page) -> list[str]:
    """Return what assistive technology would stumble over."""
    found: list[str] = await page.evaluate(_FAULTS)
    return found


async def too_wide(page: Page) -> list[str]:
    """Return what sticks out on the right."""
    found: list[str] = await page.evaluate(_OVERFLOW)
    return found


async def pale_texts(page: Page) -> list[str]:
    """Return the texts whose contrast is below 4.5, or 3 for large ones (WCAG 2.2, 1.4.3)."""
    await page.evaluate("Promise.all(document.getAnimations().map((one) => one.finished))")
    texts = await page.evaluate(_COLOURS)
    assert texts
    return [
        f"{one['text']}: {contrast(one):.2f}"
        for one in texts
        if contrast(one) < (3 if one["large"] else 4.5)
    ]


def contrast(one: dict[str, Any]) -> float:
    """Return the contrast of a text with what is behind it (WCAG 2.2, contrast ratio)."""
    bright, dark = sorted((_luminance(one["colour"]), _luminance(one["under"])), reverse=True)
    return (bright + 0.05) / (dark + 0.05)


def _luminance(colour: list[float]) -> float:
    shares = [part / 255 for part in colour[:3]]
    parts = [x / 12.92 if x <= 0.04045 else ((x + 0.055) / 1.055) ** 2.4 for x in shares]
    return 0.2126 * parts[0] + 0.7152 * parts[1] + 0.0722 * parts[2]
