"""Read from Redis what a tree index wants to know, with few visits to a thread."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

from moi_django.bridge.tree_index import TreeIndex
from moi_django.models import Info
from moi_django.store import Store

# How many infos are taken in before other tasks of this process have their turn.
NODES_PER_STEP = 100


class TreeLoader:
    """Between the store, which blocks, and the index of one event loop."""

    def __init__(
        self, store: Store, index: TreeIndex, in_thread: Callable[..., Awaitable[Any]]
    ) -> None:
        self._store, self._index, self._in_thread = store, index, in_thread

    async def load_moved(self, moved: set[tuple[str, str]]) -> set[str]:
        """Look whether these are members; return the ids that must be read next."""
        pairs = [pair for pair in moved if pair[0] in self._index.nodes]
        found: set[str] = set()
        if pairs:
            held = await self._in_thread(self._store.tree.are_members, pairs)
            for (group, id), is_in in zip(pairs, held, strict=True):
                found |= self._index.put_member(group, id, is_in=is_in)
        return found

    async def load_nodes(self, ids: list[str], above: set[str]) -> set[str]:
        """Read jobs and groups, and the counts of those `above`; return the ids to read next."""
        nodes = map(self._index.nodes.get, above)
        known = [node.info for node in nodes if node and node.info]
        infos, counted, members = await self._in_thread(self._read, ids, known)
        found: set[str] = set()
        for number, (id, info) in enumerate(zip(ids, infos, strict=True), 1):
            self._index.put_node(id, info)
            if not number % NODES_PER_STEP:
                await asyncio.sleep(0)
        for info in counted:
            self._index.put_node(info.id, info)
        for group, present in members.items():
            found |= self._index.put_members(group, present)
        return found

    async def find_forgotten(self) -> list[str]:
        """Return the ids of what is no longer as the index has it, though no message said so."""
        nodes = {id: node for id, node in self._index.nodes.items() if node.info is not None}
        gone = await self._in_thread(self._store.jobs.missing, list(nodes))
        groups = [node.info for node in nodes.values() if node.info and node.info.is_group]
        counted = await self._in_thread(self._store.tree.with_counts, groups)
        return [*gone, *(info.id for info in counted if info.size != len(nodes[info.id].members))]

    def _read(
        self, ids: list[str], known: list[Info]
    ) -> tuple[list[Info | None], list[Info], dict[str, set[str]]]:
        """Return infos, those that were known with new counts, and the members of the groups."""
        infos, tree = self._store.jobs.get_many(ids), self._store.tree
        present = [info for info in infos if info is not None]
        counted = tree.with_counts([*present, *known])
        groups = [info.id for info in present if info.is_group]
        members = zip(groups, tree.members_many(groups), strict=True)
        fresh = iter(counted)
        filled = [None if info is None else next(fresh) for info in infos]
        return filled, list(fresh), dict(members)
