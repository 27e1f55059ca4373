//! Variables of the environment that are read under a name that is worked out: `process.env[key]`, `os.environ.get(name)`.

use crate::{
    ir::ExprKind,
    project::{At, Project, Unit},
    vocabulary,
};

/// Whether an expression reads such a variable, in a function that by its name gives a credential.
pub(super) fn reads_by_name(project: &Project, unit: &Unit, at: At) -> bool {
    let key = match unit.ir.expr(at.expr) {
        ExprKind::Index { object, index, .. } => {
            let path = project.written(at.to(*object));
            let names: Vec<&str> = path.iter().map(|word| word.as_str()).collect();
            matches!(names.as_slice(), ["process", "env"] | ["os", "environ"] | ["environ"] | ["env"])
                .then_some(*index)
        }
        ExprKind::Call(call) => {
            let path = project.written(at.to(call.callee));
            let names: Vec<&str> = path.iter().map(|word| word.as_str()).collect();
            let reads = matches!(
                names.as_slice(),
                ["os", "environ", "get"] | ["environ", "get"] | ["os", "getenv"] | ["getenv"]
            );
            call.positional(0).filter(|_| reads)
        }
        _ => None,
    };
    let Some(key) = key else { return false };
    let fun = project.function_of(at);
    let named = vocabulary::is_credential(project.function_name(fun))
        || vocabulary::words(project.function_name(fun))
            .iter()
            .any(|word| matches!(word.as_str(), "credential" | "credentials" | "secret" | "secrets"));
    named && !matches!(unit.ir.expr(key), ExprKind::String(_))
}
