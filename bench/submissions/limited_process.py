"""A separate process for work on what strangers sent. It is ended when it takes too long or too much memory."""

import os
import signal
import subprocess
import sys

from bench.bundle.errors import BundleError
from bench.common.import_path import child_environment
from bench.common.text import one_line


def run_limited(module: str, given: bytes, *, seconds: float) -> bytes:
    """Run `python -m module` and return what it writes to stdout. The module limits its own memory.

    Args:
        given: its stdin.
        seconds: how long it may take.

    Raises:
        BundleError: it took longer, or failed.
    """
    process = subprocess.Popen(  # noqa: S603
        [sys.executable, "-P", "-m", module], env=child_environment(), start_new_session=True,
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip
    try:
        answer, complaints = process.communicate(given, timeout=seconds)
    except subprocess.TimeoutExpired:
        raise BundleError(f"not done after {seconds:,g} s; --time-limit allows more") from None
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
    if process.returncode:
        last = complaints.decode(errors="replace").strip().rpartition("\n")[2]
        how = signal.Signals(-process.returncode).name if process.returncode < 0 else f"exit code {process.returncode}"
        raise BundleError(f"ended with {how}: {one_line(last)}")
    return answer
