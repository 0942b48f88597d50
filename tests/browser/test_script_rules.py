"""The rules that the script repeats: it shows of any job what the server renders of it.

A page has three looks: as the server renders it; after the script has taken that over; and with
rows that the script has made, because those of the server were left out.
"""

import uuid
from datetime import UTC, datetime, timedelta

import hypothesis
import pytest
from django.urls import reverse
from hypothesis import strategies as st
from playwright.sync_api import expect

from moi_django import Group
from moi_django.contrib.job_pages.terminal_screen import render_output
from moi_django.models import State
from moi_django.presentation.formatting import format_clock, round_duration
from moi_django.store.logs import OutputPiece
from tests.helpers.pages import ask
from tests.helpers.processes import free_port, site_process
from tests.helpers.records import job_in, many_jobs_in
from tests.helpers.reference_terminal import HEAVY, OUTPUTS, RECORDINGS, rows_of, rows_shown

pytestmark = pytest.mark.django_db(transaction=True)
BEGUN = datetime(2026, 1, 2, 15, tzinfo=UTC)
OTHER = str(uuid.UUID(int=1))


def text_of(date):
    return date.strftime("%Y-%m-%d %H:%M:%S.%f")


def ended(seconds, state=State.SUCCESS, **fields):
    """Return the fields of a job that has run for so long."""
    dates = {"date_start": text_of(BEGUN), "date_end": text_of(BEGUN + timedelta(seconds=seconds))}
    return {"state": state, "status": state.status, **dates, **fields}


def running(**fields):
    """Return the fields of a job that runs for so long that a few minutes change nothing else."""
    begun = datetime.now(UTC) - timedelta(hours=10, minutes=20)
    return {"state": State.RUNNING, "status": "Running", "date_start": text_of(begun), **fields}


# What jobs may have said

STATUSES = ["Queued", "queued", "FAILED", "Lost", "Success", "Group", "my own", ""]
STATUSES += ["Waits for an engine of 'lab'", "Waits for 3 jobs", r"Waits for $1 \1", "Waits, too"]
URLS = [
    *("", "/result", "/result//", "result", "/é", "?page=1", "#top"),
    *("https://lab.example/a?b#c", "HTTP://lab.example", "http://[", "https:", "https:///x"),
    *("https:lab.example", "//lab.example/x", "/\\lab.example", "/a b", "/a\tb", " /a"),
    *("ftp://x/y", "javascript:alert(1)", "data:text/html,x", "mailto:ada@lab.example"),
]
AMOUNTS = [
    *({"progress": progress} for progress in (0, 0.004, 0.25, 0.29, 0.999, 1)),
    *({"done": done} for done in (0, 1, 2, 3.7, 11, 12_345)),
    {"progress": 0.3, "done": 3, "total": 10},
    {"progress": 0.225, "done": 2.25, "total": 10.05},
    {"progress": 0.0, "done": 0, "total": 1_000_000},
    {"progress": 0.5, "done": 2, "total": 0},
    {"progress": 0.5, "total": 7},
]
RUN_TIMES = [-5, 0, 0.9, 59.999, 60, 3599.5, 3600, 86_400, 360_000.4]
# Shares of what is done, so that days, hours, minutes and seconds are left.
SHARES = [0.01, 0.2, 0.5, 0.9, 0.95, 0.99, 0.999]


def jobs():
    """Return the fields of jobs, with a name for each rule and case."""
    return {
        **{f"status {text!r}": {"status": text} for text in STATUSES},
        **{f"lost, status {text!r}": ended(1, State.LOST, status=text) for text in STATUSES},
        **{f"{state}": {"state": state, "status": state.status} for state in State},
        **{f"{state} with a url": {"state": state, "url": "/result"} for state in State},
        **{f"url {url!r}": ended(1, url=url) for url in URLS},
        **{f"running, {amount}": running(**amount) for amount in [{}, *AMOUNTS]},
        **{f"done, {amount}": ended(1, **amount) for amount in AMOUNTS[::6]},
        **{f"failed, {amount}": ended(1, State.FAILED, **amount) for amount in AMOUNTS[::6]},
        **{f"for {seconds} s": ended(seconds) for seconds in RUN_TIMES},
        **{f"a share of {share}": running(progress=share) for share in SHARES},
        "begun at no time": running(date_start="yesterday", progress=0.5),
        "never created": {"date_created": None},
        "the second attempt": running(attempt=2, attempts=3),
        "retried": ended(1, State.FAILED, retried=OTHER),
        "<b>bold</b> & 'quoted'": {},
    }


def write_groups(store, owner):
    """Write groups that are empty, large, deep, or have jobs in all states."""
    mixed = Group.create(owner, "mixed", url="/group")
    counts = {"success": 1, "failed": 2, "lost": 1, "cancelled": 3, "running": 11}
    for state, count in counts.items():
        for number in range(count):
            job_in(store, mixed, f"{state} {number}", state=State(state))
    job_in(store, mixed, "retried", state=State.FAILED, retried=OTHER)
    Group.create(owner, "empty")
    many_jobs_in(store, Group.create(owner, "large"), 100)
    deep = Group.create(Group.create(owner, "outer"), "inner")
    job_in(store, Group.create(deep, "innermost"), "deep")
    job_in(store, Group.create(owner, "of failures"), state=State.FAILED)
    return mixed


