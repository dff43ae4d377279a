"""What `.ci/mutate --generate` does: draws mutations that Sources/Lab/mutate finds, and tries them."""
import collections, concurrent.futures, hashlib, json, pathlib, random, re, subprocess, sys, time

RINGS = ["Core", "Backends", "Service", "Interposer", "Bindings"]
# Tests that run a module without importing anything that imports it.
USERS_BY_RUN = {"MemslotPreload": ["memslotctlTests"]}
EQUIVALENTS = "Tests/Mutations/equivalents"


class Generated:
    """A mutation that the generator found, with the test targets that may catch it."""

    def __init__(self, found, sources, places):
        self.__dict__.update(found)
        source = sources[self.file]
        first = source.rfind(b"\n", 0, self.start) + 1
        last = source.find(b"\n", self.start)
        end = min(self.end, last)
        marked = source[first:self.start] + "«".encode() + source[self.start:end] + "»".encode() + source[end:last]
        self.line = marked.decode().strip()
        self.change = self.text.replace("\1", "…").replace("\2", "old")
        # The same text may stand in a file several times.
        text = repr((self.file, self.kind, self.line, self.change))
        places[text] += 1
        self.key = hashlib.sha256(f"{text}{places[text]}".encode()).hexdigest()[:16]
        self.name = f"{self.file}:{self.firstLine} {self.kind}"
        self.module = self.file.split("/")[2]

    def __str__(self):
        return f"{self.name}: {self.line}  →  {self.change}"


def generator(tools, scratch):
    """Builds the package that needs swift-syntax; returns its program."""
    command = ["swift", "build", "--package-path", str(tools.root / "Sources/Lab/mutate"),
               "--scratch-path", str(scratch / "generator")]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode != 0:
        tools.fail(f"the generator can't be built:\n{(done.stdout + done.stderr)[-2000:]}")
    return scratch / "generator/debug/generate-mutations"


def read_equivalents(tools):
    """The mutations that change nothing that can be seen: (file, kind, line) of each."""
    found, file, kind = set(), None, None
    for number, line in enumerate((tools.root / EQUIVALENTS).read_text().splitlines(), 1):
        word, _, rest = line.partition(" ")
        if not line.strip() or line.startswith("#"):
            continue
        if word == "file":
            file = rest
        elif word == "-" and file and kind:
            found.add((file, kind, rest.strip()))
        elif ": " in line and file:
            kind = line.partition(": ")[0]
        else:
            tools.fail(f"{EQUIVALENTS}:{number}: can't be read: {line}")
    return found


def everything(tools, scratch):
    """All mutations of the rings, and how many are left out as equivalent."""
    names = subprocess.run(
        ["git", "ls-files", "--", *(f"Sources/{ring}/*.swift" for ring in RINGS)], cwd=tools.root,
        capture_output=True, check=True, text=True).stdout.split()
    names = [name for name in names if (tools.root / name).is_file()]
    sources = {name: (tools.root / name).read_bytes() for name in names}
    lines = subprocess.run(
        [str(generator(tools, scratch)), *names], cwd=tools.root, capture_output=True, check=True,
        text=True).stdout.splitlines()
    places = collections.Counter()
    found = [Generated(json.loads(line), sources, places) for line in lines]
    equivalents = read_equivalents(tools)
    known = {(m.file, m.kind, m.line) for m in found}
    for gone in sorted(equivalents - known):
        tools.fail(f"{EQUIVALENTS}: there is no such mutation: {gone}")
    return sources, [m for m in found if (m.file, m.kind, m.line) not in equivalents]


def test_targets(tools):
    """For each module, its own tests and then those of its users, nearest first."""
    dump = json.loads(subprocess.run(
        ["swift", "package", "dump-package"], cwd=tools.root, capture_output=True, check=True, text=True).stdout)
    uses = {}
    for target in dump["targets"]:
        names = [d.get("byName") or d.get("target") for d in target["dependencies"]]
        uses[target["name"]] = [n[0] for n in names if n]
    tests = [t["name"] for t in dump["targets"] if t["type"] == "test"]
    result = collections.defaultdict(list)
    for test in tests:
        distance, edge = {test: 0}, [test]
        while edge:
            edge = [n for name in edge for n in uses.get(name, []) if n not in distance and not
                    distance.update({n: distance[name] + 1})]
        for module in distance:
            result[module].append((module + "Tests" != test, distance[module], test))
    targets = {module: [test for _, _, test in sorted(found)] for module, found in result.items()}
    for module, users in USERS_BY_RUN.items():
        targets[module] = [t for t in targets.get(module, []) if t not in users] + users
    return targets


def render(source, mutations):
    """The source with each of them behind its switch; the lines keep their numbers."""
    def inside(start, end, left):
        out, at = b"", start
        left = sorted(left, key=lambda m: (m.start, -m.end, not m.text.startswith("if ")))
        while left:
            outer = left.pop(0)
            inner = [m for m in left if m.end <= outer.end]
            left = [m for m in left if m.end > outer.end]
            old = inside(outer.start, outer.end, inner)
            out += source[at:outer.start] + outer.text.replace("\1", f"isMutated({outer.number})").encode() \
                .replace(b"\2", old)
            at = outer.end
        return out + source[at:end]
    return inside(0, len(source), mutations).decode()


