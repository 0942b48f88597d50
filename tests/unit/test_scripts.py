"""The scripts of Redis: their keys and arguments go by name."""

import re

import pytest

from moi_django.store import scripts
from moi_django.store.scripts import Script, load_script
from tests.helpers.package import PACKAGE

LUA = PACKAGE / "store" / "lua"
NAMES = sorted(path.stem for path in LUA.glob("*.lua") if "KEYS:" in path.read_text())


class Client:
    """Takes what a script would be sent."""

    def register_script(self, source):
        self.source = source
        return lambda keys, args: (keys, args)


@pytest.mark.parametrize("name", NAMES)
def test_a_script_uses_all_that_it_is_handed(name):
    _, keys, args = load_script(name)
    code = re.sub(r"--.*", "", (LUA / f"{name}.lua").read_text())
    assert "KEYS" not in code and "ARGV" not in code
    given = [f"{key.removesuffix('...')}_key{'s' if '...' in key else ''}" for key in keys]
    for variable in [*given, *args]:
        assert re.search(rf"\b{variable}\b", code), f"{name}.lua does nothing with {variable}"


@pytest.mark.parametrize("name", NAMES)
def test_a_list_stands_last(name):
    _, keys, args = load_script(name)
    assert not [given for given in [*keys[:-1], *args[:-1]] if given.endswith("...")]


def test_what_goes_by_name_comes_in_its_place():
    script = Script(Client(), "remove_member")
    args = {"message": "m", "id": "i", "channel": "c"}
    assert script({"order": "o", "members": "j"}, args) == (["j", "o"], ["i", "c", "m"])
    renew = Script(Client(), "renew")
    keys = dict.fromkeys(("running", "info", "payload", "log", "display", "files"), "k")
    found, _ = renew({**keys, "ancestors": ["a", "b"]}, {"member": 1, "lease": 2, "lifetime": 3})
    assert found == [*"kkkkkk", "a", "b"]


@pytest.mark.parametrize("keys", [{"members": "j"}, {"members": "j", "order": "o", "seal": "s"}])
def test_a_name_too_few_or_too_many_is_refused(keys):
    script = Script(Client(), "remove_member")
    with pytest.raises(TypeError, match=r"remove_member\.lua takes members, order"):
        script(keys, {"message": "m", "id": "i", "channel": "c"})


def test_every_script_is_run_by_the_store():
    code = "".join(path.read_text() for path in (PACKAGE / "store").glob("*.py"))
    assert set(re.findall(r'run_script\(\s*"(\w+)"', code)) == set(NAMES)
    assert scripts.LUA == LUA
