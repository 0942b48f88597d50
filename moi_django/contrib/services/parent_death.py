"""Become a program that ends when its parent ends: `parent_death.py SIGNAL PARENT COMMAND...`.

Run as a script with `python -I -S`, so it imports nothing of ours. On Linux the kernel sends the
signal when the thread that started this process ends; the request outlives execve(). Elsewhere the
program is started without that promise.
"""

import os
import signal
import sys

PR_SET_PDEATHSIG = 1


def with_parent_death_signal(argv: list[str], death: signal.Signals = signal.SIGTERM) -> list[str]:
    """Return what to run instead of `argv`, from a thread that lives as long as it should."""
    own = [sys.executable, "-I", "-S", __file__, str(int(death)), str(os.getpid())]
    return [*own, *argv]


def main(argv: list[str]) -> None:
    """Ask the kernel for the signal, then become the command."""
    death, parent, *command = argv
    if sys.platform == "linux":
        import ctypes

        libc = ctypes.CDLL(None, use_errno=True)
        if libc.prctl(PR_SET_PDEATHSIG, int(death), 0, 0, 0) != 0:
            raise OSError(ctypes.get_errno(), "prctl(PR_SET_PDEATHSIG)")
    if os.getppid() != int(parent):  # it died before the kernel was asked
        raise SystemExit(128 + int(death))
    os.execvp(command[0], command)


if __name__ == "__main__":
    main(sys.argv[1:])
