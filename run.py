#!/usr/bin/env python3
"""Run the example or the tests from a fresh clone: `python3 run.py demo`, `python3 run.py test`.

Needs a Python of at least 3.11 and nothing else: everything is installed into `.venv`.
"""

import hashlib
import os
import shutil
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
VENV = HERE / ".venv"
PROGRAM = "Scripts/python.exe" if os.name == "nt" else "bin/python"
PYTHON = VENV / PROGRAM
# The peers that moi_django is measured against are kept apart from what the tests run in.
BENCH_VENV = HERE / ".venv-bench"
PEERS = HERE / "bench" / "peers.txt"
OLDEST = (3, 11)
NEWER = ("python3.14", "python3.13", "python3.12", "python3.11")
# Half of the time is spent waiting for programs to start and to end.
PARALLEL = ("-n", str(2 * (os.cpu_count() or 1)))
# Each benchmark with numbers that take about a minute or less.
BENCHMARKS = {
    "startup": ["5"],
    "throughput": ["300", "5"],
    "claims": ["10000", "500"],
    "controller": ["--engines=300", "--seconds=5"],
    "scale": ["--workers=10,100", "--seconds=2"],
    "large_tree": ["5000", "5"],
    "growth": ["5000"],
    "process_cost": ["300"],
    "peers": ["--quick"],
    "idle_memory": ["1"],
    "polling": ["--pages=50", "--seconds=3"],
    "live": ["--sockets=200", "--seconds=3"],
}
BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
# What the tests of clusters run, and where it comes from.
LAB_PROGRAMS = (
    *("sbatch", "slurmctld", "slurmd", "munged", "sge_qmaster", "sge_execd", "qsub", "mpiexec"),
    *("ssh", "sshd", "nginx", "curl", "ip", "iptables", "openssl", "ps", "redis-check-rdb"),
    *("runuser", "systemd-analyze"),
)
LAB_PACKAGES = (
    *("slurm-wlm", "slurm-wlm-basic-plugins", "munge", "openssh-server", "openmpi-bin"),
    *("gridengine-master", "gridengine-exec", "gridengine-client", "nginx-light", "curl"),
    # The last has a Redis with TLS too, under another name, so that other tests do not find it.
    *("iproute2", "iptables", "openssl", "procps", "redis-tools", "systemd"),
)
# Where Debian asks whether to start what it installs, and what says no.
POLICY, NO_DAEMONS = Path("/usr/sbin/policy-rc.d"), "#!/bin/sh\nexit 101\n"
NO_BROWSER = """\
****************************************************************************************
  NO BROWSER WAS FOUND, SO THE BROWSER TESTS ARE SKIPPED.
  Install one (Debian: apt-get install chromium) or name one: MOI_BROWSER=/path/to/chrome
****************************************************************************************"""


def main(arguments):
    """Do what the first argument says; the rest is handed on."""
    commands = {
        "demo": demo,
        "test": test,
        "test-fast": test_fast,
        "test-services": test_services,
        "test-clusters": test_clusters,
        "lint": lint,
        "chaos": chaos,
        "bench": bench,
        "docs": docs,
    }
    if not arguments or arguments[0] not in commands:
        help()
        sys.exit(0 if arguments[:1] in ([], ["help"], ["-h"], ["--help"]) else 2)
    need_python()
    commands[arguments[0]](arguments[1:])


def help():
    """Say what there is."""
    print("python3 run.py demo       run the example, and print its address  [--bind HOST:PORT]")
    print("python3 run.py test       run the tests                           [arguments of pytest]")
    print("python3 run.py test-fast  run those that need no engine and no browser")
    print("python3 run.py test-services  run those that start whole sites and clusters")
    print("python3 run.py test-clusters  run those with batch systems and hosts, as root on Debian")
    print("python3 run.py lint       check form and types")
    print("python3 run.py chaos      kill everything under load              [--seed N, --help]")
    print("python3 run.py bench      measure: all benchmarks, or one          [NAME [arguments]]")
    print("python3 run.py docs       make the documentation site in docs/_build/html")
    print("\nmake demo, make test and so on are the same.")


