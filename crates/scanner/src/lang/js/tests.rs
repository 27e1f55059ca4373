//! Small sources and what they are lowered to.

use super::*;
use crate::ir::dump::dump;

fn text(path: &str, source: &str) -> String {
    let lowered = lower(path, Arc::from(source));
    assert!(lowered.notices.is_empty(), "{:?}", lowered.notices);
    dump(&lowered.module)
}

#[test]
fn names_are_resolved_through_scopes() {
    let text = text("a.ts", "const a = 1; function f(a: string) { return () => a + b } f(a)");
    assert!(text.contains("return (a#2 Add $b)"), "{text}");
    assert!(text.contains("f#1(a#0)"), "{text}");
}

#[test]
fn commonjs_is_imports_and_exports() {
    let text = text(
        "a.js",
        "const { get: g } = require('./db'); const pg = require('pg'); module.exports = { f: () => g(pg) }",
    );
    assert!(text.contains("import Named"), "{text}");
    assert!(text.contains("from ./db as g#"), "{text}");
    assert!(text.contains("export module.exports"), "{text}");
    assert!(text.contains("export f Value"), "{text}");
}

#[test]
fn classes_have_fields_methods_and_stored_parameters() {
    let text = text(
        "a.ts",
        "@Injectable() class A extends B { static n = 1; #p = new Map(); constructor(private db: Db, x = 2) { super() } \
         async run({ id }: { id: string }, ...rest) { return this.#p.get(id)?.x ?? await this.db.q(`a ${id}`) } }",
    );
    for part in [
        "class0 A ($B",
        "static n = 1",
        "#p = new $Map()",
        "  db",
        "this.#p.get(id#",
        "await this.db.q(`a ${id#",
        "async class0",
    ] {
        assert!(text.contains(part), "{part} is not in\n{text}");
    }
}

#[test]
fn nesting_beyond_the_bound_is_a_notice() {
    let deep = format!("{}1{}", "[".repeat(20_000), "]".repeat(20_000));
    assert_eq!(lower("a.js", Arc::from(deep.as_str())).notices.len(), 1);
    let chain = format!("x = 1{}", " + 1".repeat(20_000));
    std::thread::Builder::new()
        .stack_size(64 << 20)
        .spawn(move || assert_eq!(lower("a.js", Arc::from(chain.as_str())).notices.len(), 1))
        .unwrap()
        .join()
        .unwrap();
}

#[test]
fn what_is_no_javascript_is_a_notice() {
    assert_eq!(lower("a.js", Arc::from("const = ;;; {{{")).notices.len(), 1);
}

/// Whether a file is told to run in a browser.
fn in_browser(path: &str, source: &str) -> bool {
    let lowered = lower(path, Arc::from(source));
    assert!(lowered.notices.is_empty(), "{:?}", lowered.notices);
    assert!(!lowered.in_browser || lowered.module.exports.is_empty(), "{path} was lowered for nothing");
    lowered.in_browser
}

#[test]
fn what_runs_in_a_browser_is_told_by_its_directive_or_its_hooks() {
    for (path, source) in [
        ("a.tsx", "'use client'; import x from './x'; export default function A() { return x() }"),
        (
            "b.ts",
            "import { useState } from 'react'; import type { Note } from '@prisma/client'; export function useNote() { return useState<Note>() }",
        ),
        ("c.ts", "import React from 'react'; export const useNote = () => React.useState(null)"),
        ("d.js", "import * as R from 'preact/hooks'; export const useNote = () => R.useEffect(() => {}, [])"),
        ("e.tsx", "import { useNotes } from './notes'; export const A = () => <p>{useNotes().length}</p>"),
        ("f.jsx", "import { useRef } from 'react'; export default () => <p ref={useRef()}/>"),
    ] {
        assert!(in_browser(path, source), "{path}");
    }
}

#[test]
fn what_a_server_may_run_is_looked_into_whatever_hooks_stand_beside_it() {
    for (path, source) in [
        // Not the directive, or not at the beginning.
        ("a.ts", "export const words = ['use client']"),
        ("b.ts", "import { useId, useMemo } from 'react'; export const f = () => useMemo(() => useId())"),
        // Types are gone when it runs.
        ("c.ts", "import type { useState } from 'react'; export const sessions = new Map()"),
        // Hooks of others stand in servers too where there are no components.
        ("d.ts", "import { useServer } from 'graphql-ws/use/ws'; useServer({ schema }, wss)"),
        // What frameworks call on the server.
        (
            "e.tsx",
            "import { useState } from 'react'; export const loader = ({ params }) => db.note(params.id)",
        ),
        (
            "f.tsx",
            "import { useState } from 'react'; function getServerSideProps() {} export { getServerSideProps }",
        ),
        (
            "g.tsx",
            "import { useState } from 'react'; export async function save(form) { await db.save(form) }",
        ),
        ("h.tsx", "import { useNotes } from './notes'; export default async function Page() { return <p/> }"),
        ("i.tsx", "import { useState } from 'react'; const save = (f) => { 'use server'; db.save(f) }"),
        (
            "j.tsx",
            "import { useState } from 'react'; import { Pool } from 'pg'; export const pool = new Pool()",
        ),
        ("k.tsx", "import { useTranslations } from 'next-intl'; export const A = () => <p>{note(1)}</p>"),
        ("l.js", "const { useState } = require('react'); const http = require('http')"),
    ] {
        assert!(!in_browser(path, source), "{path}");
    }
}
