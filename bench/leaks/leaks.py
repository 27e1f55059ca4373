#!/usr/bin/env python3
"""Puts leaks into real servers, one by one, and asks the scanner whether it sees them.

    cargo build --release -p partywall-scanner --example scan
    python3 bench/leaks/leaks.py target/release/examples/scan FOLDER... [--each 2] [--kinds key,told] [--missed]

FOLDER holds source trees, one a folder. In each tree at most `--each` changes of a kind are made, chosen by chance with a fixed seed: an
owner is taken out of a query (guards.py), a local variable becomes one of the module, a client is kept from the first caller on, an owner is
left out of a cache's key, the caller is what the request says, and so on (changes.py). Each time the tree is scanned with and without it. A leak is
told when there is a finding that was not there before, or that was less severe: near the place, in its file, or elsewhere. The trees' own
files are never written; each is copied to a temporary folder.

The texts know nothing of types: a part of the changes is no leak, so that no scanner tells all of them. What counts is the difference between
two scanners, and what is missed, read one by one.
"""

import argparse
import collections
import json
import multiprocessing
import os
import random
import re
import shutil
import subprocess
import tempfile

from changes import SCRIPTS, TEXTS
from guards import guards

ASIDE = re.compile(
    r"(^|/)(tests?|__tests__|specs?|mocks?|seeds?|fixtures?|scripts?|examples?|docs?|node_modules|dist|build|alembic|evals?|admin)(/|$)"
    r"|\.(test|spec)\.|(^|/)(test_|tests?\.|seed|conftest)|_test\.py|\.d\.ts|\.min\.js"
)
MIGRATIONS = re.compile(r"(^|/)migrations?(/|$)")
RANK = {"low": 1, "medium": 2, "high": 3}


def leaks(tree):
    """All changes of a tree: kind, language, file, line, the changed file, and what stood there."""
    for folder, _, files in sorted(os.walk(tree)):
        for name in sorted(files):
            path = os.path.join(folder, name)
            short = os.path.relpath(path, tree)
            python, sql = name.endswith(".py"), name.endswith(".sql")
            code = python or re.search(r"\.(ts|tsx|js|mjs|cjs|jsx)$", name)
            if ASIDE.search(short) or not (code or sql) or (code and MIGRATIONS.search(short)):
                continue
            try:
                text = open(path, encoding="utf-8", newline="").read()
            except (OSError, UnicodeDecodeError):
                continue
            if len(text) > 200_000:
                continue
            language = "py" if python else "sql" if sql else "ts"
            for find in TEXTS if sql else (guards, *SCRIPTS):
                for kind, at, changed, said in find(text, python):
                    if name.endswith((".js", ".mjs", ".cjs", ".jsx")):
                        changed = re.sub(r"(\nlet \w+): any;\n$", r"\1;\n", changed)
                    yield kind, language, short, text.count("\n", 0, at) + 1, changed, " ".join(said.split())[:120]


def scan(program, tree, out):
    environment = os.environ | {"RAYON_NUM_THREADS": "1"}
    subprocess.run([program, "--out", out, tree], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, timeout=120, check=True, env=environment)
    return [json.loads(line) for line in open(out, encoding="utf-8")]


def told(before, after, path, line):
    """Where a finding is new or more severe: near, file, other, or none; and the rules that say so."""
    known = {(one["path"], one["line"], one["rule"]): RANK[one["severity"]] for one in before}
    new = [one for one in after if RANK[one["severity"]] > known.get((one["path"], one["line"], one["rule"]), 0)]
    here = [one for one in new if one["path"] == path]
    near = [one for one in here if abs(one["line"] - line) <= 30]
    where = "near" if near else "file" if here else "other" if new else "none"
    return where, sorted({one["rule"] for one in near or here or new})


def in_tree(work):
    """What becomes of the changes of one tree: kind, language, verdict, and a line that says it."""
    program, tree, each, kinds = work
    by_kind = collections.defaultdict(list)
    for one in leaks(tree):
        if not kinds or one[0] in kinds:
            by_kind[one[0]].append(one)
    found = []
    with tempfile.TemporaryDirectory() as temporary:
        copy, out = os.path.join(temporary, os.path.basename(tree)), os.path.join(temporary, "findings.jsonl")
        if by_kind:
            shutil.copytree(tree, copy, symlinks=True)
            before = scan(program, copy, out)
        for kind, ones in sorted(by_kind.items()):
            random.Random(os.path.basename(tree) + kind).shuffle(ones)
            for kind, language, path, line, changed, said in ones[:each]:
                file = os.path.join(copy, path)
                kept = open(file, encoding="utf-8", newline="").read()
                open(file, "w", encoding="utf-8", newline="").write(changed)
                verdict, rules = told(before, scan(program, copy, out), path, line)
                open(file, "w", encoding="utf-8", newline="").write(kept)
                found.append((kind, language, verdict, f"{verdict}\t{kind}\t{os.path.basename(tree)}\t{path}:{line}\t{said}\t{' '.join(rules)}"))
    return found


def main():
    options = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    options.add_argument("scan")
    options.add_argument("folders", nargs="+")
    options.add_argument("--each", type=int, default=2)
    options.add_argument("--kinds", default="")
    options.add_argument("--missed", action="store_true", help="a line for each that is missed")
    options.add_argument("--all", action="store_true", help="a line for each")
    options = options.parse_args()
    counts = collections.defaultdict(collections.Counter)
    trees = sorted(entry.path for folder in options.folders for entry in os.scandir(folder) if entry.is_dir())
    kinds = set(filter(None, options.kinds.split(",")))
    with multiprocessing.Pool(2) as pool:
        for found in pool.imap(in_tree, [(options.scan, tree, options.each, kinds) for tree in trees]):
            for kind, language, verdict, line in found:
                for group in ((kind, language), (kind, "all"), ("all", language), ("all", "all")):
                    counts[group][verdict] += 1
                if options.all or (options.missed and verdict == "none"):
                    print(line, flush=True)
    for group, verdicts in sorted(counts.items()):
        all_ = sum(verdicts.values())
        print(f"{' '.join(group):15} told {all_ - verdicts['none']:4} of {all_:4} ({100 * (all_ - verdicts['none']) / all_:.0f} %)  near {verdicts['near']}, file {verdicts['file']}, other {verdicts['other']}")


if __name__ == "__main__":
    main()
