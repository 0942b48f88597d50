"""The docs say what the code does."""

import ast
import dataclasses
import importlib.util
import inspect
import re
import shlex
from itertools import chain
from pathlib import Path

import pytest
from django.core.management import load_command_class
from django.dispatch import Signal
from django.template import engines

import moi_django
from moi_django import Options, consumers, exceptions, signals
from moi_django.conf import DEFAULTS
from moi_django.contrib.clusters import context_settings
from moi_django.contrib.notify import conf as notify_conf
from moi_django.models import Info
from moi_django.store import keys as keys_module
from moi_django.store.keys import Keys
from moi_django.templatetags.moi import moi_jobs

ROOT = Path(__file__).parents[2]
DOCS = {
    str(path.relative_to(ROOT)): path.read_text()
    for path in [
        ROOT / "README.md",
        ROOT / "CONTRIBUTING.md",
        ROOT / "SECURITY.md",
        *ROOT.glob("docs/**/*.md"),
    ]
}


def code(language):
    """Return every block of a language, with the page that has it."""
    pattern = rf"^( *)```{language}\n(.*?)^ *```$"
    for name, text in DOCS.items():
        for indent, block in re.findall(pattern, text, re.MULTILINE | re.DOTALL):
            yield name, "\n".join(line.removeprefix(indent) for line in block.split("\n"))


def table(text):
    """Return the cells of each row of the tables of a page."""
    rows = [line.strip("|").split("|") for line in text.splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in row] for row in rows]


@pytest.mark.parametrize(("part", "defaults"), [(0, DEFAULTS), (1, notify_conf.DEFAULTS)])
def test_every_setting_is_documented_with_its_default(part, defaults):
    text = re.split("^## .*$", DOCS["docs/reference/settings.md"], flags=re.MULTILINE)[part]
    documented = {
        row[0].strip("`"): row[1].strip("`") for row in table(text) if row[0].startswith("`")
    }
    assert documented == {name: repr(value) for name, value in defaults.items()}


def test_every_key_of_a_context_is_documented():
    _, text = DOCS["docs/reference/settings.md"].split("## Contexts with a LAUNCHER")
    documented = [row[0].strip("`") for row in table(text) if row[0].startswith("`")]
    assert documented == list(context_settings.KEYS)


def test_every_check_is_documented():
    rows = [row for row in table(DOCS["docs/reference/checks.md"]) if row[0].startswith("`")]
    files = ROOT.glob("moi_django/contrib/**/*checks*/*.py"), ROOT.glob("moi_django/**/checks.py")
    source = "".join(path.read_text() for path in chain(*files))
    assert {row[0].strip("`") for row in rows} == set(re.findall(r'id="(moi\.\w+)"', source))
    # From 10 to 19 a number is that of a check for a deployment.
    for id, found_by, _ in rows:
        assert (found_by == "`check --deploy`") == (10 <= int(id.strip("`")[-3:]) < 20), id


def test_every_logger_is_documented_and_no_other():
    [text] = re.findall(r"^## The log$(.*?)^An engine", DOCS["docs/howto/operate.md"], re.M | re.S)
    documented = re.findall(
        r"`((?:moi_django|django)\.[\w.]+)`", "".join(row[0] for row in table(text))
    )
    loggers = []
    for path in (ROOT / "moi_django").rglob("*.py"):
        for name in re.findall(r"^logger = logging\.getLogger\((.*)\)$", path.read_text(), re.M):
            module = ".".join(path.relative_to(ROOT).with_suffix("").parts)
            loggers.append(module if name == "__name__" else name.strip('"'))
    # Others are not ours to document.
    ours = {each for each in loggers if each.startswith("moi_django.")}
    assert {each for each in ours if not each.startswith(tuple(documented))} == set()
    assert {each for each in documented if not any(map(re.compile(each).match, loggers))} == set()


def test_every_verb_and_close_code_is_documented():
    text = DOCS["docs/reference/websocket.md"]
    _, server, client, codes = re.split("^## ", text, flags=re.MULTILINE)
    assert set(re.findall(r'^\| `\{"(\w+)"', client, re.MULTILINE)) == set(
        consumers.JobsConsumer._verbs
    )
    scripts = (ROOT / "moi_django/static/moi_django").glob("*.js")
    heard = [
        table
        for script in scripts
        for table in re.findall(r"verbs = \{(\n.*?)\n  \};", script.read_text(), re.DOTALL)
    ]
    assert set(re.findall(r'^\| `\{"(\w+)"', server, re.MULTILINE)) == set(
        re.findall(r"^    (\w+):", "".join(heard), re.MULTILINE)
    )
    ours = {
        value
        for name, value in vars(consumers).items()
        if name.isupper() and isinstance(value, int) and value >= 1000
    }
    assert {int(number) for number in re.findall(r"^\| (\d{4}) \|", codes, re.MULTILINE)} == (
        ours | {1000}
    )


