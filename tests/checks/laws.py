#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""The laws of the architecture, checked on the sources and on the release objects.

  laws.py [--objects BUILD_DIR]   check this tree; one line for each violation
  laws.py --self-test             plant a violation of each law and see it found

With objects (the directory of a plain release build) the laws about symbols are
checked as well: decoders are pure, nothing has mutable globals.
"""
import argparse
import pathlib
import re
import subprocess
import sys
import tempfile

ROOT = pathlib.Path(__file__).resolve().parents[2]
ROOMS = ("decoders", "alerts", "sensor")

# Law 1. What each room may include of ours, besides the generated version.h.
MAY_INCLUDE = {
    "decoders": {"decoders"},
    "alerts": {"decoders", "alerts"},
    "sensor": {"decoders", "alerts", "sensor"},
}

# Law 2. Outside libraries: header prefix -> the files that may include it, with their purpose.
LIBRARIES = {
    "pcap/": {
        "sensor/capture_live.c": "live capture",
        "sensor/filter.c": "filters",
        "sensor/evidence_file.c": "evidence writing",
    },
    "ndpi": {"decoders/application.c": "what is this flow"},
    "libndpi/": {"decoders/application.c": "what is this flow"},
    "openssl/": {
        "decoders/certificate_x509.c": "reading a certificate",
        "decoders/certificate_chain.c": "whether CAs vouch for it",
        "decoders/digest.c": "digests",
        "alerts/redis_tls.c": "TLS to Redis",
    },
    "hiredis/": {"alerts/redis_link.c": "the protocol"},
    "yaml.h": {"sensor/config.c": "configuration", "alerts/policy_file.c": "policy"},
    "jansson.h": {"alerts/json_read.c": "reading JSON"},
    "sqlite3.h": {"alerts/baseline_store.c": "the baseline", "alerts/baseline_rows.c": "its rows"},
    "zlib.h": {"sensor/decompress_gzip.c": "gzip"},
    "zstd": {"sensor/decompress_zstd.c": "zstd"},
    "malloc.h": {"sensor/heap.c": "how glibc's heap is laid out"},
}

# Headers of the C library, POSIX and Linux. What is in neither list has no rule yet: a violation.
SYSTEM_HEADERS = set(
    """assert.h ctype.h dirent.h errno.h fcntl.h fnmatch.h inttypes.h limits.h locale.h math.h
    netdb.h poll.h pthread.h pwd.h sched.h signal.h stdalign.h stdarg.h stdatomic.h stdbool.h
    stddef.h stdint.h stdio.h stdlib.h stdnoreturn.h string.h strings.h syslog.h termios.h threads.h
    time.h unistd.h endian.h byteswap.h grp.h search.h immintrin.h emmintrin.h getopt.h""".split()
)
SYSTEM_DIRECTORIES = ("sys/", "arpa/", "netinet/", "net/", "linux/")

# Law 3. The file of decoders/ that may use memory.
ALLOCATOR = "decoders/budget.c"
ALLOCATOR_SYMBOLS = {"malloc", "calloc", "realloc", "free"}
PURE_SYMBOLS = re.compile(
    r"^(mem(chr|cmp|cpy|move|set|rchr|mem)|__\w+_chk|__stack_chk_fail|_GLOBAL_OFFSET_TABLE_)$"
)

# Law 9. Function pointers: operation tables of the sink and capture backends, and what an
# outside interface demands.
FUNCTION_POINTER_FILES = {
    "alerts/sink.h": "operation table of a sink",
    "sensor/decompress.h": "operation table of a capture backend",
}

# Law 9. Mutable state with static storage, object file stem -> symbol -> reason.
MUTABLE_ALLOWED = {
    "sensor/signals.c": {"stop_asked": "what a signal may touch", "reopen_asked": "likewise"},
    "sensor/file_mapping.c": {"guarded": "what the handler of SIGBUS looks through", "pages_lost": "what it counts",
                              "before": "whose the signal was"},
}

FORBIDDEN = """strcpy strcat stpcpy sprintf vsprintf gets atoi atol atoll atof strtok alloca scanf
    sscanf fscanf vsscanf system popen tmpnam mktemp setjmp longjmp rand srand localtime gmtime asctime
    ctime strerror_l""".split()

SPDX = "SPDX-License-Identifier: Apache-2.0"
SPDX_SUFFIXES = {".c", ".h", ".def", ".sh", ".py", ".in", ".cmake", ".yaml", ".yml", ".1", ".service"}


def strip_comments(text, keep_strings=False):
    """Comments, and unless asked otherwise the insides of literals, become blanks; lines stay."""

    def blank(match):
        token = match.group(0)
        if token.startswith("/"):
            return re.sub(r"[^\n]", " ", token)
        return token if keep_strings else token[0] + " " * (len(token) - 2) + token[-1]

    return re.sub(r'/\*.*?\*/|//[^\n]*|"(?:\\.|[^"\\\n])*"|\'(?:\\.|[^\'\\\n])*\'', blank, text, flags=re.S)


def sources(root, rooms=ROOMS):
    for room in rooms:
        for path in sorted((root / room).rglob("*")):
            if path.suffix in (".c", ".h", ".def"):
                yield room, path.relative_to(root).as_posix(), path.read_text()


def law_include_graph(root):
    for room, name, text in sources(root):
        for line, include in re.findall(r'^[ \t]*(#[ \t]*include[ \t]*"([^"]+)")', text, flags=re.M):
            target = include.split("/")[0]
            if include == "version.h" and room != "decoders":
                continue
            if target not in MAY_INCLUDE[room]:
                yield f"{name}: {line}: {room}/ may not include this"


def law_one_file_per_library(root):
    for _, name, text in sources(root):
        for include in re.findall(r"^[ \t]*#[ \t]*include[ \t]*<([^>]+)>", text, flags=re.M):
            if include in SYSTEM_HEADERS or include.startswith(SYSTEM_DIRECTORIES):
                continue
            users = next((u for prefix, u in LIBRARIES.items() if include.startswith(prefix)), None)
            if users is None:
                yield f"{name}: <{include}>: not listed as a library's header"
            elif name not in users:
                yield f"{name}: <{include}>: only {', '.join(users)} may include it"


def law_function_pointers(root):
    for _, name, text in sources(root):
        if name in FUNCTION_POINTER_FILES:
            continue
        for match in re.finditer(r"\(\s*\*\s*(const\s+)?\w*\s*(\[\w*\]\s*)?\)\s*\(", strip_comments(text)):
            line = text.count("\n", 0, match.start()) + 1
            yield f"{name}:{line}: a function pointer"


def law_forbidden_functions(root):
    pattern = re.compile(r"(?<![\w.>])(" + "|".join(FORBIDDEN) + r")\s*\(")
    for _, name, text in sources(root):
        stripped = strip_comments(text)
        for match in pattern.finditer(stripped):
            line = stripped.count("\n", 0, match.start()) + 1
            yield f"{name}:{line}: {match.group(1)}()"


def tracked(root):
    if (root / ".git").exists():
        names = subprocess.run(
            ["git", "-C", root, "ls-files", "-z"], check=True, capture_output=True, text=True
        ).stdout.split("\0")
        return [n for n in names if n and (root / n).is_file()]
    return [p.relative_to(root).as_posix() for p in root.rglob("*") if p.is_file()]


def law_spdx(root):
    for name in tracked(root):
        path = root / name
        if path.suffix not in SPDX_SUFFIXES and path.name != "CMakeLists.txt":
            continue
        if name.startswith("tests/fuzz/corpus/"):
            continue  # inputs of parsers, byte for byte
        head = path.read_text(errors="replace").split("\n")[:3]
        if not any(SPDX in line for line in head):
            yield f"{name}: no {SPDX} in the first lines"


def law_no_build_paths(root):
    """Nothing that is kept names the place where it was made."""
    places = {root, root.parent, pathlib.Path.home()}
    places -= {pathlib.Path(p) for p in "/ /root /home /tmp /usr /usr/src /opt /srv /var /var/tmp".split()}
    for name in tracked(root):
        data = (root / name).read_bytes()
        for place in places:
            if re.search(rb"(?<![\w.-])" + re.escape(f"{place}/".encode()), data):
                yield f"{name}: names {place}"
        if re.search(rb"(?<![\w.])/home/\w+/", data):
            yield f"{name}: names somebody's home directory"


def law_tests_assert(root):
    for path in sorted((root / "tests").rglob("*.c")):
        text = strip_comments(path.read_text())
        if re.search(r"^\s*(Parameterized)?Test\(", text, flags=re.M) and "cr_" not in text:
            yield f"{path.relative_to(root)}: tests without an assertion"


def objects_of(build, library):
    return sorted((build / "CMakeFiles" / f"{library}.dir").rglob("*.o"))


def symbols(path):
    """(section or None if undefined, name, is_object) of every symbol."""
    text = subprocess.run(["objdump", "-t", path], check=True, capture_output=True, text=True).stdout
    for line in text.splitlines():
        match = re.match(r"^[0-9a-f]{8,} (.{7}) (\S+)\s+[0-9a-f]{8,}\s+(?:\.hidden )?(\S+)$", line)
        if match:
            flags, section, name = match.groups()
            yield (None if section == "*UND*" else section), name, "O" in flags


def law_pure_decoders(build):
    objects = objects_of(build, "stripwatch_decoders")
    if not objects:
        yield f"{build}: no release objects of the decoders"
    defined = {name for o in objects for section, name, _ in symbols(o) if section}
    for path in objects:
        source = "decoders/" + path.name[: -len(".o")]
        for section, name, _ in symbols(path):
            if section or name in defined or PURE_SYMBOLS.match(name):
                continue
            if source == ALLOCATOR and name in ALLOCATOR_SYMBOLS:
                continue
            yield f"{source}: needs {name}"


def law_no_mutable_globals(build):
    libraries = ("decoders", "wrappers", "alerts", "engine")
    for path in [o for library in libraries for o in objects_of(build, f"stripwatch_{library}")]:
        source = path.parent.name + "/" + path.name[: -len(".o")]
        for section, name, is_object in symbols(path):
            if not section or not is_object or section.startswith((".rodata", ".data.rel.ro")):
                continue
            if re.match(r"^(\.data|\.bss|\.tdata|\.tbss|\*COM\*|\.lbss|\.ldata)", section):
                if name.split(".")[0] not in MUTABLE_ALLOWED.get(source, {}):
                    yield f"{source}: {name} in {section} is mutable"


SOURCE_LAWS = [
    law_include_graph,
    law_one_file_per_library,
    law_function_pointers,
    law_forbidden_functions,
    law_spdx,
    law_no_build_paths,
    law_tests_assert,
]
OBJECT_LAWS = [law_pure_decoders, law_no_mutable_globals]


def plant(root, name, text):
    path = root / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"/* {SPDX} */\n" + text if SPDX not in text and "nospdx" not in text else text)


def self_test():
    """Every law must find its planted violation, and nothing in a clean tree."""
    clean = {
        "decoders/a.c": '#include "decoders/a.h"\n#include <string.h>\n/* strcpy( (*f)( */\nint a(int (*m)[2]) { return (*m)[0]; }\n',
        "alerts/b.c": '#include "decoders/a.h"\nconst char *text(void) { return "sprintf(x)"; }\n',
        "sensor/config.c": "#include <yaml.h>\nint snprintf_is_fine(void);\n",
        "tests/unit/test_a.c": "Test(a, b)\n{\n\tcr_assert(1);\n}\n",
    }
    planted = [
        (law_include_graph, "decoders/x.c", '#include "alerts/b.h"\n'),
        (law_include_graph, "alerts/x.c", '#include "sensor/options.h"\n'),
        (law_one_file_per_library, "sensor/x.c", "#include <yaml.h>\n"),
        (law_one_file_per_library, "sensor/x.h", "#include <pcap/pcap.h>\n"),
        (law_one_file_per_library, "alerts/x.c", "#include <curl/curl.h>\n"),
        (law_function_pointers, "sensor/x.h", "struct s { int (*call)(int); };\n"),
        (law_function_pointers, "sensor/y.h", "typedef void (*handler)(void);\n"),
        (law_forbidden_functions, "alerts/x.c", "int f(void) { return atoi(\"1\"); }\n"),
        (law_forbidden_functions, "decoders/x.c", "void f(char *a) { strcpy (a, a); }\n"),
        (law_spdx, "sensor/x.c", "int nospdx;\n"),
        (law_no_build_paths, "doc/x.md", "see /home/" + "somebody/x\n"),
        (law_tests_assert, "tests/unit/test_x.c", "Test(x, y)\n{\n}\n"),
    ]
    objects = [
        (law_pure_decoders, "decoders", "#include <stdio.h>\nint a(void); int a(void) { return puts(\"x\"); }\n"),
        (law_pure_decoders, "decoders", "#include <stdlib.h>\nvoid *a(void); void *a(void) { return malloc(9); }\n"),
        (law_no_mutable_globals, "alerts", "int counter; int next(void); int next(void) { return ++counter; }\n"),
        (law_no_mutable_globals, "engine", "int next(void); int next(void) { static int n; return ++n; }\n"),
    ]
    good_object = "static const char *const W[] = {\"a\"};\nconst char *w(int i); const char *w(int i) { return W[i]; }\n"
    missed = 0

    def expect(what, wanted, violations):
        nonlocal missed
        if bool(violations) != wanted:
            missed += 1
            print(f"self-test: {what}: {'not found' if wanted else violations}")

    for law in SOURCE_LAWS:
        with tempfile.TemporaryDirectory() as place:
            root = pathlib.Path(place)
            for name, text in clean.items():
                plant(root, name, text)
            expect(f"{law.__name__} on a clean tree", False, list(law(root)))
    for law, name, text in planted:
        with tempfile.TemporaryDirectory() as place:
            root = pathlib.Path(place)
            plant(root, name, text)
            expect(f"{law.__name__} with {name}", True, list(law(root)))
    for law, library, text in objects + [(law, "decoders", good_object) for law in OBJECT_LAWS]:
        with tempfile.TemporaryDirectory() as place:
            folder = pathlib.Path(place) / "CMakeFiles" / f"stripwatch_{library}.dir" / "decoders"
            folder.mkdir(parents=True)
            (folder / "x.c").write_text(text)
            subprocess.run(["cc", "-O2", "-fPIC", "-c", folder / "x.c", "-o", folder / "x.c.o"], check=True)
            expect(f"{law.__name__} with {text!r}", text != good_object, list(law(pathlib.Path(place))))
    print(f"self-test: {len(planted) + len(objects)} planted violations, {missed} wrong")
    return missed == 0


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--objects", type=pathlib.Path, metavar="BUILD_DIR")
    parser.add_argument("--self-test", action="store_true")
    arguments = parser.parse_args()
    if arguments.self_test:
        return 0 if self_test() else 1
    violations = 0
    checks = [(law, ROOT) for law in SOURCE_LAWS]
    if arguments.objects:
        checks += [(law, arguments.objects) for law in OBJECT_LAWS]
    for law, place in checks:
        for violation in law(place):
            violations += 1
            print(f"{law.__name__}: {violation}")
    print(f"{len(checks)} laws, {violations} violations")
    return 1 if violations else 0


if __name__ == "__main__":
    sys.exit(main())
