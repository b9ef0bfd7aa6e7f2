"""The names of tasks, known without the import of torch once they were asked for."""

from bench.catalog.names import dashed, stems, variant_of
from bench.common.errors import unknown
from bench.common.kept_answers import kept


def stored_name(task: str) -> str:
    """Return the name that results of a registered task are stored under: a variant's. A family means its first.

    Raises:
        RequestError: there is no such task, or its file is broken.
    """
    variants: dict[str, list[str]] = kept(_variants, "variants of tasks")
    found = variant_of(task, lambda family: variants[family] or _of_broken(family))
    if found is None:
        names = [variant for each in variants.values() for variant in each]
        raise unknown("task", task, {*names, *variants}, "`bench tasks`")
    return found[1]


def check_task(task: str) -> None:
    """Refuse the name of a task that does not exist.

    Raises:
        RequestError: there is no such task, or its file is broken.
    """
    if dashed(task) not in stems("datamodules"):
        stored_name(task)


def _variants() -> dict[str, list[str]]:
    """Return family → variants, none for a broken file."""
    from bench.catalog.registry import all_variants

    return all_variants()


def _of_broken(family: str) -> list[str]:
    from bench.catalog.registry import find_family

    return list(find_family(family).variants)
