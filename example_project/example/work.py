"""The long computations of this site: ordinary functions that know nothing of the web."""

import random
import time

from moi_django import attach, progress, track

BASES = "ACGT"


def say_hello(name, **kwargs):
    """Greet somebody, after some thought."""
    kwargs["status_update"]("I'm about to say hello")
    time.sleep(5)
    return f"hello from {name}!"


def count_stars(status_update):
    """Work through many steps and tell how far it is."""
    counted = 0
    for field in track(range(1, 13)):
        status_update(f"Counting the stars of field {field} of 12")
        time.sleep(1.5)
        counted += 40 + field * field % 17
        print(f"field {field:2}: {counted} stars so far")
    return {"fields": 12, "stars": counted}


def divide(dividend, divisor):
    """Fail, when it is asked to divide by zero."""
    return dividend / divisor


def estimate_pi(rounds=60, points=20_000, seed=None):
    """Throw points at a square and count those in the circle; return a plot of how that went."""
    from matplotlib.figure import Figure

    choose = random.Random(seed)
    inside, estimates = 0, []
    for number in track(range(1, rounds + 1)):
        inside += sum(choose.random() ** 2 + choose.random() ** 2 < 1 for _ in range(points))
        estimates.append(4 * inside / (number * points))
        print(f"after {number * points:>9,} points: \033[1m{estimates[-1]:.5f}\033[0m")
        time.sleep(0.1)
    attach("estimates.csv", "\n".join(f"{estimate:.6f}" for estimate in estimates).encode())
    plot = Figure(figsize=(6, 3), layout="constrained")
    axes = plot.subplots()
    axes.plot(estimates)
    axes.axhline(3.14159265, linestyle=":", color="grey")
    axes.set(xlabel="rounds", ylabel="estimate of π")
    return plot


def search_sequence(length=60, size=300, seed=None):
    """Search many sequences for the ones most like a given one; return a table of them."""
    import pandas

    choose = random.Random(seed)
    query = "".join(choose.choices(BASES, k=length))
    found = []
    for number in track(range(size)):
        sequence = "".join(
            base if choose.random() < 0.4 else choose.choice(BASES) for base in query
        )
        same = sum(map(str.__eq__, query, sequence))
        found.append({"sequence": f"seq{number:04}", "identity": same / length, "bases": sequence})
        time.sleep(0.02)
    table = pandas.DataFrame(found).nlargest(10, "identity").reset_index(drop=True)
    attach("all.csv", pandas.DataFrame(found).to_csv(index=False).encode())
    return table


def simulate(temperature, replica, steps=40):
    """Let a magnet of a few atoms come to rest at a temperature; return its magnetisation."""
    choose = random.Random(f"{temperature} {replica}")
    atoms = [1] * 200
    for step in range(steps):
        for _ in range(len(atoms)):
            place = choose.randrange(len(atoms))
            cost = 2 * atoms[place] * (atoms[place - 1] + atoms[(place + 1) % len(atoms)])
            if choose.random() < 2.718 ** (-cost / temperature):
                atoms[place] *= -1
        progress(step + 1, steps)
        time.sleep(0.05)
    if choose.random() < 0.1:
        raise RuntimeError(f"the simulation at {temperature} K did not come to rest")
    return abs(sum(atoms)) / len(atoms)
