"""Pictures of the desk for docs/desk.md: a server with a day's calls, and Chromium.

    .venv/bin/python -m bench.pictures [FOLDER]

Starts what it needs on loopback, in a temporary folder, and stops it. Needs chromium and
chromedriver. The pictures are PNGs of at most 256 colours, in docs/pictures unless said otherwise.
"""

from __future__ import annotations

import asyncio
import base64
import shutil
import struct
import sys
import tempfile
import time
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
from selenium import webdriver
from selenium.webdriver.common.by import By
from selenium.webdriver.remote.webdriver import WebDriver
from selenium.webdriver.support.ui import WebDriverWait

from sipserver.caller.phone import CallPlan, Phone
from tests.e2e.server import ROOT, Answer, Application, Server

WIDTH, HEIGHT = 1180, 900
FLAGS = (
    "--headless --no-sandbox --disable-gpu --no-first-run --hide-scrollbars "
    "--disable-background-networking --disable-component-update --disable-sync"
)
PASSWORD, ADMIN_PASSWORD = "Correct9HorseX", "Desk9-of-pictures"
MAKE_ADMIN = f"""
from django.contrib.auth import get_user_model
get_user_model().objects.create_superuser("maria", password={ADMIN_PASSWORD!r})
"""
MENU = """<?xml version="1.0" encoding="UTF-8"?>
<Response>
  <Gather numDigits="1" action="/chosen">
    <Say>Welcome to Example Limited.</Say>
    <Say>Press 1 for sales, 2 for support.</Say>
  </Gather>
  <Say>We have heard nothing. Goodbye.</Say>
</Response>
"""
CHOSEN = """<?xml version="1.0" encoding="UTF-8"?>
<Response>
  <Say>Please speak after the tone.</Say>
  <Record maxLength="3" timeout="0" finishOnKey="#" action="/recorded"/>
</Response>
"""


# --- what there is to see -----------------------------------------------------------------------


def furnish(server: Server, app: Application) -> dict[str, str]:
    """Domains and an application; domain names to SIDs."""
    app.answers["/menu"] = Answer(MENU)
    app.answers["/chosen"] = Answer(CHOSEN)
    app.document("/recorded", "<Say>Thank you. Goodbye.</Say>")
    app.document("/busy", '<Reject reason="busy"/>')
    app.answers["/broken"] = Answer("Internal Server Error", "text/plain", 500)
    app.document("/wait", '<Say>Please hold the line.</Say><Pause length="60"/>')
    user = ("--username", "alice", "--password", PASSWORD)
    here = ("--allow", "127.0.0.0/8")
    wanted = {
        "pbx.example.net": ("/menu", (*user, *here, "--allow", "192.0.2.0/24", "--register")),
        "hotline.example.net": ("/busy", here),
        "doors.example.net": ("/broken", here),
        "waiting.example.net": ("/wait", here),
        "branch.example.net": ("/menu", ("--allow", "198.51.100.0/24")),
    }
    made = {}
    for name, (path, options) in wanted.items():
        made[name] = str(server.create_domain(name, app.url + path, *options)["domain_sid"])
    server.manage("shell", "-c", MAKE_ADMIN)
    server.manage("shell", "--no-imports", "-c", "from bench.day import fill; fill()")
    return made


async def call(server: Server, target: str, seconds: float = 30.0, **plan: object) -> None:
    phone = Phone()
    try:
        await phone.call(
            CallPlan(
                f"sip:{target}", proxy=("udp", "127.0.0.1", server.sip_port),
                hangup_after=seconds, **plan,  # type: ignore[arg-type] # options of CallPlan
            )
        )  # fmt: skip
    finally:
        phone.close()


async def make_calls(server: Server) -> None:
    alice = {"username": "alice", "password": PASSWORD}
    for batch in range(2):
        await asyncio.gather(
            call(server, "100@pbx.example.net", digits="1", digits_after=5.0, **alice),
            call(server, "101@pbx.example.net", 4.0, **alice),
            call(server, "102@pbx.example.net", username="alice", password="Wrong9Password"),
            call(server, "help@hotline.example.net", caller=f"4930{batch}12345"),
            call(server, "gate@doors.example.net", caller="door-2"),
            call(server, "200@branch.example.net", caller="bob"),
            call(server, "201@nowhere.example.net", caller="scanner"),
        )


# --- the camera ---------------------------------------------------------------------------------


def browser(profile: str) -> WebDriver:
    options = webdriver.ChromeOptions()
    options.binary_location = str(shutil.which("chromium"))
    for flag in FLAGS.split():
        options.add_argument(flag)
    options.add_argument(f"--user-data-dir={profile}")
    service = webdriver.ChromeService(str(shutil.which("chromedriver")))
    return webdriver.Chrome(options=options, service=service)


