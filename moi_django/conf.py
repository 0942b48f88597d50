"""Read `settings.MOI` late: nothing is looked at before it is needed, and tests may change it."""

import os
import sys
from collections.abc import Callable, Sequence
from concurrent.futures import Executor, ThreadPoolExecutor
from contextvars import ContextVar
from importlib import import_module
from pathlib import Path
from typing import Any, Generic, TypeVar

from django.conf import settings

from moi_django.exceptions import NotRunning, UnknownContext
from moi_django.options import Options
from moi_django.state_dir import RunningServices, read_services

DEFAULT_CONTEXT = "default"
# Owner of jobs that belong to nobody; never a user of the site.
NO_USER = "no-user"
# Path of the websocket below the site's root.
WEBSOCKET_PATH = "moi-ws/"

T = TypeVar("T")
# Dotted path of a function (user, action, info) -> True, False or None, or the function itself.
Hook = str | Callable[[Any, str, Any], bool | None]
# The same of a function (name of an owner, context) -> a number or None.
LimitHook = str | Callable[[str, str], int | None]


class Setting(Generic[T]):
    """A key of settings.MOI with what holds when it is left out; read whenever it is asked for."""

    def __init__(self, default: T) -> None:
        self.default = default

    def __set_name__(self, owner: type, name: str) -> None:
        self._name = name

    def __get__(self, conf: object, owner: type) -> T:
        given = getattr(settings, "MOI", {})
        # What is no dict the checks complain of.
        value: T = given.get(self._name, self.default) if isinstance(given, dict) else self.default
        return value


# What apps let run beside each bridge: a start returns what stops it, and neither blocks.
companions: set[Callable[[], Callable[[], object]]] = set()


def _isolation() -> Any:
    """Return what the tests of a site use instead of what it names, an optional part."""
    return import_module("moi_django.contrib.testing.isolation")


