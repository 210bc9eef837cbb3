"""Measures how long commands take that load no TensorFlow, and one that does nothing much but load it.

    python benchmarks/startup.py

prints a Markdown table: the median of some runs, each in a process of its own, beside `python -c pass`,
`import pandas` and `import keras` in the same turns. `trials` reads a project of 100 trials, which lies in a temporary
folder. When the default search begins to train is a line of `overhead.py`.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from load import write_project

TRIALS, EPOCHS = 100, 30


def main() -> None:
    """Prints the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=11)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        project = Path(name) / "project"
        write_project(project, TRIALS, EPOCHS)
        commands = {
            "python -c pass": ("-c", "pass"),
            "import pandas": ("-c", "import pandas"),
            "import tuner_gan": ("-c", "import tuner_gan"),
            "tuner-gan --help": ("-m", "tuner_gan", "--help"),
            "tuner-gan trials": ("-m", "tuner_gan", "trials", str(project)),
            "import keras": ("-c", "import keras"),
            "tuner-gan spaces dcgan": ("-m", "tuner_gan", "spaces", "dcgan"),
        }
        seconds: dict[str, list[float]] = {command: [] for command in commands}
        for _ in range(options.repeats):
            for command, arguments in commands.items():
                seconds[command].append(_run(arguments))
    print(f"{os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}\n\n| command | s |\n|---|---|")
    for command, found in seconds.items():
        print(f"| `{command}` | {statistics.median(found):.2f} |")


def _run(arguments: tuple[str, ...]) -> float:
    started = time.perf_counter()
    subprocess.run([sys.executable, *arguments], check=True, stdout=subprocess.DEVNULL)
    return time.perf_counter() - started


if __name__ == "__main__":
    main()