class Camera:
    def __init__(self, driver: WebDriver, base: str, folder: Path) -> None:
        self.driver, self.base, self.folder = driver, base, folder
        self.size(WIDTH)

    def size(self, width: int) -> None:
        metrics = {
            "width": width, "height": HEIGHT, "deviceScaleFactor": 1, "mobile": width < 500
        }  # fmt: skip
        self.driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)

    def dark(self, wanted: bool) -> None:
        feature = {"name": "prefers-color-scheme", "value": "dark" if wanted else "light"}
        self.driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": [feature]})

    def open(self, path: str) -> None:
        self.driver.get(self.base + path)

    def find(self, selector: str) -> webdriver.remote.webelement.WebElement:
        return self.driver.find_element(By.CSS_SELECTOR, selector)

    def wait(self, until: Callable[[], object], seconds: float = 30) -> None:
        WebDriverWait(self.driver, seconds, poll_frequency=0.1).until(lambda _: until())

    def settled(self, selector: str) -> None:
        """It is there, and nothing on the page is refreshed any more."""

        def still() -> bool:
            found = self.driver.find_elements(By.CSS_SELECTOR, selector)
            return bool(found) and not self.driver.find_elements(By.CSS_SELECTOR, "[data-poll]")

        self.wait(still)

    def take(self, name: str, most: int = 1000) -> None:
        width, height = self.driver.execute_script(
            "return [innerWidth, document.documentElement.scrollHeight]"
        )
        clip = {"x": 0, "y": 0, "width": width, "height": min(height, most), "scale": 1}
        shot = self.driver.execute_cdp_cmd(
            "Page.captureScreenshot", {"format": "png", "captureBeyondViewport": True, "clip": clip}
        )
        picture = reduced(base64.b64decode(shot["data"]))
        (self.folder / f"{name}.png").write_bytes(picture)
        print(f"{name}.png  {len(picture) / 1000:.0f} kB")


# --- PNG with a palette -------------------------------------------------------------------------


def reduced(png: bytes) -> bytes:
    """The same picture in at most 256 colours; the others as the nearest of them. Kept are the most
    frequent ones, and of each other shade one, so that a small mark keeps its colour."""
    pixels = decoded(png)
    height, width, _ = pixels.shape
    packed = pixels.astype(np.uint32) @ np.array([65536, 256, 1], np.uint32)
    colours, places, counts = np.unique(packed.ravel(), return_inverse=True, return_counts=True)
    often = np.argsort(-counts)
    shades = colours[often] & 0xF0F0F0
    _, firsts = np.unique(shades, return_index=True)
    chosen = np.unique(np.concatenate([np.arange(min(96, len(often))), np.sort(firsts)]))
    kept = colours[often][chosen[:256]]

    def channels(values: np.ndarray) -> np.ndarray:
        return np.stack([values >> 16, values >> 8 & 255, values & 255], 1).astype(np.int32)

    palette = channels(kept)
    nearest = np.empty(len(colours), np.uint8)
    for start in range(0, len(colours), 2048):
        some = channels(colours[start : start + 2048])
        away = ((some[:, None, :] - palette[None]) ** 2).sum(2)
        nearest[start : start + 2048] = away.argmin(1)
    rows = nearest[places].reshape(height, width)
    raw = b"".join(b"\0" + row.tobytes() for row in rows)
    header = struct.pack(">IIBBBBB", width, height, 8, 3, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n"
        + _chunk(b"IHDR", header)
        + _chunk(b"PLTE", palette.astype(np.uint8).tobytes())
        + _chunk(b"IDAT", zlib.compress(raw, 9))
        + _chunk(b"IEND", b"")
    )


def _chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def decoded(png: bytes) -> np.ndarray:
    """Height × width × RGB of an 8-bit picture that is not interlaced, as Chromium makes them."""
    place, data, width, height, size = 8, b"", 0, 0, 3
    while place < len(png):
        length, kind = struct.unpack(">I4s", png[place : place + 8])
        body = png[place + 8 : place + 8 + length]
        if kind == b"IHDR":
            width, height, depth, colour = struct.unpack(">IIBB", body[:10])
            if depth != 8 or colour not in (2, 6):
                raise ValueError("no 8-bit RGB picture")
            size = 4 if colour == 6 else 3
        elif kind == b"IDAT":
            data += body
        place += length + 12
    raw, stride = zlib.decompress(data), width * size
    above = bytearray(stride)
    rows = []
    for number in range(height):
        start = number * (stride + 1)
        line = bytearray(raw[start + 1 : start + 1 + stride])
        _unfilter(raw[start], line, above, size)
        rows.append(bytes(line))
        above = line
    return np.frombuffer(b"".join(rows), np.uint8).reshape(height, width, size)[:, :, :3]


def _unfilter(kind: int, line: bytearray, above: bytearray, size: int) -> None:
    """In place (PNG specification, section 9)."""
    for x in range(len(line)) if kind else ():
        left = line[x - size] if x >= size else 0
        up = above[x]
        match kind:
            case 1:
                guess = left
            case 2:
                guess = up
            case 3:
                guess = (left + up) // 2
            case _:
                corner = above[x - size] if x >= size else 0
                p = left + up - corner
                guess = min((left, up, corner), key=lambda value: abs(p - value))
        line[x] = (line[x] + guess) & 255