class Conf:
    """The settings of this site, each read when asked for: `conf.EXPIRE`."""

    # True where an app has said that it hears of events.
    hears_events = False

    # Where Redis is: redis://, rediss://, unix:// or redis+sentinel://. None: MOI_REDIS_URL, else
    # the server that `manage.py moi up` of this project runs.
    REDIS_URL = Setting[str | None](None)
    # The same Redis as the engines reach it, when that is another address. None: REDIS_URL.
    ENGINE_REDIS_URL = Setting[str | None](None)
    # Goes before every key and every channel.
    KEY_PREFIX = Setting("")
    # Seconds that jobs and groups are kept after their last change.
    EXPIRE = Setting(86400 * 14)
    # Name -> how to find the cluster: {"connection_file": PATH}, or {"profile": NAME} or
    # {"profile_dir": PATH}, both with an optional "cluster_id"; {"BACKEND": "immediate"} has none.
    # A "LAUNCHER" says how `moi cluster start` starts one (contrib.clusters.context_settings).
    # {} for the default context: that of `manage.py moi up`, else IPython's profile "default".
    CONTEXTS = Setting[dict[str, dict[str, Any]]]({DEFAULT_CONTEXT: {}})
    # Seconds to wait for a controller that does not answer.
    CLUSTER_TIMEOUT = Setting(3.0)
    # Maximum length of the pickled function and arguments of a job in bytes.
    PAYLOAD_LIMIT = Setting(32_000_000)
    # Bytes of the same, signed, that are kept of a job that did not succeed.
    RETRY_PAYLOAD_LIMIT = Setting(1_000_000)
    # Seconds for which a lease may stand still before its engine is taken for dead.
    LEASE = Setting(8.0)
    # Seconds that an engine without a job waits for the next one before it is free for others.
    LINGER = Setting(0.5)
    # Seconds of work after which an engine lets others of its cluster have their turn.
    WORK_TURN = Setting(10.0)
    # Owners of jobs take turns, by the engine time they have used; False: first come, first served.
    FAIR = Setting(True)
    # Name -> how many jobs may run at once that give it as their limit.
    LIMITS = Setting[dict[str, int]]({})
    # How many jobs of one owner may run at once in a context, or a function (name of the owner,
    # context) -> that, or its dotted path. None: any number.
    OWNER_LIMIT = Setting[int | LimitHook | None](None)
    # Modules that engines import before any job: each job's process has them from the start.
    PRELOAD = Setting[Sequence[str]](())
    # Modules that an engine has to find before it takes a job. None: that of the settings.
    ENGINE_IMPORTS = Setting[Sequence[str] | None](None)
    # Name -> what is to run by the clock: {"func": PATH, "cron": "0 3 * * *", "owner": NAME, ...}.
    SCHEDULE = Setting[dict[str, dict[str, Any]]]({})
    # Bytes of memory that the process of a job and those it has started may take. None: any.
    MEMORY_LIMIT = Setting[int | None](None)
    # Seconds that a cancelled or overdue job has to end before its process is killed.
    CANCEL_GRACE = Setting(10.0)
    # Seconds for which an engine tries to write the end of a job to a Redis that is away.
    RESULT_PATIENCE = Setting(3600.0)
    # Inside a database transaction, send the job after the commit.
    ON_COMMIT = Setting(True)
    # Dotted path of a function or ContextVar, or one itself, that has the id of the request which a
    # process serves. None: jobs know none.
    REQUEST_ID = Setting[str | Callable[[], object] | ContextVar[Any] | None](None)
    # Alias of the channel layer that carries updates to the websockets of this process.
    CHANNEL_LAYER = Setting("default")
    # Where the websocket is, when that is not "moi-ws/" below the site's root.
    WEBSOCKET_URL = Setting[str | None](None)
    # Where users look at their own jobs, an address or the name of one. None: on a page of ours.
    LIST_URL = Setting[str | None](None)
    # Name whose jobs visitors share who are not logged in. None: they have none.
    ANONYMOUS_USER = Setting[str | None](None)
    # Decides who may do what, before the usual rule; None leaves a case to that.
    AUTHORIZE = Setting[Hook | None](None)
    # Private directory of `manage.py moi up`. None: ".moi" in settings.BASE_DIR.
    STATE_DIR = Setting[str | os.PathLike[str] | None](None)
    # Bearer token for metrics and details of health; seconds after which a wait is told by that.
    MONITOR_TOKEN = Setting[str | None](None)
    HEALTH_MAX_WAIT = Setting[float | None](None)
    # Note in short with which arguments jobs are called, without what is called like a secret.
    SHOW_ARGUMENTS = Setting(True)
    # Maximum length of a result in bytes of JSON.
    RESULT_LIMIT = Setting(1_000_000)
    # Bytes of JSON beyond which a result is not sent to pages that only list the job.
    RESULT_PREVIEW = Setting(10_000)
    # Bytes of what a job prints that are kept, the latest; and of how its result looks.
    LOG_LIMIT = Setting(5_000_000)
    DISPLAY_LIMIT = Setting(2_000_000)
    # Alias in STORAGES of where files are kept that jobs attach, and maximum size of one in bytes.
    STORAGE = Setting("default")
    FILE_LIMIT = Setting(100_000_000)
    # Seconds after which files are deleted whose job Redis does not know. 0: never. Not for a
    # storage in which another site keeps files of its jobs: they are as unknown here.
    STRAY_FILES_AGE = Setting(0.0)
    # Maximum length of a status text and of a name in characters; longer ones are cut.
    STATUS_LIMIT = Setting(1_000)
    NAME_LIMIT = Setting(200)
    # Maximum length of a frame from a browser in characters.
    FRAME_LIMIT = Setting(65_536)
    # True: under a test runner, jobs are kept in a Redis that is started for the tests, and run in
    # who submits them, whatever the other settings say.
    TEST_ISOLATION = Setting(True)
    # True: scripts of HTML results run, in a frame with an origin of its own.
    RESULT_SCRIPTS = Setting(False)
    # Verbs a browser may send in a second over a while, and at once.
    VERBS_PER_SECOND = Setting(20.0)
    VERBS_BURST = Setting(100)
    # Maximum number of groups that one socket watches.
    WATCH_LIMIT = Setting(50)
    # Members of a group that a page gets at once; more follow when they are asked for.
    PAGE_ROWS = Setting(50)
    # Maximum number of jobs and groups in one snapshot, and of those that one page shows.
    SNAPSHOT_LIMIT = Setting(1_000)
    ROWS_LIMIT = Setting(5_000)
    # Seconds between two times at which pages hear of changes, at least: the first one they hear at
    # once, and more are merged when there is much to send.
    TICK = Setting(0.05)
    # Seconds between two looks at whether a socket's user is still logged in.
    SESSION_CHECK = Setting(30.0)
    # Seconds that a browser may take to accept a frame before it is disconnected.
    SEND_TIMEOUT = Setting(30.0)

    # How a job stands in its queue, a dataclass or None, and that in words; the app puts them here.
    find_standing: Callable[[Any], Any] = staticmethod(lambda info: None)
    describe_place: Callable[[Any], str] = staticmethod(lambda info: "")
    # What waiting jobs say, in the language of the page: one text, and all by their patterns.
    translate_status: Callable[[str], str] = staticmethod(lambda status: status)
    translated_waits: Callable[[], list[tuple[str, str]]] = staticmethod(list)
    # Returns where files are kept that jobs attach, an optional part; the app puts it here.
    get_attachment_storage: Callable[[], Any] = staticmethod(lambda: None)
    # Return what describes the code of the site, and what engines prove; the app puts them here.
    describe_code: Callable[[], Any] = staticmethod(lambda: None)
    describe_proof: Callable[[], Any] = staticmethod(lambda: None)
    # Returns what describes calls of a function, (args, kwargs) -> text; the app puts it here.
    describe_calls: Callable[[Any], Any] = staticmethod(lambda _: lambda *_, **__: None)
    # Gets (info, func, around of the job that is retried) when jobs are sent; the app sets it.
    # Returns their `Payload.around`, and what makes a function of (create, infos).
    begin_sending: Callable[..., Any] = staticmethod(lambda *_: ({}, lambda create, infos: create))
    # Returns who a session is, in which `user` is logged in or nobody; a middleware puts it here.
    find_visitor: Callable[..., Any] = staticmethod(lambda user, session: user)
    # Says in options what is active here, where they leave that open; the app puts it here.
    with_caller: Callable[[Options], Options] = staticmethod(lambda options: options)

    # Makes of the query of an address what its page wants to see of a tree; the app puts it here.
    parse_filter: Callable[[Any], Any] = staticmethod(lambda query: None)

    @property
    def state_dir(self) -> Path:
        """The directory in which `moi up` says what it runs."""
        given = self.STATE_DIR
        base = Path(getattr(settings, "BASE_DIR", None) or Path.cwd())
        return Path(given) if given else base / ".moi"

    @property
    def is_isolated(self) -> bool:
        """True in the tests of a site, which have no business with its Redis and its clusters.

        Their runner says so; before it does, and to what tests start, the program or environment.
        """
        is_inherited = not os.environ.keys().isdisjoint(("PYTEST_VERSION", "MOI_TEST_RUN"))
        command = " ".join(sys.argv[:2]).removesuffix("server")
        is_command = command.endswith(("manage.py test", "django-admin test", "__main__.py test"))
        state = getattr(sys.modules.get("django.test.utils"), "_TestState", None)
        return self.TEST_ISOLATION and (hasattr(state, "saved_data") or is_inherited or is_command)

    @property
    def services(self) -> RunningServices | None:
        """What a live `moi up` of this project runs, or None."""
        return None if self.is_isolated else read_services(self.state_dir)

    @property
    def configured_redis_url(self) -> str | None:
        """The address of Redis that the site or its environment names."""
        if self.is_isolated:
            return None
        return self.REDIS_URL or os.environ.get("MOI_REDIS_URL") or None

    @property
    def redis_url(self) -> str:
        """The address of Redis; raises NotRunning when none is named and no `moi up` runs."""
        if self.is_isolated:
            return str(_isolation().redis_url())
        url = self.configured_redis_url
        if url:
            return url
        services = self.services
        if services is None:
            raise NotRunning(
                "moi has no Redis: start one with `python manage.py moi up`, or name yours in "
                'MOI["REDIS_URL"] or MOI_REDIS_URL.'
            )
        return services.redis_url

    @property
    def engine_redis_url(self) -> str:
        """The address of Redis as the engines reach it."""
        return (not self.is_isolated and self.ENGINE_REDIS_URL) or self.redis_url

    @property
    def file_storage(self) -> str:
        """The alias in STORAGES of where files of jobs are kept, or the directory of tests."""
        return str(_isolation().file_directory()) if self.is_isolated else self.STORAGE

    def make_executor(self, threads: int, name: str) -> Executor:
        """Return threads for what blocks; in tests the one that has their transaction."""
        kind = _isolation().CallerThread if self.is_isolated else ThreadPoolExecutor
        return kind(threads, thread_name_prefix=name)

    @property
    def server_frame_limit(self) -> int:
        """Bytes of a frame that a web server has to take in: a character may take four."""
        return 4 * self.FRAME_LIMIT

    @property
    def names_no_cluster(self) -> bool:
        """True where the default context is the cluster of `moi up`, or IPython's default."""
        given = self.CONTEXTS.get(DEFAULT_CONTEXT)
        return given in (None, {}, {"BACKEND": "ipyparallel"})

    def context(self, name: str) -> dict[str, Any]:
        """Return how to find a cluster.

        Raises UnknownContext when MOI["CONTEXTS"] has no such name.
        """
        contexts = self.CONTEXTS
        if name not in contexts:
            raise UnknownContext(f"Unknown context: {name}. There are: {', '.join(contexts)}.")
        if self.is_isolated:
            return dict(_isolation().context())
        found = dict(contexts[name])
        if "LAUNCHER" in found:
            file = f"clusters/{name}/controller/security/ipcontroller-client.json"
            return {"connection_file": str(self.state_dir / file)}
        if name == DEFAULT_CONTEXT and self.names_no_cluster:
            return self._own_cluster()
        return found

    def _own_cluster(self) -> dict[str, Any]:
        """Return how to find the cluster of `moi up`."""
        file = os.environ.get("MOI_CONNECTION_FILE")
        if not file and (services := self.services):
            file = services.connection_file
        return {"connection_file": file} if file else {"profile": "default"}


conf = Conf()
# Every key of settings.MOI with its default.
DEFAULTS: dict[str, Any] = {
    name: setting.default for name, setting in vars(Conf).items() if isinstance(setting, Setting)
}
