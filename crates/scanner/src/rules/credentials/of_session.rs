//! The credential that is kept for a session, for whoever names the session and brings none:
//! `bearer ?? this.sessionTokens[sessionId]`.

use partywall_model::{Confidence, Severity};

use crate::{
    flow::{Lifetimes, Origins},
    ir::{ExprId, ExprKind, Kinds, LogicalOp},
    project::{At, Project, Unit},
    rules::Report,
    vocabulary,
};

/// Reports such choices.
pub(super) fn of_session(project: &Project, report: &mut Report<'_>) {
    let lives = Lifetimes::new(project);
    for (module, unit) in project.units() {
        for (expr, kind) in unit.ir.exprs_of(Kinds::CHOICE) {
            let ExprKind::Logical { op: LogicalOp::Or | LogicalOp::Nullish, left, right } = kind else {
                continue;
            };
            let at = At { module, expr };
            let Some((map, key)) = kept_under(unit, *right) else { continue };
            let brought = project.origins(at.to(*left));
            if !lives.is_per_request(project.function_of(at))
                || !keeps_credentials(project, at.to(map))
                || !is_named_session(project, at.to(key))
                || !(brought.has(Origins::UNVERIFIED | Origins::SECRET | Origins::INPUT)
                    || says_credential(project, at.to(*left)))
            {
                continue;
            }
            report
                .reached(at, "whoever names a session and brings no credential acts with the one that is kept for it")
                .severity(Severity::Medium)
                .confidence(Confidence::Medium)
                .why("The id of a session is no secret of its owner's alone: it stands in addresses and logs. Whoever has it acts as the owner.")
                .fix("Refuse a request without a credential, and compare its caller with the one that the session was begun by.");
        }
    }
}

/// What a value is kept in, and under what key: `map[key]`, `map.get(key)`.
fn kept_under(unit: &Unit, expr: ExprId) -> Option<(ExprId, ExprId)> {
    match unit.ir.expr(expr) {
        ExprKind::Index { object, index, .. } => Some((*object, *index)),
        ExprKind::Call(call) => match unit.ir.expr(call.callee) {
            ExprKind::Member { object, property, .. } if unit.ir.text(*property) == "get" => {
                Some((*object, call.positional(0)?))
            }
            _ => None,
        },
        _ => None,
    }
}

/// Whether a map is one of credentials, by its name.
fn keeps_credentials(project: &Project, map: At) -> bool {
    let name = project.last_written(map).unwrap_or_default();
    let many = |word: &String| matches!(word.as_str(), "tokens" | "credentials" | "keys" | "secrets");
    let words = vocabulary::words(name);
    (words.iter().any(many) || vocabulary::is_credential(name))
        && !words.iter().any(|word| word == "headers" || word == "env")
}

/// Whether a key is the id of a session that the client sends.
fn is_named_session(project: &Project, key: At) -> bool {
    let name = project.last_written(key).unwrap_or_default();
    project.origins(key).is_chosen()
        && (vocabulary::is_session_id(name) || project.origins(key).has(Origins::SESSION))
}

fn says_credential(project: &Project, at: At) -> bool {
    project.last_written(at).is_some_and(vocabulary::is_credential)
}
