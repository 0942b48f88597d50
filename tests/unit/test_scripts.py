"""The scripts of Redis: their keys and arguments go by name."""

import re

import pytest

from moi_django.store import scripts
from moi_django.store.scripts import Script, ScriptCall, load_script
from tests.helpers.package import PACKAGE

LUA = PACKAGE / "store" / "lua"
NAMES = sorted(path.stem for path in LUA.glob("*.lua") if "-- ARGS:" in path.read_text())


class Pipeline:
    """Takes what a script would be sent."""

    def evalsha(self, sha, count, *values):
        self.keys, self.args = [*values[:count]], [*values[count:]]


def sent(name, keys, args):
    pipeline = Pipeline()
    Script(name).queue(pipeline, ScriptCall(name, keys, args))
    return pipeline.keys, pipeline.args


@pytest.mark.parametrize("name", NAMES)
def test_a_script_uses_all_that_it_is_handed(name):
    text = (LUA / f"{name}.lua").read_text()
    used = re.findall(r"^-- USES: (.*)", text, re.MULTILINE)
    files = [name, *(used[0].split() if used else [])]
    code = re.sub(r"--.*", "", "".join((LUA / f"{file}.lua").read_text() for file in files))
    assert not re.search(r"\b(KEYS|ARGV)\b", code)
    _, keys, args = load_script(name)
    given = [f"{key.removesuffix('...')}_key{'s' if '...' in key else ''}" for key in keys]
    for variable in [*given, *(arg.removesuffix("...") for arg in args)]:
        assert re.search(rf"\b{variable}\b", code), f"{name}.lua does nothing with {variable}"


@pytest.mark.parametrize("name", NAMES)
def test_a_list_stands_last(name):
    _, keys, args = load_script(name)
    assert not [given for given in [*keys[:-1], *args[:-1]] if given.endswith("...")]


def test_what_goes_by_name_comes_in_its_place():
    args = {"message": "m", "id": "i", "channel": "c"}
    assert sent("remove_member", {"order": "o", "members": "j"}, args) == (
        ["j", "o"],
        ["i", "c", "m"],
    )
    names = ("running", "info", "payload", "log", "display", "files", "checkpoint", "unique")
    keys = dict.fromkeys(names, "k")
    found, _ = sent("renew", {**keys, "ancestors": ["a", "b"]}, {"member": 1, "lifetime": 3})
    assert found == [*"kkkkkkkk", "a", "b"]


@pytest.mark.parametrize("keys", [{"members": "j"}, {"members": "j", "order": "o", "seal": "s"}])
def test_a_name_too_few_or_too_many_is_refused(keys):
    with pytest.raises(TypeError, match=r"remove_member\.lua takes members, order"):
        sent("remove_member", keys, {"message": "m", "id": "i", "channel": "c"})


def test_every_script_is_run():
    code = "".join(path.read_text() for path in PACKAGE.rglob("*.py"))
    assert set(re.findall(r'(?:run_script|ScriptCall)\(\s*"(\w+)"', code)) == set(NAMES)
    assert scripts.LUA == LUA
