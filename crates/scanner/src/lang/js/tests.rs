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
