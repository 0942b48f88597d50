"""Read `settings.MOI` late: nothing is looked at before it is needed, and tests may change it."""

import os
from pathlib import Path
from typing import Any

from django.conf import settings

from moi_django.exceptions import NotRunning, UnknownContext
from moi_django.state_dir import RunningServices, read_services

DEFAULT_CONTEXT = "default"
# Owner of jobs that belong to nobody; never a user of the site.
NO_USER = "no-user"
# Of the websocket, below the site's root.
WEBSOCKET_PATH = "moi-ws/"

# Every key of settings.MOI with what holds when it is left out.
DEFAULTS: dict[str, Any] = {
    # Where Redis is: redis://, rediss:// or unix://. None: MOI_REDIS_URL of the environment, else
    # the server that `manage.py moi up` of this project runs.
    "REDIS_URL": None,
    # The same Redis as the engines reach it, when that is another address. None: REDIS_URL.
    "ENGINE_REDIS_URL": None,
    # Goes before every key and every channel.
    "KEY_PREFIX": "",
    # Seconds that jobs and groups are kept after their last change.
    "EXPIRE": 86400 * 14,
    # Name -> how to find the cluster: {"connection_file": PATH}, or {"profile": NAME} or
    # {"profile_dir": PATH}, both with an optional "cluster_id". {} for the default context: the
    # cluster of `manage.py moi up`, else IPython's profile "default".
    "CONTEXTS": {DEFAULT_CONTEXT: {}},
    # Seconds to wait for a controller that does not answer.
    "CLUSTER_TIMEOUT": 3.0,
    # Greatest length of the pickled function and arguments of a job in bytes.
    "PAYLOAD_LIMIT": 32_000_000,
    # Bytes of the same, signed and encoded, that are kept of a job that did not succeed.
    "RETRY_PAYLOAD_LIMIT": 1_000_000,
    # Seconds after which a job is looked for whose engine has not said that it lives.
    "LEASE": 8.0,
    # Seconds that a cancelled or overdue job has to end before its engine is killed.
    "CANCEL_GRACE": 10.0,
    # Seconds for which an engine tries to write the end of a job to a Redis that is away.
    "RESULT_PATIENCE": 3600.0,
    # Inside a database transaction, send the job after the commit.
    "ON_COMMIT": True,
    # Alias of the channel layer that carries updates to the websockets of this process.
    "CHANNEL_LAYER": "default",
    # Where the websocket is, when that is not "moi-ws/" below the site's root.
    "WEBSOCKET_URL": None,
    # Name whose jobs visitors share who are not logged in. None: they have none.
    "ANONYMOUS_USER": None,
    # Dotted path of a function (user, action, info) -> True, False, or None for the usual rule.
    "AUTHORIZE": None,
    # Private directory of `manage.py moi up`. None: ".moi" in settings.BASE_DIR.
    "STATE_DIR": None,
    # Greatest length of a result in bytes of JSON.
    "RESULT_LIMIT": 1_000_000,
    # Bytes of JSON beyond which a result is not sent to pages that only list the job.
    "RESULT_PREVIEW": 10_000,
    # Bytes of what a job prints that are kept, the latest; and of how its result looks.
    "LOG_LIMIT": 5_000_000,
    "DISPLAY_LIMIT": 2_000_000,
    # Alias in STORAGES of where files are kept that jobs attach, and greatest size of one in bytes.
    "STORAGE": "default",
    "FILE_LIMIT": 100_000_000,
    # Seconds after which files are deleted whose job Redis does not know. 0: never. Not for a
    # storage in which another site keeps files of its jobs: they are as unknown here.
    "STRAY_FILES_AGE": 0.0,
    # Greatest length of a status text and of a name in characters; longer ones are cut.
    "STATUS_LIMIT": 1_000,
    "NAME_LIMIT": 200,
    # Greatest length of a frame from a browser in characters.
    "FRAME_LIMIT": 65_536,
    # Verbs a browser may send in a second over a while, and at once.
    "VERBS_PER_SECOND": 20.0,
    "VERBS_BURST": 100,
    # Greatest number of groups that one socket watches.
    "WATCH_LIMIT": 50,
    # Members of a group that a page gets at once; more follow when they are asked for.
    "PAGE_ROWS": 50,
    # Greatest number of jobs and groups in one snapshot, and of those that one page shows.
    "SNAPSHOT_LIMIT": 1_000,
    "ROWS_LIMIT": 5_000,
    # Seconds between two times at which a page hears of changes; the first one it hears at once.
    "PUSH_EVERY": 0.2,
    # Seconds in which changes are merged before they go to the browsers.
    "TICK": 0.02,
    # Seconds between two looks at whether a socket's user is still logged in.
    "SESSION_CHECK": 30.0,
    # Seconds that a browser may take to accept a frame before it is disconnected.
    "SEND_TIMEOUT": 30.0,
}


class Conf:
    """The settings of this site, each read when asked for: `conf.EXPIRE`."""

    def __getattr__(self, name: str) -> Any:
        if name not in DEFAULTS:
            raise AttributeError(f"MOI has no setting {name!r}")
        return self._given.get(name, DEFAULTS[name])

    @property
    def _given(self) -> dict[str, Any]:
        given = getattr(settings, "MOI", {})
        return given if isinstance(given, dict) else {}  # which the checks complain of

    @property
    def state_dir(self) -> Path:
        """The directory in which `moi up` says what it runs."""
        given = self.STATE_DIR
        base = Path(getattr(settings, "BASE_DIR", None) or Path.cwd())
        return Path(given) if given else base / ".moi"

    @property
    def services(self) -> RunningServices | None:
        """What a live `moi up` of this project runs, or None."""
        return read_services(self.state_dir)

    @property
    def configured_redis_url(self) -> str | None:
        """The address of Redis that the site or its environment names."""
        return self.REDIS_URL or os.environ.get("MOI_REDIS_URL") or None

    @property
    def redis_url(self) -> str:
        """The address of Redis.

        Raises NotRunning when none is named and no `moi up` runs.
        """
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
        return self.ENGINE_REDIS_URL or self.redis_url

    def context(self, name: str) -> dict[str, Any]:
        """Return how to find a cluster.

        Raises UnknownContext when MOI["CONTEXTS"] has no such name.
        """
        contexts = self.CONTEXTS
        if name not in contexts:
            raise UnknownContext(f"Unknown context: {name}")
        found = dict(contexts[name])
        if not found and name == DEFAULT_CONTEXT:
            return self._own_cluster()
        return found

    def _own_cluster(self) -> dict[str, Any]:
        """Return how to find the cluster of `moi up`."""
        file = os.environ.get("MOI_CONNECTION_FILE")
        if not file and (services := self.services):
            file = services.connection_file
        return {"connection_file": file} if file else {"profile": "default"}


conf = Conf()