# --- the walk -----------------------------------------------------------------------------------


def log_in(camera: Camera) -> None:
    camera.open("/login/")
    camera.find("[name=username]").send_keys("maria")
    camera.find("[name=password]").send_keys(ADMIN_PASSWORD)
    camera.find("main button").click()


def calls_and_overview(camera: Camera, server: Server) -> None:
    camera.open("/")
    heading = "return document.querySelector('#h-day').textContent"
    camera.wait(lambda: "still being counted" not in camera.driver.execute_script(heading))
    camera.take("overview", 1560)
    camera.open("/calls/")
    camera.take("calls", 760)
    query = (
        "SELECT sid FROM sipdomains_call WHERE to_uri LIKE '%100@pbx%' AND answered_at IS NOT NULL"
        " ORDER BY started_at DESC"
    )
    sid = server.rows(query)[0]["sid"]
    camera.open(f"/calls/{sid}/")
    camera.take("call", 1500)
    camera.size(390)
    camera.open(f"/calls/{sid}/")
    camera.take("call-phone", 844)
    camera.size(WIDTH)


def domains(camera: Camera, sids: dict[str, str]) -> None:
    camera.open("/domains/")
    camera.take("domains", 520)
    branch = sids["branch.example.net"]
    camera.open(f"/domains/{branch}/?source_ip=127.0.0.1")
    camera.take("domain", 1500)
    camera.open(f"/domains/{branch}/allow/?address=127.0.0.1")
    camera.take("allow", 480)
    camera.open(f"/domains/{sids['pbx.example.net']}/")
    form = "#test "
    camera.find(form + "[name=number]").clear()
    for name, text in (
        ("number", "100"), ("username", "alice"), ("password", PASSWORD), ("digits", "wwwwww1"),
    ):  # fmt: skip
        camera.find(f"{form}[name={name}]").send_keys(text)
    camera.find(form + "button").click()
    camera.settled("#test-call[data-state=over]")
    camera.take("test-call", 900)


def bench(camera: Camera, sids: dict[str, str]) -> None:
    camera.open(f"/bench/?domain={sids['pbx.example.net']}")
    camera.find(".bench-form button[type=submit]").click()
    camera.settled("#id_keys")
    camera.take("bench", 900)
    camera.dark(True)
    camera.find("#id_keys").send_keys("1")
    camera.find(".choice button").click()
    camera.settled("#id_seconds")
    camera.take("bench-dark", 900)
    camera.dark(False)


def live(camera: Camera) -> None:
    camera.open("/live/")
    time.sleep(1.0)  # as above
    camera.take("live", 600)


def configuration(camera: Camera) -> None:
    camera.open("/admin/sipdomains/credentiallist/")
    camera.find("#result_list tbody th a").click()
    camera.find("a[href$='/import/']").click()
    with tempfile.NamedTemporaryFile("w", suffix=".csv") as file:
        file.write(f"bob,{PASSWORD}\ncarol,short\nalice,{PASSWORD}\n")
        file.flush()
        camera.find("#id_file").send_keys(file.name)
        camera.find("#import input[type=submit]").click()
        camera.settled("#report")
    camera.take("import", 620)


def security(camera: Camera) -> None:
    camera.open("/account/security/")
    camera.find("#id_password").send_keys(ADMIN_PASSWORD)
    camera.find("main form button").click()
    camera.settled(".qr svg")
    camera.take("security", 760)


def main(folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    app = Application()
    with tempfile.TemporaryDirectory() as home, tempfile.TemporaryDirectory() as profile:
        server = Server(Path(home) / "server")
        server.start()
        driver = None
        try:
            sids = furnish(server, app)
            asyncio.run(make_calls(server))
            driver = browser(profile)
            camera = Camera(driver, f"http://127.0.0.1:{server.web_port}", folder)
            log_in(camera)
            calls_and_overview(camera, server)
            domains(camera, sids)
            bench(camera, sids)
            configuration(camera)
            security(camera)
            asyncio.run(_while_calling(server, lambda: live(camera)))
        finally:
            if driver is not None:
                driver.quit()
            server.stop()
            app.close()
    total = sum(path.stat().st_size for path in folder.glob("*.png"))
    print(f"{total / 1000:.0f} kB in {folder}")


async def _while_calling(server: Server, work: Callable[[], None]) -> None:
    calls = [
        asyncio.create_task(call(server, f"{number}@waiting.example.net", 60, caller=name))
        for number, name in ((300, "bob"), (301, "carol"))
    ]
    await asyncio.sleep(2.0)  # until they have been answered
    await asyncio.to_thread(work)
    for one in calls:
        one.cancel()
    await asyncio.gather(*calls, return_exceptions=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else ROOT / "docs" / "pictures")