PLACEHOLDERS = {"id": "<id>", "root": "<group>"}


def names_of_keys():
    """Return every key and channel that the code has, as the tables write them."""
    keys, found = Keys(""), set()
    for name, value in vars(Keys).items():
        if isinstance(value, property):
            found.add(getattr(keys, name))
        elif (
            inspect.isfunction(value)
            and inspect.signature(value).return_annotation is str
            and name != "id_of_channel"
        ):
            _, *parameters = inspect.signature(value).parameters
            found.add(value(keys, *(PLACEHOLDERS.get(each, f"<{each}>") for each in parameters)))
    # That of a minute begins with it.
    return found - {"ended"}


def heads_of_script_keys():
    """Return how the keys begin that scripts make by themselves."""
    return {
        name
        for file in (Path(keys_module.__file__).parent / "lua").glob("*.lua")
        for name in re.findall(r"prefix \.\. '([a-z-]+)", file.read_text())
    }


def test_every_key_of_redis_is_documented_and_no_other():
    text = DOCS["docs/reference/redis.md"]
    keys, channels = text.split("## The info object")[0], text.split("## Channels")[1]
    documented = {
        name
        for part in (keys, channels)
        for row in table(part)
        for name in re.findall(r"`([^`]+)`", row[0])
    }
    in_code = set(
        re.findall(
            r"^([a-z<]\S+) +(?:string|hash|list|set|zset|stream) ", keys_module.__doc__, re.M
        )
    )
    channels_in_code = set(
        re.findall(
            r"^(\S+) +(?:\{|anything|nothing)", keys_module.__doc__.split("channel  ")[1], re.M
        )
    )
    assert in_code | channels_in_code == documented
    named, heads = names_of_keys(), heads_of_script_keys()
    others = documented - {"<group>:pubsub"} - named
    assert named <= documented
    assert {name.split(":")[0] for name in others} <= heads <= {n.split(":")[0] for n in documented}


def test_every_field_of_the_info_object_is_documented():
    text = DOCS["docs/reference/redis.md"].split("## The info object")[1].split("## ")[0]
    documented = re.findall(r"`(\w+)`", " ".join(row[0] for row in table(text)))
    info = Info(id="x", name="x", type="job", pubsub="x")
    assert sorted(documented) == sorted(info.to_dict())


def test_every_option_of_the_command_is_documented_and_no_other():
    parser = load_command_class("moi_django", "moi").create_parser("manage.py", "moi")
    [verbs] = [action for action in parser._actions if action.dest == "verb"]
    shared = {option for action in parser._actions for option in action.option_strings}
    sections = dict(
        re.findall(
            r"^## (\w+)\n(.*?)(?=^## |\Z)",
            DOCS["docs/reference/command.md"],
            re.MULTILINE | re.DOTALL,
        )
    )
    assert sections.keys() == verbs.choices.keys()
    for verb, section in sections.items():
        options = {
            option for action in verbs.choices[verb]._actions for option in action.option_strings
        } - shared
        assert set(re.findall(r"(?<![\w-])(--[a-z][\w-]+)", section)) == options


def shown_default(action):
    """Return what a table says of the default of an option."""
    if isinstance(action.default, bool):
        return "no"  # that is not given
    return "" if action.default in (None, []) else f"`{action.default}`"


NEXT_PORT = "`127.0.0.1:8000`, or the next port that is free"


def test_the_defaults_of_options_are_those_of_the_command():
    parser = load_command_class("moi_django", "moi").create_parser("manage.py", "moi")
    [verbs] = [action for action in parser._actions if action.dest == "verb"]
    parts = re.split(r"^## (\w+)\n", DOCS["docs/reference/command.md"], flags=re.MULTILINE)
    for verb, section in zip(parts[1::2], parts[2::2], strict=True):
        options = {
            option: action
            for action in verbs.choices[verb]._actions
            for option in action.option_strings
        }
        for names, default, _ in table(section):
            for name in re.findall(r"`(--[\w-]+)`", names):
                said = {"none": "", "number of CPUs": "", NEXT_PORT: ""}.get(default, default)
                shown = shown_default(options[name])
                assert said == shown or (said, shown) == ("", "no"), f"{verb} {name}"


