#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Documents against the lists they restate: sensor/options.def, alerts/rules.def, alerts/heartbeat.def.

  documents.py               one line for each difference
  documents.py --update      write the generated parts anew
  documents.py --self-test   change each document and see it found

Generated: deploy/stripwatch.schema.json, the options in deploy/stripwatch.1, the rule table
in README.md, the fields of the heartbeat in deploy/DELIVERY.md. Compared: deploy/stripwatch.yaml shows every key with its default, every
option that a document names exists, and, where $STRIPWATCH names the program, so does
its --help.
"""
import json
import os
import pathlib
import re
import subprocess
import sys
import textwrap

import jsonschema
import yaml

ROOT = pathlib.Path(__file__).resolve().parents[2]
COMMANDS = {"R": "replay", "W": "watch", "T": "tail", "L": "rules", "B": "baseline"}
SEVERITIES = ["low", "medium", "high", "critical"]


def split_arguments(text):
    """The top-level arguments of a macro call whose parenthesis begins text; and what is behind."""
    depth, start, items, at = 0, 1, [], 0
    while at < len(text):
        char = text[at]
        if char == '"':
            at = re.compile(r'"(?:\\.|[^"\\])*"').match(text, at).end()
            continue
        if char == "(":
            depth += 1
        elif char == ")":
            depth -= 1
            if depth == 0:
                return items + [text[start:at].strip()], text[at + 1 :]
        elif char == "," and depth == 1:
            items.append(text[start:at].strip())
            start = at + 1
        at += 1
    raise ValueError("unbalanced parenthesis")


def calls(text, names):
    """(name, arguments) of every call of these macros, in order."""
    text = re.sub(r"/\*.*?\*/", "", text, flags=re.S)
    text = re.sub(r"^[ \t]*#(?:[^\n\\]|\\\n|\\.)*", "", text, flags=re.M)
    pattern = re.compile(r"\b(" + "|".join(names) + r")\(")
    while match := pattern.search(text):
        arguments, text = split_arguments(text[match.end() - 1 :])
        yield match.group(1), arguments


def literal(argument):
    if argument == "NULL":
        return None
    return "".join(json.loads(part) for part in re.findall(r'"(?:\\.|[^"\\])*"', argument))


class Option:
    def __init__(self, group, arguments):
        _, name, short, argument, commands, kind, default, low, high, help_text = arguments
        self.group = group
        self.name = literal(name)
        self.short = None if short == "0" else short.strip("'")
        self.argument = literal(argument)
        self.commands = [COMMANDS[c.strip()] for c in commands.split("|")]
        self.kind = kind
        self.default = literal(default)
        self.low = int(low)
        self.high = 2**63 - 1 if high == "INT64_MAX" else int(high)
        self.help = literal(help_text)

    @property
    def is_key(self):
        return self.kind not in ("CONFIG", "HELP") and {"replay", "watch"} & set(self.commands)


def read_options():
    group, options = None, []
    for name, arguments in calls((ROOT / "sensor/options.def").read_text(), ["OPTION", "OPTION_GROUP"]):
        if name == "OPTION_GROUP":
            group = literal(arguments[0])
        else:
            options.append(Option(group, arguments))
    return options


def read_rules():
    rules = []
    for _, arguments in calls((ROOT / "alerts/rules.def").read_text(), ["RULE"]):
        rules.append({"id": literal(arguments[1]), "severity": arguments[3].lower(), "meaning": literal(arguments[4])})
    return rules


def key_schema(option, rules):
    ids = [rule["id"] for rule in rules]
    text = {"type": "string", "minLength": 1}
    pair = {"type": "object", "additionalProperties": text, "minProperties": 1}
    number = {"type": "integer", "minimum": option.low, "maximum": option.high}
    port = {"type": "integer", "minimum": 1, "maximum": 65535}
    # As on the command line; 1 to 65535, which JSON Schema has no other way to say of a text.
    port_text = "([1-9][0-9]{0,3}|[1-5][0-9]{4}|6[0-4][0-9]{3}|65[0-4][0-9]{2}|655[0-2][0-9]|6553[0-5])"
    ports_text = {"type": "string", "pattern": f"^{port_text}(,{port_text})*$"}
    level_text = {"type": "string", "pattern": f"^({'|'.join(ids)})=({'|'.join(SEVERITIES)})$"}

    def one_or_more(item):
        return {"anyOf": [item, {"type": "array", "items": item}]}

    schema = {
        "FLAG": lambda: {"type": "boolean"},
        "TEXT": lambda: text,
        "OUTPUT": lambda: text,
        "LIST": lambda: one_or_more(text),
        "PAIRS": lambda: {"anyOf": [pair, one_or_more({"type": "string", "pattern": "^[^=]+=."})]},
        "RULES": lambda: one_or_more({"enum": ids}),
        "RULE_LEVELS": lambda: {"anyOf": [{
            "type": "object",
            "propertyNames": {"enum": ids},
            "additionalProperties": {"enum": SEVERITIES},
        }, one_or_more(level_text)]},
        "NUMBER": lambda: number,
        "SIZE": lambda: {"anyOf": [number, {"type": "string", "pattern": "^[0-9]+[KMG]?$"}]},
        "PORTS": lambda: one_or_more({"anyOf": [port, ports_text]}),
        "CHOICE": lambda: {"enum": option.argument.split("|")},
    }[option.kind]()
    schema["description"] = option.help
    return schema


def key_schemas(options, rules):
    """One file serves both commands: what a key means to each of them stands in its description."""
    schemas = {}
    for option in options:
        if not option.is_key:
            continue
        schema = key_schema(option, rules)
        other = schemas.get(option.name)
        if other:
            schema["description"] = f"replay: {other['description']} watch: {schema['description']}"
        schemas[option.name] = schema
    return schemas


def make_schema(options, rules):
    return (
        json.dumps(
            {
                "$schema": "https://json-schema.org/draft/2020-12/schema",
                "title": "Configuration of stripwatch",
                "description": "Keys are the long options of replay and watch. Generated from sensor/options.def.",
                "type": "object",
                "additionalProperties": False,
                "properties": key_schemas(options, rules),
            },
            indent=2,
        )
        + "\n"
    )


def man_text(text):
    return text.replace("\\", "\\e").replace("-", "\\-")


def make_man(options, _rules):
    lines, group = [], None
    for option in options:
        if option.group != group:
            group = option.group
            lines.append(f".Ss {group}")
            lines.append(".Bl -tag -width Ds")
        flag = f".It Fl {option.short} , Fl Fl {option.name}" if option.short else f".It Fl Fl {option.name}"
        lines.append(flag + (f" Ar {option.argument}" if option.argument else ""))
        # A sentence begins on a line of its own, as mandoc -T lint asks.
        for sentence in re.split(r"(?<=[.:;]) (?=\S)", man_text(option.help)):
            lines += textwrap.wrap(sentence, 78, break_long_words=False, break_on_hyphens=False)
        notes = []
        if option.default:
            notes.append(f"Default: {man_text(option.default)}.")
        if set(option.commands) != {"replay", "watch"}:
            notes.append(f"({', '.join(option.commands)})")
        lines += notes
        after = options[options.index(option) + 1 :]
        if not after or after[0].group != group:
            lines.append(".El")
    return "\n".join(lines) + "\n"


def make_rule_table(_options, rules):
    lines = ["| rule | severity | raised when |", "|---|---|---|"]
    lines += [f"| `{r['id']}` | {r['severity']} | {r['meaning']} |" for r in rules]
    return "\n".join(lines) + "\n"


def make_heartbeat_table(_options, _rules):
    lines = ["| field | meaning |", "|---|---|"]
    text = (ROOT / "alerts/heartbeat.def").read_text()
    for _, arguments in calls(text, ["HEARTBEAT_TEXT", "HEARTBEAT_SENSOR", "HEARTBEAT_DELIVERY"]):
        if literal(arguments[-1]):
            lines.append(f"| `{arguments[0]}` | {literal(arguments[-1])} |")
    return "\n".join(lines) + "\n"


# file, marker before, marker after (None: the whole file), maker
GENERATED = [
    ("deploy/stripwatch.schema.json", None, None, make_schema),
    ("deploy/stripwatch.1", '.\\" options: generated by tests/checks/documents.py --update\n', '.\\" end of options\n', make_man),
    ("README.md", "<!-- rules: generated by tests/checks/documents.py --update -->\n", "<!-- end of rules -->\n", make_rule_table),
    (
        "deploy/DELIVERY.md",
        "<!-- heartbeat: generated by tests/checks/documents.py --update -->\n",
        "<!-- end of heartbeat -->\n",
        make_heartbeat_table,
    ),
]


def cut(text, before, after):
    """The text in front of, in and behind the generated part; None if its markers are missing."""
    if before is None:
        return "", text, ""
    head, found, rest = text.partition(before)
    part, found_end, tail = rest.partition(after)
    return (head + before, part, after + tail) if found and found_end else None


def check_generated(name, text, before, after, wanted):
    parts = cut(text, before, after)
    if parts is None:
        return [f"{name}: the markers of the generated part are missing"]
    return [] if parts[1] == wanted else [f"{name}: differs from its list; see documents.py --update"]


def check_mentions(name, text, options):
    known = {o.name for o in options} | {"version", "help", "update", "self-test", "tests", "install", "prefix"}
    for mention in sorted(set(re.findall(r"(?<![\w-])--([a-z][a-z-]*[a-z])", text)) - known):
        yield f"{name}: --{mention} is no option"


def typed(option, text):
    """A default as YAML would write it."""
    if option.kind == "NUMBER":
        return int(text)
    if option.kind == "PORTS":
        return [int(port) for port in text.split(",")]
    return text


def check_sample(name, text, options, schema):
    """The sample is all comments; taken out of them it is a valid file with every key."""
    if yaml.safe_load(text) is not None:
        yield f"{name}: sets something as it stands"
    bare = "\n".join(re.findall(r"^#([a-z][a-z-]*:.*|  [-a-z].*)$", text, flags=re.M))
    try:
        values = yaml.safe_load(bare) or {}
        jsonschema.validate(values, json.loads(schema))
    except (yaml.YAMLError, jsonschema.ValidationError) as error:
        yield f"{name}: {str(error).splitlines()[0]}"
        return
    for option in options:
        if not option.is_key:
            continue
        if option.name not in values:
            yield f"{name}: {option.name} is missing"
        elif option.default and values[option.name] != typed(option, option.default):
            yield f"{name}: {option.name}: the default is {option.default}"


def check_help(program, options):
    for command in COMMANDS.values():
        shown = subprocess.run([program, command, "--help"], capture_output=True, text=True, check=True).stdout
        for option in options:
            if (f" --{option.name}" in shown.replace("\n", " ") + " ") < (command in option.commands):
                yield f"{command} --help: --{option.name} is missing"
        for mention in re.findall(r"^ .{5} --([a-z-]+)", shown, flags=re.M):
            if not any(o.name == mention and command in o.commands for o in options):
                yield f"{command} --help: --{mention} does not belong there"


def check(read, options, rules):
    """read(name) gives the text of a document."""
    differences = []
    for name, before, after, make in GENERATED:
        differences += check_generated(name, read(name), before, after, make(options, rules))
    for name in ("README.md", "deploy/stripwatch.1", "deploy/stripwatch.yaml"):
        text = read(name)
        differences += check_mentions(name, text.replace("Fl Fl ", "--").replace("\\-", "-"), options)
    differences += check_sample(
        "deploy/stripwatch.yaml", read("deploy/stripwatch.yaml"), options, make_schema(options, rules)
    )
    return differences


def read_document(name):
    return (ROOT / name).read_text()


def update(options, rules):
    for name, before, after, make in GENERATED:
        path = ROOT / name
        parts = cut(path.read_text() if path.exists() else "", before, after)
        if parts is None:
            print(f"{name}: the markers of the generated part are missing")
            return 1
        path.write_text(parts[0] + make(options, rules) + parts[2])
    return 0


def self_test(options, rules):
    changes = [
        ("deploy/stripwatch.schema.json", '"minimum": 1,', '"minimum": 0,'),
        ("deploy/stripwatch.1", ".It Fl Fl ports", ".It Fl Fl port"),
        ("README.md", "| `plaintext-mail` |", "| `plaintext-male` |"),
        ("README.md", "# ", "# --no-such-option "),
        ("deploy/DELIVERY.md", "| `alerts_raised` |", "| `alerts_razed` |"),
        ("deploy/stripwatch.yaml", "#ports:", "#port:"),
        ("deploy/stripwatch.yaml", "#suppression-window: 300", "#suppression-window: 301"),
        ("deploy/stripwatch.yaml", "#quiet: ", "quiet: "),
    ]
    missed = 0
    before = check(read_document, options, rules)
    for name, old, new in changes:
        text = read_document(name)
        changed = text.replace(old, new, 1)

        def read(other, name=name, changed=changed):
            return changed if other == name else read_document(other)

        if changed == text or len(check(read, options, rules)) <= len(before):
            missed += 1
            print(f"self-test: {name}: {old!r} -> {new!r} was not found")
    print(f"self-test: {len(changes)} changes, {missed} missed")
    return 1 if missed else 0


def main():
    options, rules = read_options(), read_rules()
    if sys.argv[1:] == ["--update"]:
        return update(options, rules)
    if sys.argv[1:] == ["--self-test"]:
        return self_test(options, rules)
    differences = check(read_document, options, rules)
    program = os.environ.get("STRIPWATCH")
    if program:
        differences += check_help(program, options)
    for difference in differences:
        print(difference)
    print(f"{len(options)} options, {len(rules)} rules, {len(differences)} differences")
    return 1 if differences else 0


if __name__ == "__main__":
    sys.exit(main())
