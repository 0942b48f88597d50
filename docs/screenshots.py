"""Take the pictures of the docs from the running example: `python docs/screenshots.py`.

Needs what `make test` installs, and a Chromium on PATH or in MOI_BROWSER.
"""

import io
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from PIL import Image
from playwright.sync_api import Browser, Page, sync_playwright

HERE = Path(__file__).parent
MANAGE = str(HERE.parent / "example_project" / "manage.py")
SUBMITTED = [
    ("failing", "Nonsense input"),
    ("sweep", "Magnets at four temperatures"),
    ("search", "Sequences like mine"),
    ("hello", "The hello job"),
    ("stars", "Stars of the northern sky"),
]
# Of a picture.
COLOURS = 96
# Of the one that moves: what is submitted in it, its size, the milliseconds between two looks at
# the page, and for how long its last picture stays.
FILMED = [
    ("hello", "The hello job"),
    ("search", "Sequences like mine"),
    ("failing", "Nonsense input"),
]
FILM_WIDTH, FILM_HEIGHT = 720, 530
FILM_STEP, FILM_REST = 200, 4000
# Debian's Chromium looks names up on its own.
NO_NAMES = "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1, EXCLUDE localhost"


@contextmanager
def demo() -> Iterator[str]:
    """Run the example with data of its own; give its address."""
    with tempfile.TemporaryDirectory() as directory:
        env = {
            **os.environ,
            "EXAMPLE_STATE_DIR": f"{directory}/state",
            "EXAMPLE_DATABASE": f"{directory}/db.sqlite3",
            "EXAMPLE_MEDIA": f"{directory}/media",
        }
        for arguments in (["migrate", "-v0"], ["demo_users"]):
            subprocess.run([sys.executable, MANAGE, *arguments], env=env, check=True)
        up = subprocess.Popen(
            [sys.executable, MANAGE, "moi", "up", "--bind=127.0.0.1:0", "--engines=6"],
            env=env,
            stdout=subprocess.PIPE,
            text=True,
        )
        try:
            yield next(line.split()[2] for line in up.stdout or () if "ready" in line)
        finally:
            up.terminate()
            up.communicate()


def shoot(browser: Browser, url: str, scheme: str) -> None:
    """Submit some jobs and take pictures while they run and of what they lead to."""
    page = browser.new_page(
        color_scheme=scheme,  # type: ignore[arg-type]
        viewport={"width": 960, "height": 600},
        device_scale_factor=2,
    )
    log_in(page, url, scheme)
    for kind, title in SUBMITTED:
        submit(page, kind, title)
    page.wait_for_selector("span[data-part=success]:visible")
    page.wait_for_selector("text=I'm about to say hello")
    take(page, "jobs", scheme)
    page.set_viewport_size({"width": 390, "height": 600})
    take(page, "phone", scheme)
    page.set_viewport_size({"width": 960, "height": 600})
    submit(page, "pi", "An estimate of π")
    follow(page, "An estimate of π")
    page.wait_for_selector("[data-state=success]")
    page.wait_for_selector(".moi-image")
    take(page, "job", scheme)
    page.goto(url)
    follow(page, "Sequences like mine")
    page.wait_for_selector("[data-state=success]")
    page.frame_locator(".moi-document").locator("table").wait_for()
    take(page, "table", scheme)
    page.goto(url)
    follow(page, "Magnets at four temperatures")
    page.wait_for_selector("moi-jobs[live]")
    for member in page.locator(".moi-toggle").all()[1:]:
        member.click()
    take(page, "group", scheme)


def film(browser: Browser, url: str, scheme: str) -> None:
    """Make a picture that moves: jobs are submitted, and the page follows them to their ends."""
    page = browser.new_page(
        color_scheme=scheme,  # type: ignore[arg-type]
        viewport={"width": FILM_WIDTH, "height": 1000},
        device_scale_factor=2,
    )
    log_in(page, url, scheme)
    pictures: list[tuple[bytes, int]] = []
    for kind, title in FILMED:
        submit(page, kind, title)
        page.mouse.move(0, 0)
        look(page, pictures)
    while page.locator("[data-state=queued], [data-state=running]").count():
        page.wait_for_timeout(FILM_STEP)
        look(page, pictures)
    look(page, pictures)
    first, *others = [Image.open(io.BytesIO(picture)).convert("RGB") for picture, _ in pictures]
    times = [*(time for _, time in pictures[:-1]), FILM_REST]
    first.save(
        HERE / "images" / f"live-{scheme}.webp",
        save_all=True,
        append_images=others,
        duration=times,
        loop=0,
        quality=70,
        method=6,
    )


def look(page: Page, pictures: list[tuple[bytes, int]]) -> None:
    """Add what the list shows to pictures with their milliseconds, or let the last stay longer."""
    top = page.evaluate("document.querySelector('section.card').getBoundingClientRect().top")
    clip = {"x": 0, "y": top - 10, "width": FILM_WIDTH, "height": FILM_HEIGHT}
    picture = page.screenshot(animations="disabled", clip=clip)  # type: ignore[arg-type]
    if pictures and pictures[-1][0] == picture:
        pictures[-1] = (picture, pictures[-1][1] + FILM_STEP)
    else:
        pictures.append((picture, FILM_STEP))


def log_in(page: Page, url: str, scheme: str) -> None:
    """Be the user of whom pictures in these colours are."""
    page.goto(url)
    name = "alice" if scheme == "light" else "bob"
    page.fill("[name=username]", name)
    page.fill("[name=password]", name)
    page.click("main button")


def submit(page: Page, kind: str, title: str) -> None:
    """Submit what the form offers."""
    page.fill("[name=name]", title)
    page.check(f"[value={kind}]")
    page.click("main form button")


def follow(page: Page, title: str) -> None:
    """Go where the row of a job or group leads."""
    page.locator(".moi-item", has_text=title).get_by_role("link").first.click()


def take(page: Page, subject: str, scheme: str) -> None:
    """Take a picture of the part of the page that is moi's."""
    page.mouse.move(0, 0)
    save(page.locator("section.card").screenshot(), f"{subject}-{scheme}.png")


def save(picture: bytes, name: str) -> None:
    """Keep a picture in few colours, which is all that such a page has: it is a third as large."""
    small = Image.open(io.BytesIO(picture)).convert("RGB").quantize(COLOURS)
    small.save(HERE / "images" / name, optimize=True)


def shoot_panel(browser: Browser, url: str) -> None:
    """Take a picture of the operator's panel, with the jobs that the other pictures have left."""
    page = browser.new_page(viewport={"width": 1280, "height": 1900}, device_scale_factor=2)
    page.goto(f"{url.rstrip('/')}/admin/login/?next=/admin/moi_django/alljobs/")
    page.fill("[name=username]", "olga")
    page.fill("[name=password]", "olga")
    page.click("[type=submit]")
    page.wait_for_selector("moi-panel[live]")
    save(page.screenshot(), "panel.png")


def main() -> None:
    """Take light and dark pictures of what users see, and one of what the operator sees."""
    path = os.environ.get("MOI_BROWSER") or shutil.which("chromium")
    with demo() as url, sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=[NO_NAMES])
        for scheme in ("light", "dark"):
            film(browser, url, scheme)
            shoot(browser, url, scheme)
        shoot_panel(browser, url)
        browser.close()


if __name__ == "__main__":
    main()
