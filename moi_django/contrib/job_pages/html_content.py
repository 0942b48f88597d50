"""What of an HTML result can be seen, and whether it has scripts that may show more."""

import re

# What shows something without a text.
_PICTURE = re.compile(r"<(?:img|svg|video|audio|hr|input|meter|progress)\b", re.IGNORECASE)
_TAG = re.compile(r"<[^<>]*>")


def has_content(html: str) -> bool:
    """Tell whether something is seen of a document without scripts."""
    left = html
    for name in ("script", "style", "template", "title"):
        left = _without(left, name)
    if _PICTURE.search(left):
        return True
    # Such a frame is a document of its own, with the scripts of it.
    is_framed = "srcdoc=" in left and "script" in left
    return bool(_TAG.sub("", left).strip()) and not is_framed


def has_scripts(html: str) -> bool:
    """Tell whether a document has scripts; those of a frame within count, too."""
    return "script" in html.lower()


def _without(html: str, name: str) -> str:
    """Drop elements of a name with all in them; one without an end goes on to the end."""
    lower, kept, start = html.lower(), list[str](), 0
    while (begin := lower.find(f"<{name}", start)) >= 0:
        kept.append(html[start:begin])
        end = lower.find(f"</{name}", begin)
        end = lower.find(">", end) if end >= 0 else -1
        start = len(html) if end < 0 else end + 1
    return "".join([*kept, html[start:]])
