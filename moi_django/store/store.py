"""Redis as the job store, put together of its parts."""

from moi_django.store.artifacts import Artifacts
from moi_django.store.config import StoreConfig
from moi_django.store.connection import Connection
from moi_django.store.dependencies import Dependencies
from moi_django.store.engines import EngineRegistry
from moi_django.store.job_batches import JobBatches
from moi_django.store.job_records import JobRecords
from moi_django.store.logs import Logs
from moi_django.store.policy import QueuePolicy
from moi_django.store.queue import JobQueue
from moi_django.store.tree import JobTree
from moi_django.store.tree_pages import TreePages
from moi_django.store.users import UserMap


class Store:
    """All that one Redis holds under one key prefix; the schema stands in `keys`."""

    def __init__(self, config: StoreConfig) -> None:
        self.config = config
        self.connection = Connection(config)
        self.keys = self.connection.keys
        self.engines = EngineRegistry(self.connection)
        self.jobs = JobRecords(self.connection, self.engines)
        self.queue = JobQueue(self.connection, self.jobs)
        self.policy = QueuePolicy(self.connection)
        self.batches = JobBatches(self.connection, self.jobs)
        self.tree = JobTree(self.connection, self.jobs, self.engines, self.batches)
        self.dependencies = Dependencies(self.connection, self.jobs, self.batches, self.tree)
        self.jobs.settle_children = self.dependencies.settle
        self.pages = TreePages(self.connection, self.jobs, self.tree)
        self.users = UserMap(self.connection)
        self.artifacts = Artifacts(self.connection, self.jobs)
        self.logs = Logs(self.connection)
