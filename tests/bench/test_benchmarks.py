"""Each benchmark runs as its first lines say, from anywhere, here with tiny numbers."""

import os
import re
import subprocess
import sys

import pytest

from tests.helpers.processes import ROOT

RUNS = {
    "startup": (["1"], r"manage\.py moi submit --block +\d+ ms +x\d+\.\d\d of check"),
    "throughput": (["5", "1"], r"moi_django +\d+ a second .*\nratio +x\d+\.\d\d"),
    "claims": (["200", "100"], r"   100 owners +[\d,]+ +\d+\.\d\d +\d+\.\d\d"),
    "scale": (
        ["--workers=4", "--seconds=0.3", "--listeners=2"],
        r"      4 +8 +\d+ +\d+\.\d\d \| +[\d,]+ +\d+\.\d +\d+\.\d +\d+\.\d\d\n.*\n +2 +\d+\.\d\d",
    ),
    "controller": (["--engines=5", "--seconds=3"], r" +5 +\d+\.\d +5 +\d+% +\d+% +\d+"),
    "large_tree": (["60", "1"], r"snapshot, many +\d+\.\d +\d+\.\d"),
    "growth": (["20"], r"     20 jobs +\d+\.\d MB +\d+\.\d s"),
    "process_cost": (["5"], r"CPU of a process, the kernel's +\d+\.\d ms"),
    # The peers themselves are installed for `make bench` only.
    "peers": (
        ["--quick", "--jobs=20", "--trips=4", "--systems=ipyparallel,ours,ours-shared"],
        r"\| moi_django \| \d+ \(x\d+\.\d\d\) \|",
    ),
    "live": (
        ["crowd", "paint", "--sockets=5", "--seconds=1"],
        r"crowd +sockets 5, .* stale 0, (.|\n)*paint +round_trips [1-4], ",
    ),
    "idle_memory": (["1", "--settle=0"], r"\| engines \| 2 \| \d+ \| 2 \| \d+ \|"),
}


# Of what is measured there, and what needs a peer, as `make bench` alone installs.
OTHERS = {"services", "live_client", "live_settings", "polling"}


def test_each_is_run_here():
    found = {path.stem for path in (ROOT / "bench").glob("*.py")}
    assert found - OTHERS == set(RUNS)


@pytest.mark.parametrize("name", RUNS)
def test_a_benchmark_prints_its_figures(name, tmp_path):
    arguments, expected = RUNS[name]
    # As from a shell: what the tests have set up for themselves is not there.
    names = ("DJANGO_", "MOI_", "PYTHONPATH", "PYTEST_")
    env = {key: value for key, value in os.environ.items() if not key.startswith(names)}
    ran = subprocess.run(
        [sys.executable, str(ROOT / "bench" / f"{name}.py"), *arguments],
        cwd=tmp_path,
        env=env,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert ran.returncode == 0, ran.stderr
    assert re.search(expected, ran.stdout), ran.stdout
