//! Members of objects that a function of ours made, as the object comes through calls, variables and parameters.

use super::{Origins, origins::CALLERS};
use crate::{
    ir::{ExprKind, NameRef},
    project::{At, Project},
};

impl Project {
    /// What a member of an object is, where every way to the object ends in a literal that has it: `read(c).tenantId` of
    /// `const read = (c) => ({ tenantId: c.req.header("x-tenant-id") })`.
    pub(super) fn made_member(&self, object: At, name: &str, depth: u32) -> Option<Origins> {
        let depth = self.follow(depth)?;
        let unit = self.unit(object.module)?;
        match unit.ir.expr(object.expr) {
            ExprKind::Await(value) => self.made_member(object.to(*value), name, depth),
            ExprKind::Object(_) => {
                self.literal_property(object, name).map(|value| self.origins_in(value, depth))
            }
            ExprKind::Name(NameRef::Binding(id)) => {
                if let [source] = unit.index.sources(*id)
                    && source.path.is_empty()
                {
                    return self.made_member(object.to(source.value), name, depth);
                }
                let (fun, number, path) = self.parameter_of(object.module, *id)?;
                if !path.is_empty() || self.entry(fun).is_some() {
                    return None;
                }
                let arguments =
                    self.callers(fun).iter().take(CALLERS).map(|call| self.argument(*call, fun, number));
                self.of_all(arguments.flatten(), name, depth)
            }
            ExprKind::Call(call) if !call.is_new => {
                let callee = self.callee(object).filter(|callee| callee.certain)?;
                let returns = callee.targets.iter().flat_map(|target| {
                    let home = self.unit(target.module);
                    let returns = home.map_or(&[][..], |home| home.index.returns(target.id));
                    returns.iter().take(CALLERS).map(|expr| At { module: target.module, expr: *expr })
                });
                self.of_all(returns, name, depth)
            }
            _ => None,
        }
    }

    /// What a member is of several objects; nothing when one of them is not known, or there is none.
    fn of_all(&self, objects: impl Iterator<Item = At>, name: &str, depth: u32) -> Option<Origins> {
        let mut found = None;
        for object in objects {
            let value = self.made_member(object, name, depth)?;
            found = Some(found.unwrap_or(Origins::NONE) | value);
        }
        found
    }
}
