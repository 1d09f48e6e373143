"""The page in a real browser: what it shows, what it changes, and what it does without a mouse."""

from __future__ import annotations

import re
import shutil
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np
import pytest
from control_doubles import TOKEN, Client, FakeDesk

from streammatte.control import serve

pytest.importorskip("selenium", reason="no selenium: pip install selenium")
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
DRIVER = shutil.which("chromedriver")
if not (CHROMIUM and DRIVER):
    pytest.skip("no Chromium: apt-get install chromium chromium-driver", allow_module_level=True)

from selenium import webdriver  # noqa: E402
from selenium.webdriver.chrome.service import Service  # noqa: E402
from selenium.webdriver.common.action_chains import ActionChains  # noqa: E402
from selenium.webdriver.common.by import By  # noqa: E402
from selenium.webdriver.common.keys import Keys  # noqa: E402
from selenium.webdriver.support.ui import Select, WebDriverWait  # noqa: E402

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from streammatte.control.server import Server

PATIENCE = 60
"""Seconds, for machines that do much else; usually it takes a tenth of one."""


class Page:
    """The page as somebody uses it."""

    def __init__(self, driver: webdriver.Chrome) -> None:
        self.driver = driver

    def open(self, url: str, *, ready: bool = True) -> None:
        self.driver.get("about:blank")  # a change of the fragment alone would not load it anew
        self.driver.get(url)
        if ready:
            self.until(lambda: self.state() != "connecting" and self.fresh())

    def until(self, told: Callable[[], Any]) -> Any:
        return WebDriverWait(self.driver, PATIENCE, 0.05).until(lambda _: told())

    def find(self, css: str) -> Any:
        return self.driver.find_element(By.CSS_SELECTOR, css)

    def js(self, script: str, *args: object) -> Any:
        return self.driver.execute_script(script, *args)

    def state(self) -> str:
        return str(self.find("#state").get_attribute("data-name"))

    def fresh(self) -> bool:
        return bool(self.find("#screen").get_attribute("data-fresh") == "yes")

    def pressed(self, css: str) -> bool:
        return bool(self.find(css).get_attribute("aria-pressed") == "true")

    def slide(self, css: str, value: str) -> None:
        self.js(
            "arguments[0].value = arguments[1]; arguments[0].dispatchEvent(new Event('input'))",
            self.find(css),
            value,
        )

    def pixel(self, x: float, y: float, canvas: str = "#over") -> list[int]:
        """Return R'G'B' at a place of the picture, its sides 0 to 1."""
        return list(
            self.js(
                """const c = document.querySelector(arguments[0]);
                const x = arguments[1] * c.width, y = arguments[2] * c.height;
                return [...c.getContext("2d").getImageData(x, y, 1, 1).data].slice(0, 3);""",
                canvas,
                x,
                y,
            )
        )

    def press(self, *keys: str) -> None:
        ActionChains(self.driver).send_keys(*keys).perform()

    def focused(self) -> str:
        return str(self.js("const e = document.activeElement; return e.id || e.value || e.tagName"))


@pytest.fixture(scope="module")
def driver() -> Iterator[webdriver.Chrome]:
    options = webdriver.ChromeOptions()
    options.binary_location = CHROMIUM
    for argument in ("--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"):
        options.add_argument(argument)
    options.add_argument("--window-size=1360,900")
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    driver = webdriver.Chrome(options=options, service=Service(DRIVER))
    yield driver
    driver.quit()


@pytest.fixture
def page(driver: webdriver.Chrome, server: Server) -> Iterator[Page]:
    page = Page(driver)
    page.open(server.url)
    driver.get_log("browser")
    yield page
    complaints = [one["message"] for one in driver.get_log("browser")]
    assert not [one for one in complaints if "Content Security Policy" in one or "Uncaught" in one]
    driver.get("about:blank")


def near(pixel: list[int], colour: tuple[int, int, int]) -> bool:
    return max(abs(one - other) for one, other in zip(pixel, colour, strict=True)) < 20


def test_it_shows_the_show(page: Page, desk: FakeDesk) -> None:
    assert page.state() == "live"
    assert page.find("#camera").text == desk.snapshot()["state"]["camera"]
    meters = page.find("#meters").text
    for figure in ("30.0", "18.4", "42", "62", "37", "3", "12", "step 1"):
        assert figure in meters
    assert near(page.pixel(0.05, 0.05), (120, 160, 190))


