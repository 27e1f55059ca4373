//! Stores of user interfaces that a module makes: one for all requests where pages are made on the server.

use super::{Cell, Lifetimes, SharedWrite};
use crate::{
    ir::{Call, ExprId, ExprKind, PropertyKey},
    project::{At, Fun, Project},
};

/// Packages that make such stores. Sources: svelte.dev/docs/kit/state-management, "Avoid shared state on the server";
/// github.com/nanostores/nanostores, "Server-Side Rendering"; zustand.docs.pmnd.rs/guides/nextjs, "No global stores"; jotai.org/docs/guides/nextjs.
const PACKAGES: &[&str] = &[
    "nanostores",
    "@nanostores/persistent",
    "svelte/store",
    "zustand",
    "zustand/vanilla",
    "@tanstack/store",
    "@tanstack/react-store",
    "@preact/signals",
    "@preact/signals-core",
    "@preact/signals-react",
    "@legendapp/state",
];

/// Whether a variable of a module is such a store.
#[must_use]
pub fn is_ui_store(project: &Project, cell: &Cell) -> bool {
    let Cell::Binding(module, id) = cell else { return false };
    let Some(unit) = project.unit(*module) else { return false };
    unit.index.sources(*id).iter().any(|source| {
        let made = project.callee(At { module: *module, expr: source.value });
        made.and_then(|callee| callee.package.as_deref()).is_some_and(|package| PACKAGES.contains(&package))
    })
}

impl Lifetimes<'_> {
    /// `$session.set(user)` of `$session = atom(null)`, `useSession.setState({ user })`.
    pub(super) fn set_in_store(&self, at: At, call: &Call, fun: Fun, found: &mut Vec<SharedWrite>) {
        let Some(unit) = self.project.unit(at.module) else { return };
        let ExprKind::Member { object, property, .. } = unit.ir.expr(call.callee) else { return };
        let number = match unit.ir.text(*property) {
            "set" | "setState" | "update" => 0,
            "setKey" => 1,
            _ => return,
        };
        let package = self.project.callee(at).and_then(|callee| callee.package.as_deref());
        if !package.is_some_and(|package| PACKAGES.contains(&package)) || !self.is_per_request(fun) {
            return;
        }
        let (Some(cell), Some(value)) = (self.cell(at.to(*object)), call.positional(number)) else { return };
        let mut put =
            |cell: Cell, value: ExprId| found.push(SharedWrite::by_call(unit, at, fun, cell, value));
        match unit.ir.expr(value) {
            ExprKind::Object(properties) => {
                let own =
                    properties.iter().filter(|property| !matches!(property.key, PropertyKey::Computed(_)));
                own.for_each(|property| put(cell.clone(), property.value));
            }
            _ => put(cell, value),
        }
    }
}
