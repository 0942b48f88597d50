"""The verbs that show jobs and engines live."""

from collections.abc import Callable
from functools import partial
from typing import Any

from django.core.management.base import BaseCommand

from moi_django.contrib.command_line.verb_base import Verb, describe_json, not_installed, write_json


def _describe_top(parser: Any) -> None:
    """Show contexts, engines and the jobs of all users, until Ctrl-C."""
    _describe_look(parser)


def _describe_watch(parser: Any) -> None:
    """Show the jobs of a user as a tree, until Ctrl-C."""
    parser.add_argument("--user", required=True, help="a username, or the UUID of a user or group")
    _describe_look(parser)


def _describe_look(parser: Any) -> None:
    parser.add_argument("--once", action="store_true", help="show it once, as where no terminal is")
    describe_json(parser)


def _top(command: BaseCommand, options: dict[str, Any]) -> None:
    from moi_django.contrib.live_terminal.overview import get_overview

    _show(command, options, get_overview)


def _watch(command: BaseCommand, options: dict[str, Any]) -> None:
    from moi_django.contrib.live_terminal.overview import get_user_tree

    _show(command, options, partial(get_user_tree, options["user"]))


def _show(command: BaseCommand, options: dict[str, Any], look: Callable[[], Any]) -> None:
    """Show what there is, in a terminal until Ctrl-C, else once."""
    if options["json"]:
        write_json(command, look().to_dict())
        return
    try:
        from moi_django.contrib.live_terminal import rich_view
    except ModuleNotFoundError as error:
        raise not_installed(error, "terminal") from error
    if options["once"] or not command.stdout.isatty():
        command.stdout.write(rich_view.render_text(look()), ending="")
    else:
        rich_view.render_live(look, command.stdout)


VERBS = {"top": Verb(_describe_top, _top), "watch": Verb(_describe_watch, _watch)}