def test_the_token_is_out_of_sight(page: Page, server: Server) -> None:
    assert page.driver.current_url == server.url.partition("#")[0]
    assert page.js("return document.cookie") == ""
    assert page.js("return localStorage.length") == 0
    assert TOKEN not in page.driver.page_source


def test_the_preview_moves(page: Page) -> None:
    def picture() -> str:
        return str(page.js("return document.querySelector('#over').toDataURL('image/jpeg')"))

    first = picture()
    page.until(lambda: picture() != first)


@pytest.mark.parametrize(("view", "corner"), [("source", (150, 140, 125)), ("matte", (0, 0, 0))])
def test_views(page: Page, view: str, corner: tuple[int, int, int]) -> None:
    page.find(f"input[value={view}]").click()
    page.until(lambda: page.fresh() and near(page.pixel(0.05, 0.05), corner))


def test_the_wipe(page: Page) -> None:
    page.find("input[value=wipe]").click()
    page.until(lambda: page.fresh() and near(page.pixel(0.05, 0.05, "#under"), (150, 140, 125)))
    assert near(page.pixel(0.05, 0.05), (120, 160, 190))
    seam = "return getComputedStyle(document.querySelector('#screen')).getPropertyValue('--wipe')"
    wipe = page.find("#wipe")
    wipe.send_keys(Keys.ARROW_RIGHT)
    assert page.js(seam) == "51%"
    width = wipe.size["width"]
    ActionChains(page.driver).move_to_element(wipe).click_and_hold().move_by_offset(
        -width // 4, 0
    ).release().perform()
    assert abs(int(page.js(seam)[:-1]) - 25) <= 2
    assert "source" in wipe.get_attribute("aria-valuetext")


def test_the_privacy_button(page: Page, desk: FakeDesk) -> None:
    page.find("#slate").click()
    page.until(lambda: page.pressed("#slate") and page.state() == "held")
    assert desk.settings.show == "slate"
    assert "Hidden" in page.find("#slate").text
    page.until(lambda: near(page.pixel(0.5, 0.5), (24, 28, 36)))
    page.find("#slate").click()
    page.until(lambda: not page.pressed("#slate") and page.state() == "live")
    assert desk.settings.show == "subject"


def test_it_does_not_say_hidden_before_it_is(
    page: Page, desk: FakeDesk, monkeypatch: pytest.MonkeyPatch
) -> None:
    import threading

    release = threading.Event()
    apply = desk.apply
    monkeypatch.setattr(desk, "apply", lambda changes: (release.wait(30), apply(changes)))
    page.find("#slate").click()
    page.until(lambda: page.find("#slate").get_attribute("aria-busy") == "true")
    assert not page.pressed("#slate")
    assert "Hidden" not in page.find("#slate").text
    release.set()
    page.until(lambda: page.pressed("#slate"))


@pytest.mark.parametrize("show", ["freeze", "background"])
def test_freeze_and_background_only(page: Page, desk: FakeDesk, show: str) -> None:
    button = f"[data-show={show}]"
    page.find(button).click()
    page.until(lambda: page.pressed(button))
    assert desk.settings.show == show


def test_backgrounds(page: Page, desk: FakeDesk) -> None:
    page.find("#backgrounds button[value=green]").click()
    page.until(lambda: near(page.pixel(0.05, 0.05), (0, 177, 64)))
    assert desk.settings.background == "green"
    assert page.pressed("#backgrounds button[value=green]")
    assert not page.find("#radius-row").is_displayed()
    page.slide("#colour", "#102030")
    page.until(lambda: desk.settings.background == "#102030")
    page.find("#backgrounds button[value=blur]").click()
    page.until(lambda: page.find("#radius-row").is_displayed())
    page.slide("#radius", "44")
    page.until(lambda: desk.settings.background == "blur:44")
    assert page.find("#radius-out").text == "44"
    assert page.pressed("#backgrounds button[value=blur]")


def test_sliders_send_the_last_value(page: Page, desk: FakeDesk) -> None:
    for value in ("0.1", "0.35", "0.8", "0.6"):
        page.slide("#softness", value)
    page.until(lambda: desk.settings.softness == 0.6)
    assert page.find("#softness-out").text == "60 %"


def test_switches_and_lists(page: Page, desk: FakeDesk) -> None:
    page.find("#mirror").click()
    Select(page.find("#model")).select_by_value("birefnet")
    Select(page.find("#quality")).select_by_value("best")
    page.until(
        lambda: (
            (desk.settings.mirror, desk.settings.model, desk.settings.quality)
            == (True, "birefnet", "best")
        )
    )


