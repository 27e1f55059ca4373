//! Clients of OAuth, `new google.auth.OAuth2(id, secret)`: their id and secret name the program, and reach nobody's data before a token is
//! put on them.

use crate::{
    ir::ExprKind,
    project::{At, Project},
};

/// Names of what makes one.
const APPS: &[&str] = &["OAuth2", "OAuth2Client"];

/// Whether what is made is such a client, on which no token of the process itself is put.
pub(super) fn is_app_without_token(project: &Project, made: At) -> bool {
    let app = project.callee(made).is_some_and(|callee| APPS.contains(&callee.name()));
    app && !project.unit(made.module).is_some_and(|unit| {
        unit.index.calls.iter().any(|expr| {
            let ExprKind::Call(call) = unit.ir.expr(*expr) else { return false };
            let sets = matches!(unit.ir.expr(call.callee), ExprKind::Member { property, .. }
                if unit.ir.text(*property) == "setCredentials");
            sets && call.args.iter().any(|arg| project.is_fixed(made.to(arg.value)))
        })
    })
}