# What a page shows

# Returns what is in an element: names, attributes, texts; for a row within it, only its name. What
# differs on purpose is left out: times are the viewer's, and buttons wait for the script.
LOOK = """
    (element) => {
        const skipped = "noscript, template, input[name=csrfmiddlewaretoken]";
        const number = /^\\d+\\.?\\d*$/;
        const attributesOf = (node) => [...node.attributes]
            .filter(({ name }) => !["disabled", "title", "live"].includes(name))
            .map(({ name, value }) => `${name}=${number.test(value) ? Number(value) : value}`)
            .sort();
        const textOf = (node) => node.textContent.replace(/\\s+/g, " ").trim();
        const nameOf = (row) => row.querySelector("[data-moi=name]")?.textContent;
        const childrenOf = (node) => {
            if (node.hidden || node.localName === "time") return [];
            // The minutes and seconds of what runs.
            if (node.matches("[data-state=running] [data-moi=elapsed]"))
                return [textOf(node).replace(/:\\d\\d:\\d\\d$/, "")];
            return [...node.childNodes].flatMap(look);
        };
        const look = (node) => {
            if (node.nodeType === Node.TEXT_NODE) return textOf(node) || [];
            if (node.nodeType !== Node.ELEMENT_NODE || node.matches(skipped)) return [];
            if (node !== element && node.dataset.id && nameOf(node)) return nameOf(node);
            return [[node.localName, attributesOf(node), ...childrenOf(node)]];
        };
        return look(element)[0];
    }
"""
ROWS = f"""
    (root) => Object.fromEntries(
        [...root.querySelectorAll("moi-jobs, moi-jobs [data-id]")].map((element) => [
            element.dataset.id ? element.querySelector("[data-moi=name]").textContent : "the div",
            ({LOOK})(element),
        ])
    )
"""
RENDERED = f"(html) => ({ROWS})(new DOMParser().parseFromString(html, 'text/html'))"

# A page on which no time goes by: what is left of a job is not counted down.
STOP_CLOCK = "const begun = Date.now(); Date.now = () => begun;"
# Scripts that wait for the end of the page, as all modules do, come after this.
LEAVE_ROWS_OUT = """
    document.addEventListener("readystatechange", () => {
        if (document.readyState !== "interactive") return;
        for (const row of document.querySelectorAll("[data-moi=members] > [data-id]")) row.remove();
    });
"""


@pytest.fixture
def compare(visit):
    """Compare the three looks of a page with a status div; return the names of its rows."""

    def compare(port, path):
        page = visit(port, path, prepare=lambda page: page.add_init_script(STOP_CLOCK))
        taken_over = page.evaluate(f"({ROWS})(document)")
        rendered = page.evaluate(RENDERED, ask(page).text())
        page.close()
        scripts = STOP_CLOCK + LEAVE_ROWS_OUT
        page = visit(port, path, prepare=lambda page: page.add_init_script(scripts))
        made = page.evaluate(f"({ROWS})(document)")
        page.close()
        for shown in (taken_over, made):
            for name, look in rendered.items():
                assert shown[name] == look, name
            assert shown.keys() == rendered.keys()
        return rendered.keys()

    return compare


@pytest.mark.parametrize("language", ["en", "ar"])
def test_a_row_is_the_same_whoever_makes_it(compare, site_env, ada, store, language):
    """Where it leads, what it says, how far it is, what is closed, in which order rows stand."""
    for name, fields in jobs().items():
        job_in(store, Group.of(ada), name, **fields)
    mixed = write_groups(store, ada)
    port = free_port()
    with site_process(port, **site_env, MOI_TEST_LANGUAGE=language):
        names = compare(port, "/?many=1")
        assert names > {*jobs(), "mixed", "large", "job 1", "innermost", "deep"}
        assert compare(port, reverse("moi:group", args=[mixed.id])) > {"mixed", "running 10"}


@pytest.fixture
def job_page(port, visit, ada, store):
    """Return what opens the page of a job that has these fields."""

    def job_page(**fields):
        job = job_in(store, Group.create(ada, "a group"), "a job", **fields)
        page = visit(port, reverse("moi:job", args=[job.id]), live=False)
        expect(page.locator("moi-job[live]")).to_be_visible()
        return page

    return job_page


@pytest.mark.parametrize(
    "name",
    [
        *("queued", "success with a url", "retried", "begun at no time", "for 3599.5 s"),
        *(f"running, {amount}" for amount in AMOUNTS[3::4]),
    ],
)
def test_the_page_of_a_job_is_the_same_with_its_script(job_page, name):
    page = job_page(**jobs()[name])
    parsed = "new DOMParser().parseFromString(html, 'text/html').querySelector('moi-job')"
    rendered = page.evaluate(f"(html) => ({LOOK})({parsed})", ask(page).text())
    assert page.evaluate(f"({LOOK})(document.querySelector('moi-job'))") == rendered