def demo(arguments):
    """Run the example with services of its own."""
    install("demo")
    manage = str(HERE / "example_project" / "manage.py")
    run(PYTHON, manage, "migrate", "-v0")
    run(PYTHON, manage, "demo_users")
    become(PYTHON, manage, "moi", "up", *arguments)


def test(arguments):
    """Run the tests, those with a browser too if there is one."""
    install("test")
    keep_bytecode()
    browser = find_browser()
    if browser:
        os.environ["MOI_BROWSER"] = browser
    elif os.environ.get("CI"):
        sys.exit(NO_BROWSER.replace("SO THE BROWSER TESTS ARE SKIPPED", "WHICH CI DOES NOT ACCEPT"))
    else:
        print(NO_BROWSER, file=sys.stderr)
        arguments = ["-m", "not browser", *arguments] if arguments else []
    if arguments:
        become(PYTHON, "-m", "pytest", *arguments)
    # Playwright's loop would disturb the other tests of its process. What the tests of a file share
    # is started once, and files are handed out in the order of tests/conftest.py.
    runs = [["tests/unit", "tests/redis", "tests/cluster"], ["tests/browser"]]
    by_file = ["--dist=loadfile", "--no-loadscope-reorder"]
    command = [str(PYTHON), "-m", "pytest", *PARALLEL, *by_file]
    codes = [
        subprocess.run([*command, *run], cwd=HERE).returncode for run in runs[: 2 if browser else 1]
    ]
    sys.exit(max(codes))


def test_fast(arguments):
    """Run the tests that need no engine and no browser."""
    install("test")
    keep_bytecode()
    rooms = ["tests/unit", "tests/redis"]
    become(PYTHON, "-m", "pytest", *PARALLEL, "--dist", "worksteal", *rooms, *arguments)


def test_services(arguments):
    """Run the tests that start whole sites and clusters, kill parts of them, change their code."""
    install("test")
    keep_bytecode()
    become(PYTHON, "-m", "pytest", *PARALLEL, "--dist", "worksteal", "tests/services", *arguments)


def test_clusters(arguments):
    """Run the tests with batch systems, several hosts and nginx on this machine."""
    if not is_root() or not shutil.which("apt-get"):
        sys.exit("Batch systems are installed and run as root, on Debian or Ubuntu.")
    if not all(map(shutil.which, LAB_PROGRAMS)):
        said = "Installing Slurm, Grid Engine, sshd, Open MPI, nginx ..."
        print(said, file=sys.stderr, flush=True)
        apt_install(LAB_PACKAGES)
    if missing := [name for name in LAB_PROGRAMS if not shutil.which(name)]:
        sys.exit(f"Not installed: {', '.join(missing)}. See what `apt-get install` says.")
    install("test")
    keep_bytecode()
    become(PYTHON, "-m", "tests.clusters", *arguments)


def keep_bytecode():
    """Let the hundreds of programs that tests start not compile the same again, each of them."""
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)


def lint(arguments):
    """Check form and types."""
    install("dev")
    run(PYTHON, "-m", "ruff", "format", "--check", ".")
    run(PYTHON, "-m", "ruff", "check", ".")
    run(PYTHON, "-m", "mypy", *arguments)
    become(PYTHON, "-m", "pyright", "--pythonpath", PYTHON)


def chaos(arguments):
    """Kill every part of a site under load and see that nothing is lost."""
    install("test")
    become(PYTHON, "-m", "tests.chaos", *arguments)


def bench(arguments):
    """Run one benchmark, or each of them with few jobs."""
    if arguments:
        become(*bench_command(*arguments))
    for name, numbers in BENCHMARKS.items():
        print(f"\n{name}", flush=True)
        run(*bench_command(name, *numbers))


def docs(arguments):
    """Make the documentation site anew; a warning is an error, as of a link that leads nowhere."""
    install("docs")
    site = HERE / "docs" / "_build" / "html"
    # A warning comes only when a page is read, which one that has not changed is not.
    shutil.rmtree(site, ignore_errors=True)
    strict = ["-W", "--keep-going", "-n", "-q"]
    run(PYTHON, "-m", "sphinx", *strict, *arguments, HERE / "docs", site)
    print(f"The site is in {site.relative_to(HERE)}: {site / 'index.html'}")