def test_scenes(page: Page, desk: FakeDesk) -> None:
    page.find("#scenes button[value=break]").click()
    page.until(lambda: page.pressed("#scenes button[value=break]") and page.pressed("#slate"))
    assert desk.asked == [("choose", "break")]


def test_an_upload_is_behind_you(page: Page, desk: FakeDesk, tmp_path: Path) -> None:
    beach = tmp_path / "from" / "my beach.png"
    beach.parent.mkdir()
    cv2.imwrite(str(beach), np.full((90, 160, 3), (10, 120, 200), np.uint8))
    page.find("#file").send_keys(str(beach))
    kept = str(tmp_path / "my-beach.jpg")
    page.until(lambda: desk.settings.background == kept)
    page.until(lambda: page.js(
        "const i = document.querySelector('#backgrounds img'); return i && i.naturalWidth"
    ))  # fmt: skip
    assert page.find("#fit-row").is_displayed()
    Select(page.find("#fit")).select_by_value("contain")
    page.until(lambda: desk.settings.fit == "contain")


def test_a_picture_may_be_dropped(page: Page, desk: FakeDesk) -> None:
    page.js(
        """const canvas = document.createElement("canvas");
        canvas.getContext("2d").fillRect(0, 0, 300, 150);
        canvas.toBlob((blob) => {
          const carried = new DataTransfer();
          carried.items.add(new File([blob], "drop.png", { type: "image/png" }));
          for (const kind of ["dragover", "drop"]) {
            dispatchEvent(new DragEvent(kind, { dataTransfer: carried, cancelable: true }));
          }
        });"""
    )
    page.until(lambda: desk.settings.background.endswith("drop.jpg"))
    assert not page.find("#drop").is_displayed()


def test_what_is_refused_is_said_and_changes_nothing(
    page: Page, desk: FakeDesk, tmp_path: Path
) -> None:
    nonsense = tmp_path / "nonsense.png"
    nonsense.write_bytes(b"no picture at all")
    page.find("#file").send_keys(str(nonsense))
    page.until(lambda: "not a picture" in page.find("#errors").text)
    assert page.find("#errors").get_attribute("role") == "alert"
    assert desk.asked == []
    page.find("#errors button").click()
    assert page.find("#errors").text == ""


def test_what_the_server_refuses_is_taken_back(
    page: Page, desk: FakeDesk, monkeypatch: pytest.MonkeyPatch
) -> None:
    from streammatte.errors import UsageError

    def refuse(_: object) -> None:
        raise UsageError("not today")

    monkeypatch.setattr(desk, "apply", refuse)
    page.find("#mirror").click()
    page.until(lambda: "Not today" in page.find("#errors").text)
    page.until(lambda: not page.find("#mirror").is_selected())


def test_a_reload_keeps_everything(page: Page, desk: FakeDesk) -> None:
    desk.apply({"background": "blur:33", "mirror": True, "softness": 0.25, "show": "freeze"})
    page.driver.refresh()
    page.until(lambda: page.state() == "held")
    assert page.find("#radius").get_attribute("value") == "33"
    assert page.find("#mirror").is_selected()
    assert page.find("#softness").get_attribute("value") == "0.25"
    assert page.pressed("[data-show=freeze]")


def test_what_others_change_is_shown(page: Page, client: Client) -> None:
    client.json("PATCH", "/api/settings", {"mirror": True, "background": "black"})
    page.until(page.find("#mirror").is_selected)
    assert page.pressed("#backgrounds button[value=black]")


def test_keys(page: Page, desk: FakeDesk) -> None:
    for key, name, value in (
        (" ", "show", "slate"), (" ", "show", "subject"), ("f", "show", "freeze"),
        ("b", "show", "background"), ("m", "mirror", True), ("3", "show", "slate"),
        ("1", "background", "green"),
    ):  # fmt: skip
        page.press(key)
        page.until(lambda name=name, value=value: getattr(desk.settings, name) == value)
        client_settled = "return !document.querySelector('[aria-busy=true]')"
        page.until(lambda script=client_settled: page.js(script))


