"""What a bridge knows of the trees that are watched, and what their viewers have to hear.

Plain data, no connection: the bridge tells what Redis holds now, and takes the frames that follow.
"""

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass, field, replace

from moi_django.models import Info

# (verb, id, info object of the websocket, what is other than when it was told last or ""). The
# verb "count" says that of a group nothing has changed but its size or its totals.
Frame = tuple[str, str, str, str]


def merge_verbs(before: str, verb: str) -> str:
    """Return the verb of two changes of one id as one."""
    if before == "add" and verb in ("update", "count"):
        return "add"  # who has not heard of it yet hears of it as new
    return "update" if (before, verb) == ("update", "count") else verb


@dataclass(slots=True)
class Node:
    """A job or group below a watched group."""

    # As last seen, without its result, which may be large; None before it was first read.
    info: Info | None = None
    # Digest of the JSON that was last sent; empty when it has to be sent again whatever it is.
    digest: bytes = b""
    # How the next frame is called when the digest is empty.
    verb: str = "add"
    # Whether all is to be told the next time: what has changed cannot be known, of a result, or not
    # be used, by a page that has seen it newer.
    is_told_whole: bool = False
    holders: set[str] = field(default_factory=set)
    members: set[str] = field(default_factory=set)


class TreeIndex:
    """The nodes at and below the watched groups; the same node may be held by several groups."""

    def __init__(self, result_preview: int | None = None) -> None:
        self.nodes: dict[str, Node] = {}
        # Bytes of JSON beyond which a result is left out of frames.
        self._result_preview = result_preview
        # Watched groups; True once all below was read, and from then on changes are told.
        self._roots: dict[str, bool] = {}
        self._frames: dict[str, dict[str, Frame]] = {}

    def add_root(self, root: str) -> None:
        """Begin to watch a group; `put_node` and `put_members` then fill in what is there."""
        self._roots[root] = False
        self.nodes.setdefault(root, Node())

    def remove_root(self, root: str) -> None:
        """Watch a group no more, and forget what no other watched group reaches."""
        del self._roots[root]
        self._frames.pop(root, None)
        below = self._below([root])
        self._forget_nodes(below, {id for id in below if not self._roots_above(id)})

    def mark_loaded(self, read: set[str]) -> list[str]:
        """Begin to tell of changes below the groups among `read`; return those not begun before.

        Call it when they and all that was found below them have been put.
        """
        fresh = [root for root, is_loaded in self._roots.items() if root in read and not is_loaded]
        self._roots.update(dict.fromkeys(fresh, True))
        return fresh

    def put_node(self, id: str, info: Info | None) -> None:
        """Take in what Redis holds about a node; None when it is gone."""
        node = self.nodes.get(id)
        if node is None:
            return
        if info is None:
            self._forget_node(id, node)
            return
        raw = info.to_wire(self._result_preview)
        digest = hashlib.blake2b(raw.encode(), digest_size=12).digest()
        if digest != node.digest:
            verb, changes = _change_verb(node, info), ""
            has_result = info.result is not None
            if node.info and verb in ("update", "count") and not (node.is_told_whole or has_result):
                changes = info.to_changes(node.info)
            node.info, node.digest, node.verb = replace(info, result=None), digest, "add"
            node.is_told_whole = has_result
            self._add_frame(verb, id, raw, self._roots_above(id), changes)

    def put_members(self, group: str, ids: set[str]) -> set[str]:
        """Take in the members of a group; return the ids that must be read next."""
        holder = self.nodes.get(group)
        if holder is None:
            return set()
        fresh, gone = ids - holder.members, holder.members - ids
        holder.members = set(ids)
        for id in gone:
            self._release_from(group, id)
        return self._add_members(group, fresh)

    def put_member(self, group: str, id: str, *, is_in: bool) -> set[str]:
        """Take in whether one id is a member of a group; return the ids that must be read next."""
        holder = self.nodes.get(group)
        if holder is None or is_in is (id in holder.members):
            return set()
        if is_in:
            holder.members.add(id)
            return self._add_members(group, {id})
        holder.members.discard(id)
        self._release_from(group, id)
        return set()

    def _add_members(self, group: str, fresh: set[str]) -> set[str]:
        for id in fresh:
            self.nodes.setdefault(id, Node()).holders.add(group)
        # What another group held already has to be told to the viewers of this one too.
        unread = self._below(fresh)
        for id in unread:
            self.nodes[id].digest = b""
        return unread

    def groups_above(self, ids: Iterable[str]) -> set[str]:
        """Return the groups that hold some nodes, directly or not."""
        return {group for id in ids if id in self.nodes for group in self._above(id) - {id}}

    def mark_requested(self, id: str) -> None:
        """Tell a node again, under the verb "get", when it is next put."""
        if node := self.nodes.get(id):
            node.digest, node.verb = b"", "get"

    def note_shown(self, infos: Iterable[Info]) -> None:
        """Note what a page was shown, which may be newer than what was told."""
        for info in infos:
            node = self.nodes.get(info.id)
            if node and node.info and node.info.version < info.version:
                node.is_told_whole = True

    def is_below(self, group: str, id: str) -> bool:
        """Tell whether a node is anywhere below a group."""
        return id in self._below([group])

    def take_frames(self) -> dict[str, list[Frame]]:
        """Return the frames for the viewers of each watched group: of each node the latest.

        What is gone makes room. Of what is new, groups come before what is in them and the older
        before the newer, whichever was read first: a page without room for all shows those.
        """
        taken, self._frames = self._frames, {}
        return {
            root: sorted(frames.values(), key=self._send_order) for root, frames in taken.items()
        }

    def _send_order(self, frame: Frame) -> tuple[int, int, str]:
        verb, id, *_ = frame
        node = self.nodes.get(id)
        if verb == "add" and node is not None and node.info is not None:
            return 1, node.info.path.count(":"), node.info.date_created or ""
        return {"remove": 0}.get(verb, 2), 0, ""

    def _forget_node(self, id: str, node: Node) -> None:
        for holder in list(node.holders):
            if holder in self.nodes:
                self.nodes[holder].members.discard(id)
            self._release_from(holder, id)
        if id in self._roots:
            self.put_members(id, set())
            self._add_removal_frame(id, node, {id} & self._roots.keys())
            node.info, node.digest = None, b""

    def _release_from(self, holder: str, id: str) -> None:
        """Take a node out of a group, and all below it out of what no longer reaches it."""
        node = self.nodes.get(id)
        if node is None or holder not in node.holders:
            return
        below = self._below([id])
        before = {each: self._roots_above(each) for each in below}
        node.holders.discard(holder)
        gone = set()
        for each in below:
            left = self._roots_above(each)
            self._add_removal_frame(each, self.nodes[each], before[each] - left)
            if not left:
                gone.add(each)
        self._forget_nodes(below, gone)

    def _forget_nodes(self, below: set[str], gone: set[str]) -> None:
        """Forget what is gone of the nodes below one."""
        for id in gone:
            del self.nodes[id]
        for id in below - gone:
            self.nodes[id].holders -= gone

    def _add_removal_frame(self, id: str, node: Node, roots: set[str]) -> None:
        if node.info is not None:
            self._add_frame("remove", id, node.info.to_wire(), roots)

    def _add_frame(self, verb: str, id: str, raw: str, roots: set[str], changes: str = "") -> None:
        for root in roots:
            if self._roots[root]:
                frames = self._frames.setdefault(root, {})
                if before := frames.get(id):
                    frames[id] = (merge_verbs(before[0], verb), id, raw, "")
                else:
                    frames[id] = (verb, id, raw, changes)

    def _roots_above(self, id: str) -> set[str]:
        """Return the watched groups that hold a node, directly or not, itself included."""
        return self._above(id) & self._roots.keys()

    def _above(self, id: str) -> set[str]:
        met, stack = {id}, [id]
        while stack:
            node = self.nodes.get(stack.pop())
            fresh = node.holders - met if node else set()
            met |= fresh
            stack += fresh
        return met

    def _below(self, ids: Iterable[str]) -> set[str]:
        """Return the nodes among and below some, each once, however they hang together."""
        met = {id for id in ids if id in self.nodes}
        stack = list(met)
        while stack:
            fresh = {id for id in self.nodes[stack.pop()].members if id in self.nodes} - met
            met |= fresh
            stack += fresh
        return met


def _change_verb(node: Node, info: Info) -> str:
    """Return how what Redis holds differs from what was last sent."""
    if not node.digest or node.info is None:
        return node.verb
    return "count" if info.is_group and info.version == node.info.version else "update"