@pytest.mark.parametrize(
    ("page", "line"),
    [
        pytest.param(page, line)
        for page, block in chain(code("console"), code("ini"))
        for line in re.findall(
            r"^(?:\$ |Exec\S+/)(?:python manage\.py|lab-manage) moi (.*)$", block, re.MULTILINE
        )
    ],
)
def test_commands_in_the_docs_are_right(page, line):
    parser = load_command_class("moi_django", "moi").create_parser("manage.py", "moi")
    parser.parse_args(shlex.split(line.split(" | ")[0]))


def test_every_option_of_a_job_is_documented_with_its_default():
    rows = {
        row[0].strip("`"): row[1].strip("`").replace('"', "'")
        for row in table(DOCS["docs/reference/python.md"])
        if row[0].strip("`") in {field.name for field in dataclasses.fields(Options)}
    }
    assert rows == {field.name: repr(field.default) for field in dataclasses.fields(Options)}


def test_every_error_is_documented():
    [text] = re.findall(
        r"^## Errors\n(.*?)^## ", DOCS["docs/reference/python.md"], re.MULTILINE | re.DOTALL
    )
    errors = {name for name, value in vars(exceptions).items() if inspect.isclass(value)}
    internal = {"NoProcess", "UsageError"}
    assert {each for each in errors - internal if each not in text and each != "Self"} == set()


def test_the_changelog_knows_the_version_and_every_verb():
    text = (ROOT / "CHANGELOG.md").read_text()
    assert f"## [{moi_django.__version__}]" in text
    [line] = re.findall(r"^- `manage\.py moi submit`.*?(?=^- )", text, re.MULTILINE | re.DOTALL)
    parser = load_command_class("moi_django", "moi").create_parser("manage.py", "moi")
    [verbs] = [action for action in parser._actions if action.dest == "verb"]
    named = {each.split()[-1] for each in re.findall("`(.*?)`", line)}
    added_since = set(
        re.findall(r"^- `manage\.py moi (\w+)", text.split("\n## [0.3.0]")[0], re.MULTILINE)
    )
    assert named | added_since == verbs.choices.keys()


def test_every_public_name_is_documented():
    text = DOCS["docs/reference/python.md"]
    assert [name for name in moi_django.__all__ if not re.search(rf"\b{name}\b", text)] == []


@pytest.mark.parametrize(("page", "block"), [pytest.param(*each) for each in code("python")])
def test_python_in_the_docs_compiles_and_imports_what_there_is(page, block):
    for node in ast.walk(ast.parse(block)):
        if isinstance(node, ast.ImportFrom) and node.module.split(".")[0] == "moi_django":
            module = __import__(node.module, fromlist=["x"])
            for name in node.names:
                assert hasattr(module, name.name)


@pytest.mark.parametrize(("page", "block"), [pytest.param(*each) for each in code("html")])
def test_templates_in_the_docs_compile(page, block):
    if "{%" not in block:
        return
    load = "" if "{% load moi %}" in block or "{% extends" in block else "{% load moi %}"
    engines["django"].from_string(load + block)


def test_the_lines_to_add_to_a_site_are_those_of_the_example():
    example = (ROOT / "example_project/example/settings.py").read_text()
    blocks = [block for page, block in code("python") if '"channels",\n' in block]
    assert len(blocks) == 2
    for block in blocks:
        for line in block.strip().splitlines():
            assert line.strip().startswith("#") or line in example


