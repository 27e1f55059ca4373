//! Small sources and what they are lowered to.

use super::*;
use crate::ir::dump::dump;

fn text(source: &str) -> String {
    let lowered = lower("a.py", Arc::from(source));
    assert!(lowered.notices.is_empty(), "{:?}", lowered.notices);
    dump(&lowered.module)
}

#[test]
fn a_name_that_a_function_assigns_is_its_own_unless_it_says_global() {
    let text = text(
        "x = 1\ndef f():\n    x = 2\n    return x\ndef g():\n    global x\n    x = 3\n    return x + y\n",
    );
    assert!(text.contains("let x#3 = 2"), "{text}");
    assert!(text.contains("x#0 = 3"), "{text}");
    assert!(text.contains("return (x#0 Add $y)"), "{text}");
}

#[test]
fn self_is_this_also_in_functions_inside_of_methods() {
    let text = text(
        "class A(Base, metaclass=M):\n    n: int = 1\n    c = {}\n    def __init__(self, db):\n        self.db = db\n\
         \x20   @classmethod\n    def make(cls):\n        return cls(1)\n    @property\n    def p(self):\n        return lambda: self.db\n",
    );
    for part in [
        "class0 A ($Base, $M)",
        "  c = {}",
        "fn1 Constructor __init__ (db#",
        "this.db = db#",
        "return this(1)",
        "Getter p",
        "return this.db",
    ] {
        assert!(text.contains(part), "{part} is not in\n{text}");
    }
}

#[test]
fn imports_comprehensions_and_formats() {
    let text = text(
        "from .a import b as c\nimport x.y\nasync def f(k, *, t=None, **kw):\n    async with c(k) as s:\n        \
         return [f'{i}:{t}' for i in await s.q('a %s' % k) if i]\n",
    );
    for part in ["from .a as c#", "from x as x#", "(k#", "t#", "= null", "with c#", "`${i#", "await s#"] {
        assert!(text.contains(part), "{part} is not in\n{text}");
    }
}

#[test]
fn nesting_beyond_the_bound_and_errors_are_notices() {
    let deep = format!("x = {}1{}", "[".repeat(20_000), "]".repeat(20_000));
    assert_eq!(lower("a.py", Arc::from(deep.as_str())).notices.len(), 1);
    assert_eq!(lower("a.py", Arc::from("def f(:\n  x = = 1\ny = 2")).notices.len(), 1);
}
