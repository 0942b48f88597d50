"""The names of everything in Redis.

====================  =======  ========================================================
key                   type     content
====================  =======  ========================================================
<id>                  string   the info object of a job or group, as JSON
<id>:payload          string   the signed function and arguments of a job that did not succeed yet,
                               or that runs a task of Django's
<id>:log              stream   what a job has printed, in pieces: name of the stream, text
<id>:display          string   how the result of a job looks, as JSON: MIME type -> data
<id>:checkpoint       string   where a job that did not succeed is to go on, as JSON
<id>:files            hash     what a job has attached: name -> where it is kept, as JSON
<id>:waits            set      ids of the parents that a job still waits for
<id>:children         set      ids of the jobs that wait, or have waited, for a job or group
<group>:jobs          set      ids of the jobs and groups in a group
<group>:order         zset     the same ids -> when each was created: of which pages are read
<group>:totals        hash     state -> number of jobs in that state below a group, expired ones too
<group>:seal          string   is there while a group is removed: nothing comes into it any more
user-id-map           hash     user -> id of the user's root group, and that id -> user
waiting:<queue>       zset     attempts that wait for an engine -> their place
lane:<queue>:<owner>:<limit>  zset  those of them that one owner has and that need the same limit
                               -> level and place
turns:<queue>:<limit> zset     owners of such lanes that may be served -> level and time used
held:<queue>          set      <owner>:<limit> of lanes whose owner runs as many as are allowed
limits:<queue>        hash     limit -> how many wait that need it
lanes                 hash     attempt that waits or runs -> its queue, a line break, owner:limit
used:<context>        hash     owner -> engine time used, in ms; floor:<level> -> that of who is
                               served there; epoch -> when all was halved last; order -> by which
                               all have their turns
durations:<context>   list     for how many seconds the latest jobs ran that succeeded
slots:<slot>          set      attempts that run and take one of the slots that `policy` bounds
policy                hash     limit:<limit>, owner, owner:<context>:<owner> -> how many may run at
                               once; paused:<context>, drained:<engine>, restart:<engine> -> since
                               when; fair -> "0" for first come, first served
sequence              string   the last place that was given
queues                set      names of the queues
workers:<queue>       zset     engines at a queue, and calls for one -> a number that grows
lingering:<queue>     set      those of them that have found nothing, and stay a moment
claims                hash     engine -> its last claim, and the attempt that it was handed
wake:<queue>:<engine> list     not empty when one of those is told to look again
delayed               zset     attempts that are to wait later -> when
blocked               zset     attempts that wait for other jobs -> when each was created
ended-parents         list     <number>:<id> of what has ended and has children
running               zset     attempts that run -> a number that their engine lets grow
unique:<group>:<key>  string   id of the latest job below a root group that has this unique key
with-files            set      ids of jobs that have attached something
files:<way>           list     what is on its way from engines: files to the directory of this id,
                               pieces of one of them, signed; <file>:answers: what is said of it
<group>:all           zset     ids of all jobs below a root group -> when each was created
jobs                  zset     ids of the jobs of all users -> when each was created
jobs:<state>          zset     the same of the jobs in one state
ended:<minute>        hash     <state>:jobs, <state>:ran, <state>:waited -> how many ended then, and
                               for how many seconds all of them ran and had waited
usage:<hour>          hash     owner -> for how many ms attempts ran that were over then
engines               zset     engines that have said how they are -> when they last did
engine:<engine>       string   what an engine has said of itself, as JSON
metrics               hash     what is counted of jobs, by context; when a reconciler looked last
events                stream   what has become of jobs, while somebody hears of it: kind, id, info
events-reader:<consumer> string which process reads them for a consumer
schedules             hash     name of a schedule -> its last tick and its latest jobs, as JSON
====================  =======  ========================================================

A member of `waiting`, `delayed` and `running` is `<attempt>:<id>`. The name of a queue is
`<context>:<version of Python>`. A number that grows is a lease: whoever sees it stand still for so
many seconds by a clock of its own takes its engine for dead. Times are seconds since 1970 by the
clock of Redis; so is the number of a minute or an hour. The indices `jobs`, `jobs:<state>` and
`<group>:all` may have ids of jobs that have expired: they go when they are met.

====================  ====================================================================
channel               message, JSON
====================  ====================================================================
<id>:pubsub           {"update": [id]} after a change, {"remove": [id], "done": true} after its end
<group>:pubsub        {"add": [id], "done": true}, {"remove": ...} after one came into or left it
<id>:log              anything: there is more in the stream of this name
engine:<engine>       anything: look whether the job you run is still wanted
jobs                  anything: something has changed of what concerns all users
sockets:<count>       nothing: a server process listens there, `<process>:<websockets>`
====================  ====================================================================

MOI["KEY_PREFIX"] goes before every key and every channel. Every key expires, and every write below
a group renews the keys of the groups above it, so a group outlives its youngest job.
"""

