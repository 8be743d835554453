"""Walks without a mouse: Tab, Enter, Space, arrows and typed text reach everything.

Each stop on the way has to be one that a reader sees: inside the window, on top, with a mark of the
focus, and without a page that scrolls sideways.
"""

from __future__ import annotations

import pytest
from selenium.webdriver.common.keys import Keys

from tests.sipdomains.web.test_in_browser import press, size, wait

DESK, PHONE = (1366, 900), (390, 844)
MOST_STOPS = 150
PATIENCE = 40  # seconds, for a machine that is busy with other tests

# What has the focus: whether it is what is looked for, and what is wrong with the stop.
_STOP = """
const [wanted, width] = arguments;
const stop = document.activeElement;
if (!stop || stop === document.body) return [false, ""];
const found = stop.matches(wanted);
const box = stop.getBoundingClientRect();
const name = stop.outerHTML.slice(0, 160);
const fault = (() => {
  if (document.documentElement.scrollWidth > width) return "the page scrolls sideways at ";
  const inside = box.width > 0 && box.height > 0 && box.bottom > 0 && box.right > 0
    && box.top < innerHeight && box.left < innerWidth;
  if (!inside) return "not in the window: ";
  const x = box.left + box.width / 2, y = box.top + Math.min(box.height / 2, 12);
  const on_top = document.elementFromPoint(x, y);
  const same = on_top && (stop.contains(on_top) || on_top.contains(stop));
  if (on_top && !same) return `covered by ${on_top.outerHTML.slice(0, 80)}: `;
  // The browser's own player marks the part of it that has the focus.
  if (stop.matches("audio, main")) return "";
  const marked = [null, "::after"].some((part) => {
    const style = getComputedStyle(stop, part);
    return (style.outlineStyle !== "none" && parseFloat(style.outlineWidth) > 0)
      || style.boxShadow !== "none";
  });
  return marked ? "" : "no visible focus: ";
})();
return [found, fault && fault + name];
"""


def arrived(browser, selector):
    """The page that has this is there, whole."""
    script = "return document.readyState === 'complete' && !!document.querySelector(arguments[0])"
    wait(browser, lambda _: browser.execute_script(script, selector), PATIENCE)


def tab_to(browser, selector, *, width, key=Keys.TAB):
    """Tab until what fits ``selector`` has the focus. A stop that a reader cannot see fails."""
    for _ in range(MOST_STOPS):
        press(browser, key)
        found, fault = browser.execute_script(_STOP, selector, width)
        assert not fault, f"{browser.current_url}: {fault}"
        if found:
            return
    pytest.fail(f"{browser.current_url}: {MOST_STOPS} times Tab do not lead to {selector}")


class Walker:
    """Hands on a keyboard, before a screen of this size."""

    def __init__(self, browser, address, screen):
        self.browser, self.address, self.width = browser, address, screen[0]
        size(browser, *screen)

    def open(self, path, selector="main"):
        self.browser.get(self.address + path)
        arrived(self.browser, selector)

    @property
    def path(self):
        return self.browser.execute_script("return location.pathname")

    def arrived(self, selector):
        arrived(self.browser, selector)

    def wait(self, condition):
        return wait(self.browser, lambda _: condition(), PATIENCE)

    def skip(self):
        """To the content, by the link that is the first stop of each page."""
        self.to(".skip, .skip-to-content-link")
        self.press(Keys.ENTER)
        self.until("return document.activeElement.tagName === 'MAIN'")

    def to(self, selector, key=Keys.TAB):
        tab_to(self.browser, selector, width=self.width, key=key)

    def press(self, *keys):
        press(self.browser, *keys)

    def follow(self, selector, leads_to):
        """Tab to a link or button, press it, and wait for what it leads to."""
        self.to(selector)
        self.press(Keys.ENTER)
        arrived(self.browser, leads_to)

    def until(self, script, *arguments):
        return wait(
            self.browser, lambda _: self.browser.execute_script(script, *arguments), PATIENCE
        )

    def focus_of_row(self, key):
        """The id of the row that ``key`` leads to."""
        self.press(key)
        return self.until("return document.activeElement.id")

    def text(self, selector="main"):
        script = "return document.querySelector(arguments[0])?.innerText"
        return self.until(script, selector)
