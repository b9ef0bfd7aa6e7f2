"""A benchmark of sequence models on long dependencies. docs/python.md shows what is offered here.

Everything is imported when it is first used, so `import bench` is light, and only networks and training need torch.
The packages inside import only from lower ones, in the order that tests/test_layout.py states.
"""

TYPE_CHECKING = False  # true for type checkers; `typing` itself is too much for `python -m bench --help`
if TYPE_CHECKING:
    from bench.from_python.networks import network
    from bench.from_python.recorded_run import RecordedRun, load_run, run
    from bench.from_python.tables import leaderboard, load_results
else:

    def __getattr__(name):
        if name not in __all__:
            raise AttributeError(f"module 'bench' has no attribute {name!r}")
        from importlib import import_module

        from bench.common.import_path import claim_package_names

        claim_package_names()
        return getattr(import_module(f"bench.from_python.{_HOMES[name]}"), name)


_HOMES = {
    "RecordedRun": "recorded_run", "leaderboard": "tables", "load_results": "tables", "load_run": "recorded_run",
    "network": "networks", "run": "recorded_run",
}  # fmt: skip
__all__ = ["RecordedRun", "leaderboard", "load_results", "load_run", "network", "run"]


def __dir__() -> list[str]:
    return [*globals(), *__all__]
