"""What a job prints, in its page: as a terminal would show it."""

import pytest
from playwright.sync_api import expect

from moi_django.store.logs import OutputPiece
from tests.helpers.pages import PATIENCE, session_cookie

pytestmark = pytest.mark.django_db(transaction=True)

EVIL = "<img src=x onerror=document.title='owned'>"
E = "\x1b["


@pytest.fixture(scope="module")
def tab(chromium):
    """A page for all, which takes longer to begin than most tests, and what it complains of."""
    context, complaints = chromium.new_context(), []
    page = context.new_page()
    page.set_default_timeout(PATIENCE)
    page.on("console", lambda message: complaints.append(message.text))
    page.on("pageerror", lambda error: complaints.append(str(error)))
    yield page, complaints
    context.close()


@pytest.fixture
def output(port, tab, ada, job, store):
    """Return what appends a piece to the output of a job and returns the element that shows it."""
    page, complaints = tab
    complaints.clear()
    page.context.clear_cookies()
    page.context.add_cookies([session_cookie(ada, port)])
    page.goto(f"http://127.0.0.1:{port}/moi/jobs/{job.id}/")
    expect(page.locator("moi-job[live]")).to_be_visible()
    log = store.logs.open(job.id)
    shown = page.locator("[data-moi=output]")

    def output(*texts, stream="stdout"):
        for text in texts:
            log.append([OutputPiece(stream, text)], 5_000_000)
        return shown

    yield output
    page.goto("about:blank")
    assert complaints == []


def test_colours_are_shown_and_nothing_is_html(output):
    shown = output(f"{E}1;31mred{E}0m plain\n")
    output(EVIL, stream="stderr")
    expect(shown).to_have_text(f"red plain\n{EVIL}")
    expect(shown.locator(".moi-ink-1.moi-weight-bold")).to_have_text("red")
    expect(shown.locator(".moi-stderr")).to_have_text(EVIL)
    assert shown.page.title() == "a job"


@pytest.mark.parametrize(
    ("pieces", "shown"),
    [
        (["10%\r"], "10%"),  # as print(..., end="\\r", flush=True) leaves it
        (["10%\r20%\r"], "20%"),
        (["abcdef\rxyz"], "xyzdef"),
        (["abcdef\r", "xyz"], "xyzdef"),
        (["kept\r", "\nnext"], "kept\nnext"),
        (["kept\r\n", "\r\nnext"], "kept\n\nnext"),
        (["ab", "\b", "c"], "ac"),
        ([f"long line\r{E}Kx"], "x"),
        ([f"abcdef\r{E}2C{E}K"], "ab"),
        ([f"abcdef{E}3D{E}1Kx"], "   xef"),  # up to the cursor and where it stands
        ([f"one\ntwo\n{E}2A1"], "1ne\ntwo\n"),
        ([f"one\ntwo{E}A!\n\nend"], "one!\ntwo\nend"),
        ([f"one\ntwo\n{E}1A{E}B{E}Fx{E}Bend"], "one\nxwo\n end"),
        ([f"a{E}999999999Cb"], "a" + " " * 998 + "b"),
        ([f"a long line\n{E}1A{E}0Jb"], "b"),
        ([f"{E}3", "1mred"], "red"),
        ([f"{E}", "31mred"], "red"),
        (["\x1b", "[31mred"], "red"),
        (["\x1b]8;;http://x", "/y\x1b", "\\a link\x1b]8;;\x1b\\."], "a link."),
        (["\x1b]0;a title\x07shown"], "shown"),
        (["\x1b]0;without an end\nshown"], "0;without an end\nshown"),
        (["\x1b]0;" + "x" * 5000, "shown"], "0;" + "x" * 5000 + "shown"),
        ([f"{E}?25lhidden cursor{E}?25h\x07"], "hidden cursor"),
        (["\U0001f600\U0001f600\rx"], "x\U0001f600"),
        (["a\tb"], "a       b"),
    ],
)
def test_lines_are_as_a_terminal_has_them(output, pieces, shown):
    first, *rest = pieces
    element = output("before\n" + first)
    for piece in rest:
        output(piece)
    output("\x1b[m")
    expect(element).to_have_js_property("textContent", f"before\n{shown}")


@pytest.mark.parametrize(
    ("pieces", "shown"),
    [
        ([f"one\ntwo\n{E}H{E}", "2Jthree"], "three"),
        ([f"one\ntwo\nthree{E}2;2H{E}", f"J!{E}1;2f?"], "o?e\nt!"),
        ([f"one\ntwo\nthree\x1b7{E}1;1H{E}", "M\x1b8!"], "two\nthree\n     !"),
        (["gone\n" * 100, f"{E}H{E}3Jnew"], "new"),
    ],
)
def test_a_screen_is_as_a_terminal_has_it(output, pieces, shown):
    for piece in pieces:
        element = output(piece)
    expect(element).to_have_js_property("textContent", shown)


@pytest.mark.parametrize(
    ("codes", "classes"),
    [
        ("38;5;9;1", "moi-ink-1 moi-weight-bold"),
        ("38;5;46;4", "moi-ink-2 moi-line-under"),
        ("38;5;244;1", "moi-ink-7 moi-weight-bold"),
        ("48;2;200;30;30;3", "moi-paper-1 moi-slant-italic"),
        ("38:2::20:40:220", "moi-ink-4"),
        ("38:5:3;7", "moi-ink-3 moi-colours-swapped"),
        ("9;4", "moi-strike-through moi-line-under"),
        ("4:3", "moi-line-under"),
        ("7;27;9;29", ""),
        ("38;5", "moi-ink-0"),
    ],
)
def test_styles_are_classes(output, codes, classes):
    element = output(f"{E}{codes}mstyled")
    expect(element.get_by_text("styled")).to_have_class(f"moi-stdout {classes}".strip())


def test_bars_in_bars_stay_where_they_are(output):
    """As tqdm moves up and down: a line a bar, and not one for each time it changes."""
    element = output("begin\n")
    for number in range(60):
        output(f"\router {number}\n\rinner {number}{E}A")
    output("\n\nend\n")
    expect(element).to_have_js_property("textContent", "begin\nouter 59\ninner 59\nend\n")


def test_the_cursor_leaves_neither_the_page_nor_the_last_lines(output):
    lines = "".join(f"line {number}\n" for number in range(100))
    element = output(f"{lines}end{E}9999A{E}9999Dx")
    expect(element).to_contain_text("line 50\nxine 51\nline 52\n")


def test_a_page_keeps_the_last_lines_and_says_so(output):
    element = output("first\n")
    note = element.page.get_by_text("Only the last part is shown.")
    expect(element).to_have_text("first\n")
    expect(note).to_be_hidden()
    for start in range(0, 20_000, 10_000):
        output("".join(f"line {number}\n" for number in range(start, start + 10_000)))
    expect(element).to_contain_text("line 19999\n", timeout=20_000)
    assert element.locator("> span").count() <= 5_001
    expect(note).to_be_visible()
    element.page.reload()
    expect(note).to_be_visible()