def anchors(text):
    """Return what the headings of a page are called in links, as code hosts do."""
    prose = re.sub(r"^```.*?^```$", "", text, flags=re.MULTILINE | re.DOTALL)
    headings = re.findall(r"^#+ (.*)$", prose, re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", each.lower()).replace(" ", "-") for each in headings}


@pytest.mark.parametrize("page", DOCS)
def test_links_lead_somewhere(page):
    text = re.sub(r"^ *```.*?^ *```$", "", DOCS[page], flags=re.DOTALL | re.MULTILINE)
    for target in re.findall(r"\]\(([^)]+)\)|(?:src|srcset)=\"([^\"]+)\"", text):
        path, _, anchor = "".join(target).partition("#")
        if "://" in path:
            assert re.fullmatch(r"https://[a-z0-9-]+(\.[a-z0-9-]+)+(/[\w.~/%+-]*)?", path), path
            continue
        file = (ROOT / page).parent.joinpath(path) if path else ROOT / page
        assert file.exists(), path
        assert not anchor or anchor in anchors(file.read_text()), f"{path}#{anchor}"


def test_the_readme_names_every_page():
    named = {f"docs/{path}" for path in re.findall(r"\]\(docs/([^)#]+\.md)", DOCS["README.md"])}
    pages = {name for name in DOCS if name.startswith("docs/")}
    # Those that only the site needs.
    pages -= {"docs/index.md", "docs/reference/api.md"}
    assert {page for page in pages if not page.startswith("docs/project/")} == named


def test_diagrams_are_those_that_the_script_draws():
    spec = importlib.util.spec_from_file_location("diagrams", ROOT / "docs/diagrams.py")
    diagrams = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(diagrams)
    drawn = {
        f"{name}-{scheme}.svg": diagrams.draw(source, scheme)
        for name, source in diagrams.DIAGRAMS.items()
        for scheme in diagrams.COLOURS
    }
    kept = {file.name: file.read_text() for file in (ROOT / "docs/images").glob("*.svg")}
    assert kept == drawn


def test_every_block_and_option_of_the_page_is_documented():
    text = DOCS["docs/reference/page.md"]
    options, blocks = text.split("## `data-moi`")[0], text.split("## Blocks")[1].split("## ")[0]
    template = (ROOT / "moi_django/templates/moi_django/jobs.html").read_text()
    first = [row[0].strip("`") for row in table(blocks) if row[0].startswith("`")]
    assert first == re.findall(r"{% block (\w+) %}", template)
    parameters = list(inspect.signature(moi_jobs).parameters)[1:]
    assert [row[0].strip("`") for row in table(options) if row[0].startswith("`")] == parameters


def test_every_variable_and_hole_of_the_page_is_documented():
    text = DOCS["docs/reference/page.md"]
    css = (ROOT / "moi_django/static/moi_django/moi.css").read_text()
    assert set(re.findall(r"--moi-[a-z]+", text)) == set(re.findall(r"--moi-[a-z]+", css))
    templates = (ROOT / "moi_django/templates/moi_django").glob("*.html")
    holes = set(re.findall(r'data-moi="([\w-]+)"', "".join(path.read_text() for path in templates)))
    fields = set(Info(id="x", name="x", type="job", pubsub="x").to_dict())
    assert holes - fields - set(re.findall(r"`([\w-]+)`", text)) == set()


def test_every_signal_is_documented():
    rows = table(DOCS["docs/howto/signals.md"])
    documented = {row[0].strip("`") for row in rows if row[0].startswith("`")}
    assert documented == {name for name, each in vars(signals).items() if isinstance(each, Signal)}


FILES = sorted((ROOT / "docs/howto/systemd").iterdir())


@pytest.mark.parametrize("file", [pytest.param(path, id=path.name) for path in FILES])
def test_files_to_copy_stand_in_their_page_as_they_are(file):
    languages = {".nginx": "nginx", "": "sh"}
    blocks = [
        block
        for page, block in code(languages.get(file.suffix, "ini"))
        if page == "docs/howto/deploy-recipes.md"
    ]
    assert file.read_text() in blocks


# Steps that several kinds of sites take in the same way, by the heading of their part.
def deploy_commands(page, heading):
    [part] = re.findall(rf"^## {heading}$(.*?)^## ", DOCS[page], re.MULTILINE | re.DOTALL)
    blocks = re.findall(r"^```console\n(.*?)^```$", part, re.MULTILINE | re.DOTALL)
    return re.sub("/var/lib/lab|/srv/lab/state", "", "".join(blocks)).splitlines()


@pytest.mark.parametrize("heading", ["Web server and firewall", "See that it works"])
def test_pages_for_kinds_of_sites_do_the_same_in_the_same_way(heading):
    slurm, ssh = (
        deploy_commands(f"docs/howto/deploy-{kind}.md", heading) for kind in ("slurm", "ssh")
    )
    assert slurm == ssh != []


def test_the_index_lists_no_page_twice():
    trees = re.findall(r"^```{toctree}\n(.*?)^```$", DOCS["docs/index.md"], re.M | re.S)
    listed = [line for tree in trees for line in tree.splitlines() if line and line[0] != ":"]
    assert sorted(listed) == sorted(set(listed))