from moi_django.models import Info


class Keys:
    """The names under one key prefix."""

    def __init__(self, prefix: str) -> None:
        self.prefix = prefix

    # One job or group

    def info(self, id: str) -> str:
        """Return the key of the info object of a job or group."""
        return f"{self.prefix}{id}"

    def channel(self, id: str) -> str:
        """Return the channel of a job or group."""
        return f"{self.prefix}{id}:pubsub"

    def id_of_channel(self, channel: str) -> str:
        """Return the id of the job or group whose channel it is."""
        return channel.removeprefix(self.prefix).removesuffix(":pubsub")

    def sockets(self, count: str) -> str:
        """Return the channel by which a server process says how many websockets it has."""
        return f"{self.prefix}sockets:{count}"

    def payload(self, id: str) -> str:
        """Return the key of the signed function of a job."""
        return f"{self.prefix}{id}:payload"

    def log(self, id: str) -> str:
        """Return the key of what a job has printed; also the channel that tells of more."""
        return f"{self.prefix}{id}:log"

    def id_of_log(self, channel: str) -> str | None:
        """Return the id of the job whose log a channel tells of; None for another channel."""
        id = channel.removeprefix(self.prefix)
        return id.removesuffix(":log") if id.endswith(":log") else None

    def display(self, id: str) -> str:
        """Return the key of how the result of a job looks."""
        return f"{self.prefix}{id}:display"

    def files(self, id: str) -> str:
        """Return the key of what a job has attached."""
        return f"{self.prefix}{id}:files"

    def checkpoint(self, id: str) -> str:
        """Return the key of where a job is to go on."""
        return f"{self.prefix}{id}:checkpoint"

    def artifacts(self, id: str) -> dict[str, str]:
        """Return what there is of a job besides its info object; all of it lives as long."""
        return {
            "payload": self.payload(id),
            "log": self.log(id),
            "display": self.display(id),
            "files": self.files(id),
            "checkpoint": self.checkpoint(id),
        }

    def files_on_way(self, way: str) -> str:
        """Return the key of files that are on their way somewhere, or of one and what is said."""
        return f"{self.prefix}files:{way}"

    # Groups

    def members(self, group: str) -> str:
        """Return the key of the set of what is in a group."""
        return f"{self.prefix}{group}:jobs"

    def order(self, group: str) -> str:
        """Return the key of the zset of what is in a group, by age."""
        return f"{self.prefix}{group}:order"

    def totals(self, group: str) -> str:
        """Return the key of the hash of the states below a group."""
        return f"{self.prefix}{group}:totals"

    def seal(self, group: str) -> str:
        """Return the key that is there while a group is being removed."""
        return f"{self.prefix}{group}:seal"

    def ancestors(self, info: Info) -> list[str]:
        """Return four keys for each group above, the nearest first: see `lua/create.lua`."""
        return [
            key
            for group in reversed(info.ancestors)
            for key in (
                self.info(group),
                self.members(group),
                self.totals(group),
                self.order(group),
            )
        ]

    @property
    def users(self) -> str:
        """The key of the map of users."""
        return f"{self.prefix}user-id-map"

    # Queues

    def waiting(self, queue: str) -> str:
        """Return the key of the zset of the attempts that wait in a queue."""
        return f"{self.prefix}waiting:{queue}"

    @property
    def queues(self) -> str:
        """The key of the set of the names of the queues."""
        return f"{self.prefix}queues"

    def workers(self, queue: str) -> str:
        """Return the key of the zset of the engines at a queue."""
        return f"{self.prefix}workers:{queue}"

    def lingering(self, queue: str) -> str:
        """Return the key of the set of the engines that stay at a queue without a job."""
        return f"{self.prefix}lingering:{queue}"

    @property
    def claims(self) -> str:
        """The key of the hash of what each engine was handed last."""
        return f"{self.prefix}claims"

    def wake(self, queue: str, engine: str) -> str:
        """Return the key of the list that such an engine waits for; what all begin with for ""."""
        return f"{self.prefix}wake:{queue}:{engine}"

    @property
    def delayed(self) -> str:
        """The key of the zset of the attempts that are to wait later."""
        return f"{self.prefix}delayed"

    @property
    def blocked(self) -> str:
        """The key of the zset of the attempts that wait for other jobs."""
        return f"{self.prefix}blocked"

    @property
    def ended_parents(self) -> str:
        """The key of the list of what has ended and is waited for."""
        return f"{self.prefix}ended-parents"

    def waits(self, id: str) -> str:
        """Return the key of the set of the parents that a job still waits for."""
        return f"{self.prefix}{id}:waits"

    def children(self, id: str) -> str:
        """Return the key of the set of the jobs that wait or waited for a job or group."""
        return f"{self.prefix}{id}:children"

    @property
    def running(self) -> str:
        """The key of the zset of the attempts that run."""
        return f"{self.prefix}running"

    def durations(self, context: str) -> str:
        """Return the key of the list of for how many seconds jobs of a context ran lately."""
        return f"{self.prefix}durations:{context}"

    def slots(self, info: Info) -> list[str]:
        """Return the keys of the sets of what runs and is bounded together with a job."""
        return [self.slot(f"owner:{info.context}:{info.owner}"), self.slot(f"limit:{info.limit}")]

    def slot(self, slot: str) -> str:
        """Return the key of the set of what runs and takes one slot of the `policy`."""
        return f"{self.prefix}slots:{slot}"

    def limits(self, queue: str) -> str:
        """Return the key of the hash of how many wait in a queue by the limit that they need."""
        return f"{self.prefix}limits:{queue}"

    @property
    def policy(self) -> str:
        """The key of the hash of what bounds the queues."""
        return f"{self.prefix}policy"

    def unique(self, root: str, key: str) -> str:
        """Return the key of the id of the job that has a unique key of an owner."""
        return f"{self.prefix}unique:{root}:{key}"

    # Indices and statistics

    def owner_jobs(self, root: str) -> str:
        """Return the key of the zset of all jobs below a root group."""
        return f"{self.prefix}{root}:all"

    @property
    def jobs(self) -> str:
        """The key of the zset of the jobs of all users; also the channel that tells of changes."""
        return f"{self.prefix}jobs"

    def jobs_in_state(self, state: str) -> str:
        """Return the key of the zset of the jobs of all users in one state."""
        return f"{self.jobs}:{state}"

    @property
    def ended(self) -> str:
        """What the keys of the hashes begin with that count what has ended."""
        return f"{self.prefix}ended"

    def ended_in_minute(self, minute: int) -> str:
        """Return the key of the hash of what has ended in one minute since 1970."""
        return f"{self.ended}:{minute}"

    def usage(self, hour: int) -> str:
        """Return the key of the hash of what owners have used in one hour since 1970."""
        return f"{self.prefix}usage:{hour}"

    @property
    def with_files(self) -> str:
        """The key of the set of the jobs that have attached something."""
        return f"{self.prefix}with-files"

    @property
    def events(self) -> str:
        """The key of the stream of what has become of jobs."""
        return f"{self.prefix}events"

    # Engines

    @property
    def engines(self) -> str:
        """The key of the zset of the engines that have said how they are."""
        return f"{self.prefix}engines"

    def engine(self, engine: str) -> str:
        """Return the key of what an engine has said of itself; also its control channel."""
        return f"{self.prefix}engine:{engine}"

    @property
    def metrics(self) -> str:
        """The key of the hash of what is counted of jobs, and of signs of life."""
        return f"{self.prefix}metrics"

    # What runs by the clock

    @property
    def schedules(self) -> str:
        """The key of the hash of how far each schedule has come."""
        return f"{self.prefix}schedules"


def member(info: Info) -> str:
    """Return what stands for an attempt of a job in the zsets."""
    return f"{info.attempt}:{info.id}"
