"""Write `llms.txt`, a list of the pages for programs, and `llms-full.txt`, all their text."""

import re
from pathlib import Path

from docutils import nodes
from sphinx.builders.text import TextBuilder
from sphinx.writers.text import TextTranslator

SENTENCE_END = re.compile(r"(?<=[^.])\.\s")
HEAD = "# {project}\n\n> {summary}\n\n"


def setup(app):
    app.connect("build-finished", write)
    return {"parallel_read_safe": True}


def write(app, error):
    """Write both files beside the pages."""
    if error or app.builder.format != "html":
        return
    out = Path(app.outdir)
    head = HEAD.format(project=app.config.project, summary=summary_of(app, "index"))
    pages = [name for name in in_order(app.env, "index") if name != "index"]
    # Those that are in no folder first.
    pages.sort(key=lambda name: "/" in name)
    (out / "llms.txt").write_text(head + "\n".join(listed(app, pages)) + "\n")
    texts = [f"<!-- {name} -->\n\n{text_of(app, name)}\n" for name in pages]
    (out / "llms-full.txt").write_text(head + "\n".join(texts))


def in_order(env, page):
    """Yield a page and those below it, as the tables of contents list them."""
    yield page
    for child in env.toctree_includes.get(page, []):
        yield from in_order(env, child)


def listed(app, pages):
    """Yield the lines that name the pages, those of a folder below a heading."""
    folder = None
    for name in pages:
        parent = str(Path(name).parent)
        if parent != folder:
            folder = parent
            yield f"\n## {'Start' if folder == '.' else folder.capitalize()}\n"
        title = app.env.titles[name].astext()
        yield f"- [{title}]({app.builder.get_target_uri(name)}): {summary_of(app, name)}"


def summary_of(app, name):
    """Return the first sentence of a page's first paragraph."""
    paragraphs = app.env.get_doctree(name).findall(nodes.paragraph)
    paragraph = next(each for each in paragraphs if isinstance(each.parent, nodes.section))
    text = " ".join(paragraph.astext().split())
    return SENTENCE_END.split(text)[0].rstrip(".:") + "."


def text_of(app, name):
    """Return a page's Markdown, or as plain text what is made of docstrings or of another file."""
    source = Path(app.env.doc2path(name)).read_text()
    if "```{eval-rst}" not in source and "```{include}" not in source:
        return source
    builder = TextBuilder(app, app.env)
    builder.init()
    translator = TextTranslator(app.env.get_and_resolve_doctree(name, builder), builder)
    translator.document.walkabout(translator)
    return translator.body
