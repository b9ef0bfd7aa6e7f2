"""Print the oldest versions that pyproject.toml allows, as pip's constraints. `make oldest` installs and tries them.

torch is left out: its older wheels bring gigabytes of CUDA libraries, so the caller chooses a build.
"""

import re
import tomllib
from collections.abc import Iterator
from pathlib import Path

PROJECT = Path(__file__).resolve().parents[2] / "pyproject.toml"
EXTRAS = ("app", "tune", "cluster", "gpu", "postgres", "loggers", "test")
REQUIREMENT = re.compile(r"(?P<name>[\w-]+)(\[.*\])?>=(?P<version>[\d.]+)")


def oldest() -> Iterator[str]:
    project = tomllib.loads(PROJECT.read_text("utf-8"))["project"]
    extras = project["optional-dependencies"]
    for requirement in [*project["dependencies"], *(each for name in EXTRAS for each in extras[name])]:
        found = REQUIREMENT.match(requirement)
        if found and found["name"] != "torch":
            yield f"{found['name']}=={found['version']}"


if __name__ == "__main__":
    print("\n".join(dict.fromkeys(oldest())))