def test_everything_can_be_reached_and_done_by_keyboard(page: Page, desk: FakeDesk) -> None:
    reached = []
    for _ in range(40):
        page.press(Keys.TAB)
        reached.append(page.focused())
        style = page.js(
            "const e = document.activeElement;"
            "const s = getComputedStyle(e.type === 'radio' ? e.nextElementSibling :"
            " e.type === 'color' ? e.parentElement : e);"
            "return e === document.body ? '3px' : s.outlineWidth"
        )
        assert style == "3px", reached  # the focus is to be seen
        if reached.count("slate") > 1:
            break
    wanted = {"result", "slate", "colour", "upload", "radius", "softness", "mirror", "model",
              "quality", "blur", "green", "break"}  # fmt: skip
    assert wanted <= set(reached)
    page.js("document.querySelector('#slate').focus()")
    page.press(Keys.ENTER)
    page.until(lambda: desk.settings.show == "slate")
    page.js("document.querySelector('#softness').focus()")
    page.press(Keys.ARROW_RIGHT)
    page.until(lambda: desk.settings.softness == 0.05)
    page.js("document.querySelector('#mirror').focus()")
    page.press(" ")
    page.until(lambda: desk.settings.mirror)
    assert desk.settings.show == "slate"  # Space did what had the focus, and only that


def test_every_control_has_a_name(page: Page) -> None:
    nameless = page.js(
        """const all = document.querySelectorAll("main button, main input, main select");
        return [...all].filter((e) => !(
          e.getAttribute("aria-label") || e.labels?.length || e.textContent.trim())
        ).map((e) => e.outerHTML)"""
    )
    assert nameless == []


@pytest.mark.parametrize("width", [360, 768, 1360])
def test_nothing_sticks_out(page: Page, width: int) -> None:
    page.driver.execute_cdp_cmd(
        "Emulation.setDeviceMetricsOverride",
        {"width": width, "height": 740, "deviceScaleFactor": 1, "mobile": width < 500},
    )
    try:
        assert page.js("return document.documentElement.scrollWidth") <= width
        assert page.find("#slate").is_displayed()
        small = page.js(
            "return [...document.querySelectorAll('main button, main select')].filter((e) =>"
            "e.offsetHeight && e.offsetHeight < 40).map((e) => e.outerHTML)"
        )
        assert small == []  # thumbs are large
    finally:
        page.driver.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})


def test_nothing_comes_from_elsewhere(page: Page, server: Server) -> None:
    own = server.url.partition("#")[0]
    names = page.js("return performance.getEntriesByType('resource').map((e) => e.name)")
    assert len(names) > 5
    assert [name for name in names if not name.startswith((own, "blob:"))] == []


def test_a_lost_connection_is_said_and_comes_back(driver: webdriver.Chrome) -> None:
    desk = FakeDesk()
    server = serve("127.0.0.1:0", desk, TOKEN)
    page = Page(driver)
    page.open(server.url)
    page.find("#slate").click()
    page.until(lambda: page.pressed("#slate"))
    netloc = Client(server.url).netloc
    server.close()
    page.until(lambda: page.state() == "offline")
    assert not page.fresh()
    assert "grayscale" in page.js("return getComputedStyle(document.querySelector('#over')).filter")
    assert "Not live" in page.find("#veil").text
    assert not page.find("#slate").is_enabled()
    assert not page.pressed("#slate")  # who knows what others see now?
    assert "Hidden" not in page.find("#slate").text
    again = serve(netloc, FakeDesk(), TOKEN)
    page.until(lambda: page.state() == "live" and page.fresh())
    assert page.find("#slate").is_enabled()
    driver.get("about:blank")
    again.close()


def test_a_picture_that_does_not_come_is_not_shown_as_live(
    page: Page, desk: FakeDesk, monkeypatch: pytest.MonkeyPatch
) -> None:
    desk.dark = True
    page.until(lambda: not page.fresh())
    assert "Waiting" in page.find("#veil").text
    desk.dark = False
    page.until(page.fresh)


@pytest.mark.parametrize("fragment", ["", "#token=a-wrong-token-of-an-earlier-run"])
def test_without_the_token_it_says_what_to_do(
    driver: webdriver.Chrome, server: Server, desk: FakeDesk, fragment: str
) -> None:
    page = Page(driver)
    driver.get("about:blank")
    driver.get(server.url.partition("#")[0])
    page.js("sessionStorage.clear()")
    page.open(server.url.partition("#")[0] + fragment, ready=False)
    page.until(lambda: page.find("#gate").is_displayed())
    assert not page.find("#desk").is_displayed()
    assert re.search(r"terminal.*streammatte live", page.find("#gate").text)
    assert page.focused() == "gate-token"
    page.find("#gate-token").send_keys("short", Keys.ENTER)
    assert "not a token" in page.find("#gate-reason").text
    page.find("#gate-token").send_keys(server.url, Keys.ENTER)  # as it was printed
    page.until(lambda: page.find("#desk").is_displayed() and page.state() == "live")
    assert desk.asked == []
    driver.get("about:blank")
