#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Checks session records and alerts against their JSON schemas.

    schema.py [FILE ...]

A FILE holds JSON lines, sessions and alerts in any mixture (event.kind tells
which); without any, all golden documents and outputs are checked. The
word lists in the schemas must be those of the source as well. Exit status 1
when something does not fit, 2 on wrong use.
"""

import json
import re
import sys
from pathlib import Path

from jsonschema import Draft202012Validator

ROOT = Path(__file__).resolve().parents[2]
MAX_SHOWN = 20


def words_of(path, macro):
    """The second argument of each expansion of a macro in a .def list."""
    text = (ROOT / path).read_text(encoding="utf-8")
    return re.findall(rf'^{macro}\([A-Z_0-9]+, "([^"]+)"', text, re.MULTILINE)


def enum_at(schema, *path):
    for name in path:
        schema = schema["properties"][name] if name != "[]" else schema["items"]
    return [word for word in schema["enum"] if word is not None]


def check_word_lists(schemas):
    """Every list lives once: the schema's enumerations are copies that must not differ."""
    lists = [
        ("event", ("stripwatch", "outcome"), "decoders/outcomes.def", "OUTCOME"),
        ("event", ("stripwatch", "visibility"), "decoders/outcomes.def", "VISIBILITY"),
        ("event", ("stripwatch", "closed_by"), "decoders/outcomes.def", "CLOSED_BY"),
        ("event", ("stripwatch", "alerts", "[]"), "alerts/rules.def", "RULE"),
        ("event", ("stripwatch", "risks", "[]"), "decoders/application_risks.def", "APPLICATION_RISK"),
        ("event", ("tls", "server", "problems", "[]"), "decoders/certificate_problems.def",
         "CERTIFICATE_PROBLEM"),
        ("alert", ("stripwatch", "outcome"), "decoders/outcomes.def", "OUTCOME"),
        ("alert", ("rule", "id"), "alerts/rules.def", "RULE"),
        ("alert", ("threat", "technique", "id", "[]"), "alerts/rules.def", "TECHNIQUE"),
        ("alert", ("stripwatch", "compliance", "[]"), "alerts/rules.def", "COMPLIANCE"),
    ]
    faults = []
    for kind, path, source, macro in lists:
        if enum_at(schemas[kind], *path) != words_of(source, macro):
            faults.append(f"{kind} schema, {'.'.join(path)}: differs from {source}")
    return faults


def check_line(line, validators):
    try:
        document = json.loads(line)
    except ValueError as error:
        return [f"no JSON: {error}"]
    kind = document.get("event", {}).get("kind") if isinstance(document, dict) else None
    if kind not in validators:
        return ["event.kind is neither event nor alert"]
    return [f"{'.'.join(map(str, error.path))}: {error.message[:200]}"
            for error in validators[kind].iter_errors(document)]


def main(arguments):
    schemas = {}
    for kind, name in (("event", "session"), ("alert", "alert")):
        schemas[kind] = json.loads((ROOT / f"alerts/{name}.schema.json").read_text(encoding="utf-8"))
        Draft202012Validator.check_schema(schemas[kind])
    validators = {kind: Draft202012Validator(schema) for kind, schema in schemas.items()}

    faults = check_word_lists(schemas)
    paths = [Path(argument) for argument in arguments]
    if not paths:
        paths = sorted(path for path in (ROOT / "tests/golden").rglob("*.json*")
                       if path.parent.name != "formats")
    documents = 0
    for path in paths:
        try:
            lines = path.read_bytes().splitlines()
        except OSError as error:
            print(f"schema.py: {path}: {error.strerror}", file=sys.stderr)
            return 2
        for number, line in enumerate(lines, 1):
            documents += 1
            faults += [f"{path}:{number}: {fault}" for fault in check_line(line, validators)]
    for fault in faults[:MAX_SHOWN]:
        print(fault, file=sys.stderr)
    print(f"schema: {documents} documents, {len(faults)} faults")
    return 1 if faults or documents == 0 else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
