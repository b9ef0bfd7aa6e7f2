"""Read every hostile bundle, watched, and print what happened as JSON.

python -m tests.support.hostile.guard good.zip
"""

import json
import resource
import sys
import time
import zipfile
from pathlib import Path
from typing import Any

from bench.bundle.errors import BundleError
from bench.bundle.read import read_bundle
from bench.common.text import one_line
from tests.support.hostile.cases import CASES

ROOM = 512 << 20  # bytes beyond what the process has before
SUSPECT = ("exec", "compile", "import", "open", "os.", "subprocess.", "shutil.", "pickle.", "marshal.", "socket.")
LOOKING = ("os.scandir", "os.listdir")
"""Not suspect: names are compared with those of the files in our own folders."""


class Watch:
    """Notes what a process does, by Python's audit events, while it is `on`."""

    def __init__(self) -> None:
        self.on = False
        self.deeds: list[str] = []
        sys.addaudithook(self.note)

    def note(self, event: str, arguments: tuple[Any, ...]) -> None:
        if self.on and event.startswith(SUSPECT) and event not in LOOKING:
            self.deeds.append(f"{event} {arguments!r:.200}")


def used() -> int:
    """Bytes that count against RLIMIT_DATA."""
    (line,) = [line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmData")]
    return int(line.split()[1]) * 1024


def read(data: bytes, watch: Watch) -> dict[str, Any]:
    watch.deeds = []
    resource.setrlimit(resource.RLIMIT_DATA, (used() + ROOM, resource.RLIM_INFINITY))
    started, watch.on = time.perf_counter(), True
    try:
        read_bundle(data)
        outcome = "accepted"
    except BundleError:
        outcome = "refused"
    except BaseException as error:  # MemoryError above all
        outcome = repr(error)
    watch.on = False
    resource.setrlimit(resource.RLIMIT_DATA, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    return {"outcome": outcome, "seconds": time.perf_counter() - started, "deeds": watch.deeds}


def main() -> None:
    with zipfile.ZipFile(sys.argv[1]) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    watch = Watch()
    one_line("\x1b")  # loads a codec
    first = read(Path(sys.argv[1]).read_bytes(), watch)
    assert (first["outcome"], first["deeds"]) == ("accepted", []), first
    cases = {name: read(make(members), watch) for name, (make, _) in CASES.items()}
    print(json.dumps({"cases": cases, "torch": "torch" in sys.modules}))


if __name__ == "__main__":
    main()