# Rules with cases that no page shows for long


SECONDS = [0, 0.1, 4.9, 5, 5.1, 41, 59.9, 60, 89.9, 90, 149, 3569, 3570, 3599.9, 3600, 5399, 5400]
SECONDS += [48 * 3600 - 1, 48 * 3600, 2.5 * 86_400 - 1, 2.5 * 86_400, 60 * 86_400]


def test_durations_are_rounded_and_written_in_one_way(job_page):
    script = """
        async (all) => {
            const { formatClock, roundDuration } = await moiModule("time_format");
            return all.map((seconds) => [formatClock(seconds), roundDuration(seconds)]);
        }
    """
    told = [[format_clock(each), list(round_duration(each))] for each in SECONDS]
    assert job_page().evaluate(script, SECONDS) == told


# What the server makes of output, too.
SEQUENCES = [
    *("\x1b[31m", "\x1b[0m", "\x1b[38;5;9m", "\x1b[38:2::1:2:3m", "\x1b[m", "\x1b[?25l", "\x1b[2J"),
    *("\x1b]0;a title\x07", "\x1b]8;;http://x\x1b\\", "\x1bP1$r\x1b\\", "\x1b(B", "\x1b=", "\x1bM"),
    *(
        "\x1b[A",
        "\x1b[3B",
        "\x1b[J",
        "\x1b[1J",
        "\x1b[2L",
        "\x1b[M",
        "\x1b[2;3H",
        "\x1b[1;4r",
        "\x1b[P",
    ),
    *("\x1b[999999C", "\x1b[2X", "\x1b[K", "\x1b[1K", "\x1b7", "\x1b8", f"\x1b[{'9' * 400}D"),
]
# Sequences that are not complete, and how they may go on.
BITS = [
    *("\x1b", "[", "\x1b[3", "1;", "1m", "\x1b]", "0;title", "\x07", "\\", "\x1b(", "\x9b", "\x00"),
]
TEXTS = ["a", "bcd", "é", "\U0001f600", " ", "\t", "\r", "\n", "\r\n", "x" * 600, "\b", "\n" * 49]
PIECES = st.lists(
    st.tuples(
        st.sampled_from(["stdout", "stderr"]),
        st.lists(st.sampled_from([*TEXTS, *SEQUENCES, *BITS]), max_size=8).map("".join),
    ),
    max_size=8,
)
PRINT = """
    async (pieces) => {
        const { TerminalOutput } = await moiModule("terminal_output");
        const element = document.createElement("pre");
        const output = new TerminalOutput(element, false);
        for (const piece of pieces) output.append([piece]);
        return element.textContent;
    }
"""


def test_output_has_the_same_text_with_and_without_scripts(job_page):
    page = job_page()

    @hypothesis.given(PIECES)
    @hypothesis.settings(max_examples=500)
    @hypothesis.example([("stdout", "\x1b[999999Ca\x1bMa")])
    @hypothesis.example([("stdout", "a\x1b[3"), ("stderr", "1m!"), ("stdout", "1mb")])
    @hypothesis.example([("stdout", "\x1b[999999Caa\x1b8\x1b[P\x1b[P\x1b[999999Cb")])
    @hypothesis.example([("stdout", "\x1b]0;no end\nshown\x07")])
    @hypothesis.example([("stdout", "\x1b]" + "x" * 5000), ("stdout", "y")])
    @hypothesis.example([("stdout", "abcdef\r"), ("stdout", "xyz\r\n10%\r20%\r")])
    def compare(pieces):
        text, _ = render_output(OutputPiece(*piece) for piece in pieces)
        assert page.evaluate(PRINT, pieces) == text

    compare()


def test_no_output_takes_more_than_its_share_of_a_page(job_page):
    """Were it quadratic, this would take hours."""
    page = job_page()
    for repeated in HEAVY:
        text = repeated * (50_000 // len(repeated))
        pieces = [("stdout", text[at : at + 5_000]) for at in range(0, len(text), 5_000)]
        whole, _ = render_output([OutputPiece("stdout", text)])
        assert page.evaluate(PRINT, pieces) == whole


def test_output_looks_as_in_a_terminal(job_page):
    """Of recorded tools, in pieces of any length, and of whatever moves the cursor or erases."""
    page = job_page()

    def look(*texts):
        return rows_of(page.evaluate(PRINT, [("stdout", text) for text in texts]))

    for text in RECORDINGS.values():
        for size in (1, 7, 100, len(text)):
            pieces = [text[start : start + size] for start in range(0, len(text), size)]
            assert look(*pieces) == rows_shown(text)

    @hypothesis.given(OUTPUTS)
    @hypothesis.settings(max_examples=500)
    @hypothesis.example("a long line\n\x1b[1A\x1b[0Jb")
    def compare(text):
        assert look(text) == rows_shown(text)

    compare()
