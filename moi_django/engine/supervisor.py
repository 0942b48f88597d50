"""Watch a job process from the start of an attempt to its end; runs no code of users.

Whatever the job does, its end is told: what it returned, or why there is nothing.
"""

import codecs
import os
import selectors
import signal
import threading
import time
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from math import inf
from typing import Any

import psutil

from moi_django.engine.attempt_end import (
    AttemptEnd,
    Exit,
    InterruptReason,
    after_output,
    class_path,
    exit_text,
    timeout_text,
)
from moi_django.engine.departure import ended_with_engine
from moi_django.engine.fork_client import JobProcess
from moi_django.engine.invocation import failure_text
from moi_django.engine.job_output import unread_bytes
from moi_django.engine.listener import GuardedListener, Listener
from moi_django.engine.messages import READ_SIZE, BadMessage, Message, Task, pop_checked
from moi_django.exceptions import JobTimedOut
from moi_django.models import State

# Seconds from SIGTERM to SIGKILL at most, and from that to giving up.
TERMINATE_TIMEOUT, KILL_TIMEOUT = 1.0, 5.0
# Seconds between two looks at the memory of a job that has a limit.
MEMORY_INTERVAL = 0.2
MAX_WAIT = 3600.0
# Characters of what a job printed last that are told when it ends without a word.
TAIL_LENGTH = 2_000
_USAGE = ("cpu_seconds", "peak_memory")


