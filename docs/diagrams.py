"""Draw the sequence diagrams of the docs, light and dark, as SVG: `python docs/diagrams.py`."""

import re
from html import escape
from pathlib import Path

IMAGES = Path(__file__).parent / "images"
COLOURS = {
    "light": {"text": "#1f2328", "line": "#57606a", "box": "#eef2f7", "note": "#fff4ce"},
    "dark": {"text": "#e6edf3", "line": "#9198a1", "box": "#1d2733", "note": "#3d3413"},
}
# Who takes part; then who says what to whom. `-->` is an answer, `*` a remark.
DIAGRAMS = {
    "sequence-job": """
        view | Redis | controller | worker | job process | bridge | page
        view -> Redis: create: info, signed function, place in the queue
        Redis --> view: the job; call an engine?
        view -> controller: work, if engines are idle
        controller -> worker: work: key, address of Redis
        worker -> Redis: claim
        Redis --> worker: info and function; a lease begins
        worker -> job process: the function, if its signature is right
        job process -> worker: status, progress, output
        worker -> Redis: change, and publish on <id>:pubsub
        Redis -> bridge: update: [id]
        bridge -> Redis: MGET, once for a tick of changes
        bridge -> page: update: info
        job process -> worker: result
        worker -> Redis: end, and claim of the next, in one round trip
        Redis -> bridge: update: [id]
        bridge -> page: update: info
    """,
    "sequence-cancel": """
        page | consumer | Redis | worker | job process
        page -> consumer: cancel: [id]
        consumer * may this user change it?
        consumer -> Redis: end as cancelled, if it has not ended
        Redis -> page: update: info, by way of the bridge
        Redis -> worker: look whether your job is wanted
        worker -> job process: SIGINT, which is KeyboardInterrupt
        worker -> job process: after CANCEL_GRACE: SIGTERM, then SIGKILL
        job process --> worker: exit code or signal
        worker -> Redis: claim of the next
    """,
    "sequence-death": """
        submitter | Redis | worker | fork server | reconciler
        worker -> Redis: the lease grows, four times in LEASE
        reconciler -> Redis: leases?
        worker * dies
        fork server * its pipe is closed: kills all job processes
        reconciler -> Redis: leases?
        reconciler * stood still for LEASE by my own clock
        reconciler -> Redis: end as lost; or queue again, if retry_on_lost
        reconciler * calls an engine to what waits
        Redis --> submitter: value() raises JobLost
    """,
    "sequence-page": """
        page | consumer | bridge | Redis
        page -> consumer: connect, with the cookie of the session
        consumer * session, origin, rights
        page -> consumer: watch: {group: rows}
        consumer -> bridge: this group, too
        bridge -> Redis: subscribe first
        Redis --> bridge: subscribed
        bridge -> Redis: then read what is there
        bridge -> page: sync, get, get, sync complete
        Redis * away for a while
        bridge -> page: live: false
        Redis --> bridge: subscribed anew
        bridge -> page: live: true, and a new snapshot
    """,
}
MESSAGE = re.compile(r"^(.+?) (->|-->|\*) (.*)$")
ROW, TOP, MARGIN, LETTER = 40, 56, 20, 6.4
# Between two who take part, of up to so many; of more, less.
COLUMN, FEW, NARROW = 165, 5, 134


def main() -> None:
    """Write all diagrams."""
    for name, source in DIAGRAMS.items():
        for scheme in COLOURS:
            (IMAGES / f"{name}-{scheme}.svg").write_text(draw(source, scheme))


def draw(source: str, scheme: str) -> str:
    """Return a diagram as SVG."""
    head, *lines = [line.strip() for line in source.strip().splitlines()]
    columns = [name.strip() for name in head.split("|")]
    column = COLUMN if len(columns) <= FEW else NARROW
    places = {name: MARGIN + column * (n + 0.5) for n, name in enumerate(columns)}
    width, height = 2 * MARGIN + column * len(columns), TOP + ROW * (len(lines) + 1)
    shapes = [participant(name, x, height) for name, x in places.items()]
    for number, line in enumerate(lines, 1):
        shapes.append(message(line, places, TOP + ROW * number, width))
    return SVG.format(
        width=width,
        height=height,
        summary=escape("; ".join(lines), quote=False),
        shapes="\n".join(shapes),
        **COLOURS[scheme],
    )


def participant(name: str, x: float, height: float) -> str:
    """Return the box of who takes part, and the line of its life."""
    return (
        f'<line class="life" x1="{x:g}" y1="{TOP - 8}" x2="{x:g}" y2="{height - 12:g}"/>'
        f'<rect class="box" x="{x - 62:g}" y="14" width="124" height="34" rx="6"/>'
        f'<text x="{x:g}" y="36" class="who">{escape(name)}</text>'
    )


def message(line: str, places: dict[str, float], y: float, width: float) -> str:
    """Return an arrow from one to another with its text, or a remark at one."""
    [(sender, arrow, rest)] = MESSAGE.findall(line)
    if arrow == "*":
        return remark(places[sender], y, rest, width)
    receiver, text = rest.split(": ", 1)
    start, end = places[sender], places[receiver]
    inset = 3 if end > start else -3
    middle = label_place((start + end) / 2, text, width)
    kind = ' class="answer"' if arrow == "-->" else ' class="call"'
    return (
        f'<line{kind} x1="{start:g}" y1="{y:g}" x2="{end - inset:g}" y2="{y:g}"'
        ' marker-end="url(#head)"/>'
        f'<text x="{middle:g}" y="{y - 7:g}" class="said">{escape(text)}</text>'
    )


def remark(x: float, y: float, text: str, width: float) -> str:
    """Return a remark on what somebody does alone."""
    half = len(text) * LETTER / 2 + 8
    x = label_place(x, text, width)
    return (
        f'<rect class="note" x="{x - half:g}" y="{y - 17:g}" width="{2 * half:g}" height="24"/>'
        f'<text x="{x:g}" y="{y:g}" class="said">{escape(text)}</text>'
    )


def label_place(x: float, text: str, width: float) -> float:
    """Return where the middle of a text goes, so that all of it is in the picture."""
    half = len(text) * LETTER / 2 + 10
    return min(max(x, half), width - half)


SVG = """\
<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width:g} {height:g}" width="{width:g}"
 height="{height:g}" role="img">
<title>{summary}</title>
<style>
text {{ font: 12px system-ui, sans-serif; fill: {text}; text-anchor: middle; }}
.who {{ font-weight: 600; }}
.said {{ paint-order: stroke; }}
.box {{ fill: {box}; stroke: {line}; }}
.note {{ fill: {note}; stroke: none; }}
.life {{ stroke: {line}; stroke-dasharray: 2 4; opacity: 0.6; }}
.call {{ stroke: {line}; stroke-width: 1.5; }}
.answer {{ stroke: {line}; stroke-width: 1.5; stroke-dasharray: 6 4; }}
</style>
<defs>
<marker id="head" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="8" markerHeight="8"
 orient="auto">
<path d="M0 0 8 4 0 8z" fill="{line}"/></marker>
</defs>
{shapes}
</svg>
"""

if __name__ == "__main__":
    main()