def without_errors(tools, scratch, sources, chosen, dropped, record):
    """Builds the copy; leaves out the mutations at whose lines the compiler reports errors."""
    while True:
        kept = [m for m in chosen if m.key not in dropped]
        for file in {m.file for m in chosen}:
            tools.write(scratch / file, render(sources[file], [m for m in kept if m.file == file]))
            tools.write(scratch / "/".join(file.split("/")[:3]) / "IsMutated.swift", tools.SWITCH)
        done = subprocess.run(
            ["swift", "build", "--build-tests"], cwd=scratch, capture_output=True, text=True)
        if done.returncode == 0:
            return kept
        wrong = set()
        for file, line in set(re.findall(r"(Sources/\S+\.swift):(\d+):\d+: error:", done.stdout)):
            own = [m for m in kept if m.file == file]
            at = [m for m in own if m.firstLine <= int(line) <= m.lastLine]
            # A variable without a value, for instance, is reported where it is read.
            wrong.update(m.key for m in at or [
                m for m in own if m.scope[0] <= int(line) <= m.scope[1]])
        if not wrong:
            tools.fail(f"the mutated copy can't be built:\n{done.stdout[-3000:]}")
        dropped |= wrong
        for key in sorted(wrong):
            record(key, "dropped", "")
        print(f"{len(wrong)} do not compile, {len(dropped)} so far", flush=True)


def report(tried, results, total):
    """A table by folder, and the survivors, as Markdown."""
    rows = collections.defaultdict(collections.Counter)
    for m in tried:
        rows["/".join(m.file.split("/")[1:-1])][results[m.key][0]] += 1
    lines = ["| folder | tried | caught | survived |", "|---|---|---|---|"]
    for ring in RINGS:
        own = sum((c for f, c in rows.items() if f.split("/")[0] == ring), collections.Counter())
        if not own:
            continue
        share = 100 * own["caught"] / sum(own.values())
        lines.append(f"| **{ring}** | {sum(own.values())} | {own['caught']} ({share:.1f} %) | {own['survived']} |")
        lines += [f"| {f} | {sum(c.values())} | {c['caught']} | {c['survived']} |"
                  for f, c in sorted(rows.items()) if f.split("/")[0] == ring]
    lines += ["", f"{len(tried)} of {total} mutations were tried.", ""]
    for m in tried:
        if results[m.key][0] == "survived":
            change = m.change if len(m.change) < 160 else m.change[:160] + "…"
            lines.append(f"- `{m.name}`: `{m.line}` → `{change}`")
    return "\n".join(lines) + "\n"


def run(tools, arguments, scratch):
    """Returns whether all that were tried were caught."""
    sources, found = everything(tools, scratch)
    random.Random(arguments.seed).shuffle(found)
    chosen = found[arguments.first:arguments.first + arguments.count]
    print(f"{len(found)} mutations, {len(chosen)} drawn with seed {arguments.seed}", flush=True)
    state = hashlib.sha256(b"".join(name.encode() + sources[name] for name in sorted(sources))).hexdigest()
    path = scratch / f"generated-{state[:16]}"
    results = dict((line.split("\t")[0], line.split("\t")[1:]) for line in path.read_text().splitlines()) \
        if path.exists() else {}
    # What survived is tried again: the tests may have changed.
    dropped = {key for key, result in results.items() if result[0] == "dropped"}

    def record(key, verdict, by):
        results[key] = [verdict, by]
        with path.open("a") as file:
            file.write(f"{key}\t{verdict}\t{by}\n")

    for number, mutation in enumerate(chosen, 1):
        mutation.number = number
    targets = test_targets(tools)
    tools.copy_to(scratch, {m.file for m in chosen})
    kept = without_errors(tools, scratch, sources, chosen, dropped, record)
    todo = [m for m in kept if results.get(m.key, [""])[0] != "caught"]
    print(f"{len(kept)} compile, {len(kept) - len(todo)} of them were caught before", flush=True)
    for m in todo:
        m.tests = targets.get(m.module, [])
        if not m.tests:
            tools.fail(f"{m.name}: no test uses {m.module}")
    tests = hashlib.sha256(b"".join(
        p.read_bytes() for p in sorted((tools.root / "Tests").rglob("*.swift")))).hexdigest()[:16]
    for target in sorted({t for m in todo for t in m.tests if f"{t}-{tests}" not in results}):
        unchanged = tools.Mutation("", "no mutation", "the tests as they are")
        unchanged.tests = [target]
        by = tools.run_tests(scratch, unchanged, 0, arguments.timeout)
        if by:
            print(f"{target} can't catch anything here: {by} fails without a mutation", flush=True)
        record(f"{target}-{tests}", "fails" if by else "passes", by or "")
    for m in todo:
        m.tests = [t for t in m.tests if results[f"{t}-{tests}"][0] == "passes"]
        if not m.tests:
            tools.fail(f"{m.name}: no test of {m.module} passes without a mutation")
    end = time.monotonic() + 60 * arguments.minutes if arguments.minutes else None

    def attempt(m):
        if end and time.monotonic() > end:
            return m, None, 0
        start = time.monotonic()
        by = tools.run_tests(scratch, m, m.number, arguments.timeout)
        return m, ("caught", by) if by else ("survived", ""), time.monotonic() - start

    with concurrent.futures.ThreadPoolExecutor(arguments.jobs) as pool:
        for m, verdict, seconds in pool.map(attempt, todo):
            if not verdict:
                continue
            record(m.key, *verdict)
            word = "caught  " if verdict[0] == "caught" else "SURVIVED"
            print(f"{word}  {m} {'by ' + verdict[1] if verdict[1] else ''} ({seconds:.0f} s)", flush=True)
    tried = [m for m in kept if results.get(m.key, [""])[0] in ("caught", "survived")]
    text = report(tried, results, len(found))
    if arguments.report:
        pathlib.Path(arguments.report).write_text(text)
    print(text, end="")
    if len(tried) < len(kept):
        print(f"{len(kept) - len(tried)} were not tried: {arguments.minutes} minutes are over")
    return all(results[m.key][0] == "caught" for m in tried)