class Supervisor:
    """One attempt at a job in a process: `run` blocks until its end."""

    def __init__(
        self,
        process: JobProcess,
        task: Task,
        listener: Listener,
        *,
        timeout: float | None = None,
        grace: float = 10.0,
        memory_limit: int | None = None,
    ) -> None:
        """Prepare an attempt.

        `timeout` is the seconds it may take, `grace` those that it has to end when interrupted, and
        for what goes on after its function; `memory_limit` the bytes that its processes may have.
        """
        self._process, self._task = process, task
        self._listener = GuardedListener(task, listener, self._answer)
        self._timeout, self._grace, self._memory_limit = timeout, grace, memory_limit
        self._reason: InterruptReason | None = None
        self._is_asked_to_stop = False
        # What was wrong, for some reasons.
        self._complaint = ""
        self._outcome: dict[str, Any] | None = None
        self._exit: Exit | None = None
        self._is_over = False
        # What is done next, and when, as time.monotonic has it.
        self._act: Callable[[], None] = self._time_out
        self._act_at = self._measure_at = inf
        self._is_interrupted = False
        self._unsent = deque([memoryview(task.encode())])
        self._answers = deque[bytes]()
        self._received = bytearray()
        self._tail = ""
        self._selector = selectors.PollSelector()
        self._outputs = [_Output("stdout", process.stdout), _Output("stderr", process.stderr)]
        self._wake_lock = threading.Lock()
        self._wakes: tuple[int, int] | None = os.pipe()

    def interrupt(self, reason: InterruptReason) -> None:
        """Stop the job, from any thread; the first reason counts."""
        self._reason, self._is_asked_to_stop = self._reason or reason, True
        self._wake()

    def _answer(self, answer: bytes) -> None:
        self._answers.append(answer)
        self._wake()

    def _wake(self) -> None:
        with self._wake_lock:
            if self._wakes is not None:
                os.write(self._wakes[1], b"!")

    def run(self) -> AttemptEnd:
        """Run the task; return how that has ended.

        The process is closed, unless it is reusable.
        """
        self._watch()
        start = time.monotonic()
        self._act_at = inf if self._timeout is None else start + self._timeout
        self._measure_at = inf if self._memory_limit is None else start
        end = None
        try:
            self._send()
            while not self._is_over:
                self._take_turn()
            self._drain()
            # One that was stopped is not worth a wait.
            lost = self._listener.wait_for_files(self._grace if self._reason is None else 0.0)
            self._complaint = self._complaint or (lost if self._reason is None else "")
            end = self._make_end()
        finally:
            self._stop_watching(end)
        return end

    def _watch(self) -> None:
        # In the order in which what can be read is read.
        for output in self._outputs:
            self._register(output.descriptor, partial(self._read_output, output))
        self._register(self._process.messages.fileno(), self._exchange)
        self._register(self._process.exit.fileno(), self._note_exit)
        assert self._wakes is not None  # noqa: S101 - it runs once
        self._register(self._wakes[0], self._heed_others)

    def _register(self, descriptor: int, act: Callable[[], object]) -> None:
        self._selector.register(descriptor, selectors.EVENT_READ, act)

    def _take_turn(self) -> None:
        wait = min(self._act_at, self._measure_at) - time.monotonic()
        # No system waits for longer than some weeks.
        for key, _ in self._selector.select(max(0.0, min(wait, MAX_WAIT))):
            key.data()
        now = time.monotonic()
        if now >= self._measure_at:
            self._measure_at = now + MEMORY_INTERVAL
            self._measure_memory()
        if now >= self._act_at:
            self._act()

    def _do_in(self, seconds: float, act: Callable[[], None]) -> None:
        self._act, self._act_at = act, time.monotonic() + seconds

    def _time_out(self) -> None:
        self._reason = self._reason or InterruptReason.TIMEOUT
        self._begin_interrupt()

    def _heed_others(self) -> None:
        """Do what other threads have asked for."""
        assert self._wakes is not None  # noqa: S101 - it runs
        os.read(self._wakes[0], READ_SIZE)
        while self._answers:
            self._unsent.append(memoryview(self._answers.popleft()))
        self._send()
        if self._is_asked_to_stop:
            self._begin_interrupt()

    def _begin_interrupt(self) -> None:
        if not self._is_interrupted and self._outcome is None:
            self._is_interrupted = True
            self._process.send_signal(signal.SIGINT)
            self._do_in(self._grace, self._terminate)

    def _terminate(self) -> None:
        self._process.send_signal(signal.SIGTERM, to_group=True)
        self._do_in(min(self._grace, TERMINATE_TIMEOUT), self._kill)

    def _kill(self) -> None:
        self._process.kill()
        self._measure_at = inf
        self._do_in(KILL_TIMEOUT, self._give_up)

    def _give_up(self) -> None:
        self._is_over = True

    def _kill_because(self, reason: InterruptReason, complaint: str) -> None:
        self._reason, self._complaint = self._reason or reason, complaint
        self._kill()

    def _measure_memory(self) -> None:
        limit = self._memory_limit or 0
        # To find out what several processes share takes longer.
        if _memory_of(self._process.pid) <= limit:
            return
        used = _memory_of(self._process.pid, shared_once=True)
        if used > limit:
            self._kill_because(
                InterruptReason.MEMORY,
                f"MemoryError: the job used {used:,} bytes of memory; its limit is {limit:,}.",
            )

    def _note_exit(self) -> None:
        self._exit = self._process.read_exit()
        if self._exit is None:
            self._process.kill()
        self._is_over = True

    def _read_output(self, output: "_Output", size: int = READ_SIZE) -> int:
        """Hand on what was printed; return how many bytes that was."""
        data = os.read(output.descriptor, size)
        if not data:
            self._selector.unregister(output.descriptor)
        text = output.decode(data)
        if text:
            self._tail = (self._tail + text)[-TAIL_LENGTH:]
            self._listener.tell_output(output.name, text)
        return len(data)

    def _exchange(self) -> None:
        if self._unsent:
            self._send()
        self._receive()

    def _send(self) -> None:
        messages = self._process.messages
        try:
            while self._unsent:
                frame = self._unsent.popleft()
                if (sent := messages.send(frame)) < len(frame):
                    self._unsent.appendleft(frame[sent:])
        except BlockingIOError:
            self._unsent.appendleft(frame)
        except OSError:
            self._unsent.clear()  # how it has ended comes another way
        events = selectors.EVENT_READ | (selectors.EVENT_WRITE if self._unsent else 0)
        with suppress(KeyError):
            self._selector.modify(messages, events, self._exchange)

    def _receive(self) -> int:
        """Take what was sent; return how many bytes that was."""
        try:
            data = self._process.messages.recv(READ_SIZE)
        except BlockingIOError:
            return 0
        except OSError:
            data = b""
        if not data:
            self._note_silence()
        self._received += data
        self._take_messages()
        return len(data)

    def _note_silence(self) -> None:
        """Wait a moment for how it has ended: a fork server that is frozen does not tell."""
        with suppress(KeyError):
            self._selector.unregister(self._process.messages)
        if self._outcome is None and not self._is_interrupted:
            text = "The process of the job is gone, or has closed its socket to the supervisor."
            kill = partial(self._kill_because, InterruptReason.BAD_MESSAGE, text)
            if time.monotonic() + KILL_TIMEOUT < self._act_at:  # else it takes too long before
                self._do_in(KILL_TIMEOUT, kill)

    def _take_messages(self) -> None:
        try:
            while message := pop_checked(self._received, self._task):
                self._take_message(message)
            self._listener.tell_latest()
        except BadMessage as error:
            self._received.clear()
            self._kill_because(
                InterruptReason.BAD_MESSAGE,
                f"The process of the job sent what it must not: {error}.",
            )

    def _take_message(self, message: Message) -> None:
        if message.kind == "outcome":
            self._take_outcome(message)
        else:
            self._listener.take(message)

    def _take_outcome(self, message: Message) -> None:
        if self._outcome is not None:
            return
        self._outcome, self._measure_at = message.fields, inf
        if self._outcome["lingers"]:
            self._do_in(self._grace, self._kill)
        else:
            self._is_over = True

    def _drain(self) -> None:
        """Read what has been written until now; others may hold the pipes, and write for ever."""
        for output in self._outputs:
            left = unread_bytes(output.descriptor)
            while left > 0 and (size := self._read_output(output, min(left, READ_SIZE))):
                left -= size
        if self._outcome is None:
            left = unread_bytes(self._process.messages.fileno())
            while left > 0 and (size := self._receive()):
                left -= size
        self._listener.tell_latest()
        for output in self._outputs:
            if text := output.decode(b"", True):
                self._listener.tell_output(output.name, text)

    def _make_end(self) -> AttemptEnd:
        outcome = self._outcome
        state, result = State.FAILED, self._failure_text()
        if result is None and outcome is not None:
            state, result = State.SUCCESS, outcome["result"]
        elif not (outcome or self._reason) and ended_with_engine(self._exit and self._exit.code):
            state = State.LOST
        used = self._exit or Exit(0, *(outcome[n] for n in _USAGE) if outcome else (0.0, 0))
        return AttemptEnd(
            state,
            result,
            outcome["display"] if outcome and state is State.SUCCESS else {},
            used.cpu_seconds,
            used.peak_memory,
            self._reason,
            reusable=self._task.reuse
            and outcome is not None
            and not (self._exit or self._reason or self._received or self._unsent),
            exception=self._exception(),
        )

    def _exception(self) -> str | None:
        """Return of what class the error is with which the attempt has ended, if it has any."""
        if self._reason is InterruptReason.TIMEOUT:
            return class_path(JobTimedOut)
        return self._outcome["exception"] if self._outcome and not self._reason else None

    def _failure_text(self) -> str | None:
        """Return why the attempt has failed; None when it has not."""
        outcome = self._outcome
        if self._complaint:
            text = after_output(self._tail, self._complaint)
        elif self._reason is InterruptReason.TIMEOUT:
            text = timeout_text(self._timeout or 0.0, outcome and outcome["result"])
        elif outcome is not None:
            if outcome["success"]:
                return None
            text = outcome["result"]
        elif self._reason is not None:
            text = "The job was stopped."
        else:
            text = after_output(self._tail, exit_text(self._exit))
        return failure_text(text, self._task.result_limit)

    def _stop_watching(self, end: AttemptEnd | None) -> None:
        self._selector.close()
        with self._wake_lock:
            wakes, self._wakes = self._wakes, None
        for descriptor in wakes or ():
            os.close(descriptor)
        if end is None:
            self._process.kill()
        if end is None or not end.reusable:
            self._process.close()


class _Output:
    """A stream of a process."""

    def __init__(self, name: str, descriptor: int) -> None:
        self.name, self.descriptor = name, descriptor
        self.decode = codecs.getincrementaldecoder("utf-8")("replace").decode


def _memory_of(pid: int, shared_once: bool = False) -> int:
    """Return the bytes of memory that a process has, and all below it.

    With `shared_once` that which several processes have in common counts but once, where the system
    tells.
    """
    used = 0
    with suppress(psutil.Error):
        process = psutil.Process(pid)
        for each in [process, *process.children(recursive=True)]:
            with suppress(psutil.Error):
                used += _proportional_memory(each) if shared_once else each.memory_info().rss
    return used


def _proportional_memory(process: psutil.Process) -> int:
    with suppress(psutil.AccessDenied):
        info = process.memory_full_info()
        return getattr(info, "pss", info.rss)
    return process.memory_info().rss