def bench_command(name, *arguments):
    """Return the command of a benchmark, having installed what it needs."""
    has_peers = name in ("peers", "polling")
    if has_peers:
        install("embedded", BENCH_VENV, PEERS)
    else:
        install("test")
    python = (BENCH_VENV if has_peers else VENV) / PROGRAM
    return python, HERE / "bench" / f"{name}.py", *arguments


def need_python():
    """Go on in a newer Python when this one is too old."""
    if sys.version_info >= OLDEST:
        return
    for name in NEWER:
        if shutil.which(name):
            become(shutil.which(name), __file__, *sys.argv[1:])
    sys.exit(f"Python 3.11 or newer is needed; this is {sys.version.split()[0]}.")


def install(extra, venv=VENV, requirements=None):
    """Install the project with one of its extras into a venv, unless that has been done."""
    stamp, python = venv / f"installed-{extra}", venv / PROGRAM
    wanted = fingerprint(requirements)
    if stamp.exists() and stamp.read_text() == wanted:
        return
    if not runs(python):
        make_venv(venv)
    print(f"Installing moi_django[{extra}] into {venv.name} ...", file=sys.stderr, flush=True)
    more = ["-r", requirements] if requirements else []
    pip = [python, "-m", "pip", "install", "-q", "--disable-pip-version-check"]
    run(*pip, "-e", f".[{extra}]", *more)
    stamp.write_text(wanted)


def fingerprint(requirements):
    """Return what changes when something else has to be installed."""
    files = [HERE / "setup.cfg", HERE / "pyproject.toml", *filter(None, [requirements])]
    said = [*(path.read_bytes() for path in files), sys.version.encode()]
    return hashlib.sha256(b"".join(said)).hexdigest()


def runs(python):
    """Tell whether an interpreter is there and is the same version as this one."""
    ask = [str(python), "-c", "import sys; print(sys.version)"]
    try:
        return subprocess.run(ask, capture_output=True, text=True).stdout.strip() == sys.version
    except OSError:
        return False


def make_venv(venv):
    """Make a venv anew; leave no half-made one behind."""
    shutil.rmtree(venv, ignore_errors=True)
    if subprocess.run([sys.executable, "-m", "venv", str(venv)]).returncode:
        shutil.rmtree(venv, ignore_errors=True)
        sys.exit(f"Python cannot make {venv.name}. On Debian, Ubuntu: apt-get install python3-venv")


def find_browser():
    """Return the path of a Chromium, installed by apt if need be and possible; or None."""
    if os.environ.get("MOI_BROWSER"):
        return os.environ["MOI_BROWSER"]
    if not any(map(shutil.which, BROWSERS)) and shutil.which("apt-get") and is_root():
        print("Installing Chromium for the browser tests ...", file=sys.stderr, flush=True)
        apt_install(["chromium", "fonts-liberation"])
    return next(filter(None, map(shutil.which, BROWSERS)), None)


def apt_install(packages):
    """Install packages of Debian, and start none of their daemons."""
    has_policy = POLICY.exists()
    if not has_policy:
        POLICY.write_text(NO_DAEMONS)
        POLICY.chmod(0o755)
    try:
        for command in (["update"], ["install", "-y", "--no-install-recommends", *packages]):
            subprocess.run(
                ["apt-get", "-qq", *command],
                stdout=subprocess.DEVNULL,
                env={**os.environ, "DEBIAN_FRONTEND": "noninteractive"},
            )
    finally:
        if not has_policy:
            POLICY.unlink()


def is_root():
    """Tell whether packages of the system can be installed."""
    return hasattr(os, "geteuid") and os.geteuid() == 0


def run(*command):
    """Run a command and end with its code when it fails."""
    code = subprocess.run(list(map(str, command)), cwd=HERE).returncode
    if code:
        sys.exit(code)


def become(*command):
    """Be a command from here on: signals and exit code are its own."""
    os.chdir(HERE)
    sys.stdout.flush()
    os.execv(str(command[0]), list(map(str, command)))


if __name__ == "__main__":
    main(sys.argv[1:])
