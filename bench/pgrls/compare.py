#!/usr/bin/env python3
"""Runs pgrls over the bad and good SQL of every page of `partywall check`, and prints what it finds.

    python3 -m venv /tmp/pgrls && /tmp/pgrls/bin/pip install pgrls
    PARTYWALL_TEST_POSTGRES=postgres://postgres@127.0.0.1:5432/postgres /tmp/pgrls/bin/python bench/pgrls/compare.py

Each block is applied to a database of its own, after the safe schema. "found" means that pgrls says something (warning or
error) about the bad block that it does not say about the good one; that is generous, since it need not be the same thing.
"the same of both" is what it says about both; the last column is what it says about the good block and not about the
safe schema, which need not be wrong. The server's roles that begin with `shop` are
dropped: use a server for tests.
"""

import collections
import json
import os
import pathlib
import re
import subprocess
import sys
import urllib.parse

import psycopg

ROOT = pathlib.Path(__file__).resolve().parents[2] / "crates/postgres/src/check"
DATABASE = "pw_compare_pgrls"


def lint(url, schemas):
    """The findings, as pairs of a rule and what it is about."""
    program = pathlib.Path(sys.executable).with_name("pgrls")
    done = subprocess.run(
        [program, "lint", "--database-url", url, "--schemas", schemas, "--format", "json", "--min-severity", "warning"],
        capture_output=True,
        text=True,
        timeout=120,
    )
    try:
        document = json.loads(done.stdout)
    except json.JSONDecodeError:
        sys.exit(f"pgrls gave no JSON: {done.stdout[:500]} {done.stderr[:500]}")
    found = document if isinstance(document, list) else document.get("violations", document.get("findings", []))
    return collections.Counter(
        (one.get("rule_id") or one.get("rule"), json.dumps(one.get("location") or one.get("message"), sort_keys=True))
        for one in found
    )


def main():
    superuser = os.environ.get("PARTYWALL_TEST_POSTGRES") or sys.exit("set PARTYWALL_TEST_POSTGRES to a superuser's URL")
    parts = urllib.parse.urlsplit(superuser)
    database = parts._replace(path="/" + DATABASE).geturl()
    root = psycopg.connect(superuser, autocommit=True)
    safe = (ROOT / "tests/safe.sql").read_text()

    def clean():
        root.execute(f"DROP DATABASE IF EXISTS {DATABASE} WITH (FORCE)")
        for (role,) in root.execute("SELECT rolname FROM pg_roles WHERE rolname ~ '^shop'").fetchall():
            root.execute(f'DROP ROLE "{role}"')

    def findings(sql):
        clean()
        root.execute(f"CREATE DATABASE {DATABASE}")
        with psycopg.connect(database) as made:
            made.execute(safe)
            made.execute(sql)
            made.commit()
            names = made.execute("SELECT nspname FROM pg_namespace WHERE nspname !~ '^pg_' AND nspname <> 'information_schema'")
            schemas = ",".join(name for (name,) in names.fetchall())
        return lint(database, schemas)

    baseline = findings("SELECT 1")
    print(f"the safe schema: {sum(baseline.values())} findings {sorted({rule for rule, _ in baseline})}\n")
    print("| page of `partywall check` | pgrls: bad | pgrls: good |\n|---|---|---|")
    found = alike = noisy = failed = total = 0
    for page in sorted((ROOT / "pages").glob("*.md")):
        blocks = dict(re.findall(r"```sql (bad|good)\n(.*?)\n```", page.read_text(), re.S))
        try:
            bad, good = findings(blocks["bad"]), findings(blocks["good"])
        except psycopg.Error as error:
            failed += 1
            print(f"| {page.stem} | not run: {str(error).splitlines()[0]} | |")
            continue
        total += 1
        new, noise = sorted({rule for rule, _ in bad - good}), sorted({rule for rule, _ in good - baseline})
        found += bool(new)
        noisy += bool(noise)
        same = sorted({rule for rule, _ in bad - baseline})
        alike += bool(same and not new)
        said = ", ".join(new) or (f"the same of both: {', '.join(same)}" if same else "missed")
        print(f"| {page.stem} | {said} | {', '.join(noise) or 'quiet'} |", flush=True)
    clean()
    print(f"\n{found} of {total} bad schemas found, of {alike} the same is said as of the good one, {noisy} of {total} good ones with noise, {failed} not run")


main()
