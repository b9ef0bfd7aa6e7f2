"""What `bench run` is asked for. What tells whether it is recorded is kept, so that it needs no torch the next time.

Nothing is kept where the model or the task is a file of the user's: its code may follow from anything.
"""

import os
from collections.abc import Callable
from dataclasses import asdict, dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

from bench.common.kept_answers import kept
from bench.runs.recorded import Asked, Hashes, split_hashes

if TYPE_CHECKING:
    from bench.runs.request import RunRequest


@dataclass(frozen=True, kw_only=True)
class Asking:
    """The words of the command line that decide which run it is.

    Args:
        flags: the fields of a `SettingFlags`.
    """

    model: str
    task: str
    seed: int
    flags: dict[str, Any]
    preset: bool
    data_dir: str | None

    @cached_property
    def request(self) -> "RunRequest":
        """The request, for which torch is imported.

        Raises:
            RequestError: the request can't be met.
        """
        from bench.catalog.registry import find_model_or_file, find_task_or_file
        from bench.runs.presets import load
        from bench.runs.request import SettingFlags, build_request

        flags, task = SettingFlags(**self.flags), find_task_or_file(self.task, self.data_dir)
        request = build_request(find_model_or_file(self.model), task, flags, self.seed)
        if self.preset:
            return build_request(request.model, request.task, load(request).applied_to(flags), self.seed)
        return request

    def asked(self) -> Asked:
        """Return what tells whether the run is recorded.

        Raises:
            RequestError: the request can't be met.
        """
        words = [self.model, self.task, self.seed, self.flags, self.preset]
        return Asked(**self._kept(self._asked, "run", *words))

    def hashes(self) -> Hashes | None:
        """Return the hashes of the splits, as `split_hashes` does.

        Raises:
            DataError: some of the data are damaged.
        """
        place = self.data_dir and os.path.abspath(self.data_dir)
        return self._kept(lambda: split_hashes(self.request.task, self.data_dir), "hashes of data", self.task, place)

    def remember(self) -> None:
        """Keep the hashes for when the run, which is recorded now, is asked for again."""
        if self._by_name:
            self.hashes()

    @property
    def _by_name(self) -> bool:
        return ".py" not in f"{self.model} {self.task}"

    def _kept(self, make: Callable[[], Any], *question: Any) -> Any:
        return kept(make, *question) if self._by_name else make()

    def _asked(self) -> dict[str, Any]:
        from bench.runs.commands import run_command

        request = self.request
        # The recorded command may be older than the preset or name other sources.
        command = run_command(request).replace(f"--seed {self.seed}", f"--seed {self.seed + 1}")
        asked = Asked(
            run_id=request.run_id, sources=request.sources, model_name=request.model_name,
            model_file=str(request.model.path), source_hash=request.source_hash, is_draft=request.is_draft,
            next_seed=command,
        )  # fmt: skip
        return asdict(asked)
