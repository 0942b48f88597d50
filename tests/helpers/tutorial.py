"""A page of the docs as a person follows it: files are written, commands typed in a terminal."""

import re
import sys
import sysconfig
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pexpect

from tests.helpers.processes import ROOT

PROMPT = "moi-test-prompt> "
DEADLINE = 60
# A venv is made as anywhere, and filled with what the tests have in place of a download.
STAND_INS = """\
PS1='PROMPT'
pip() {
  case "$*" in
    "install moi_django[embedded]") ;;
    *) echo "The test knows no pip $*" >&2; return 1;;
  esac
  for packages in "$VIRTUAL_ENV"/lib/python*/site-packages; do
    printf '%s\\n' "import sys; sys.path.append('ROOT'); import site; site.addsitedir('PACKAGES')" \
      >"$packages"/downloaded.pth
  done
  printf '%s\\n' '#!/bin/sh' 'exec python -m django "$@"' >"$VIRTUAL_ENV"/bin/django-admin
  chmod +x "$VIRTUAL_ENV"/bin/django-admin
}
python3() { PYTHON "$@"; }
"""


class Step(NamedTuple):
    """A block of a page, after the text that says what to do with it."""

    text: str
    language: str
    block: str

    def path(self) -> str:
        """Return the file that the block is, or is the end of."""
        [*_, last] = self.text.strip().split("\n\n")
        return re.findall(r"`(\w+/[\w./]+\.(?:py|html))`", last)[-1]

    def commands(self) -> Iterator[tuple[str, str]]:
        """Yield each command of a console block with what it shall print."""
        for command in re.split(r"^\$ ", self.block, flags=re.MULTILINE)[1:]:
            typed, _, printed = command.partition("\n")
            yield typed, printed


def steps(page: str) -> tuple[list[Step], str]:
    """Return the blocks of a page, each with the text before it, and the text after the last."""
    *parts, rest = re.split(r"^```(\w+)\n(.*?)^```$", page, flags=re.MULTILINE | re.DOTALL)
    groups = zip(parts[::3], parts[1::3], parts[2::3], strict=True)
    return [Step(*group) for group in groups], rest


class Terminal:
    """A shell that a person types into."""

    def __init__(self, directory: Path, env: dict[str, str], first: str = "") -> None:
        commands = STAND_INS.replace("ROOT", str(ROOT)).replace("PYTHON", sys.executable)
        commands = commands.replace("PROMPT", PROMPT)
        file = directory / "stand_ins.sh"
        file.write_text(commands.replace("PACKAGES", sysconfig.get_path("purelib")))
        self._shell = pexpect.spawn(
            "bash",
            ["--noprofile", "--noediting", "--rcfile", str(file)],
            cwd=str(directory),
            env={**env, "DJANGO_COLORS": "nocolor", "VIRTUAL_ENV_DISABLE_PROMPT": "1"},
            encoding="utf-8",
            echo=False,
            timeout=DEADLINE,
            # So that no line is broken.
            dimensions=(50, 1000),
        )
        self._shell.delaybeforesend = None
        self._shell.expect_exact(PROMPT)
        if first:
            self.run(first)

    def run(self, typed: str, answers: dict[str, str] | None = None) -> str:
        """Type a command, answer what it asks, and return what it prints; it has to succeed."""
        said = self._until_prompt(typed, answers or {})
        code = self._until_prompt("echo $?", {})
        assert code.strip() == "0", f"{typed} ended with {code.strip()}: {said}"
        return said

    def start(self, typed: str, until: str) -> "re.Match[str]":
        """Type a command that goes on, and return what it has said that matches a pattern."""
        self._shell.sendline(typed)
        found = self._shell.expect([until, re.escape(PROMPT)])
        assert found == 0, f"{typed} ended: {self._shell.before}"
        return self._shell.match

    def close(self) -> None:
        """Close the window: what still runs in it gets SIGHUP."""
        self._shell.close(force=True)

    def _until_prompt(self, typed: str, answers: dict[str, str]) -> str:
        self._shell.sendline(typed)
        patterns, said = list(answers), ""
        while found := self._shell.expect_exact([PROMPT, *patterns]):
            said += self._shell.before + self._shell.after
            self._shell.sendline(answers[patterns[found - 1]])
        return (said + self._shell.before).replace("\r\n", "\n")
