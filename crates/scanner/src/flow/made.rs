//! Members of objects that a function of ours made, as the object comes through calls, variables and parameters.

use super::{Origins, origins::CALLERS};
use crate::{
    ir::{ExprKind, NameRef, PropertyKey},
    project::{At, Project},
};

impl Project {
    /// What a member of an object is, where every way to the object ends in a literal, of which one has it: `read(c).tenantId` of
    /// `const read = (c) => ({ tenantId: c.req.header("x-tenant-id") })`.
    ///
    /// `lenient` says that a literal without it, as `{ valid: false }`, is such an end as well.
    pub(super) fn made_member(&self, object: At, name: &str, lenient: bool, depth: u32) -> Option<Origins> {
        let depth = self.follow(depth)?;
        let unit = self.unit(object.module)?;
        match unit.ir.expr(object.expr) {
            ExprKind::Await(value) => self.made_member(object.to(*value), name, lenient, depth),
            ExprKind::Object(properties) => match self.literal_property(object, name) {
                Some(value) => Some(self.origins_in(value, depth)),
                // `return { valid: false }` beside `return { valid: true, tenantId }`.
                None => {
                    let plain = |property: &crate::ir::Property| matches!(property.key, PropertyKey::Name(_));
                    (lenient && properties.iter().all(plain)).then_some(Origins::NONE)
                }
            },
            ExprKind::Null if lenient => Some(Origins::NONE),
            ExprKind::Name(NameRef::Binding(id)) => {
                if let [source] = unit.index.sources(*id)
                    && source.path.is_empty()
                {
                    return self.made_member(object.to(source.value), name, lenient, depth);
                }
                let (fun, number, path) = self.parameter_of(object.module, *id)?;
                if !path.is_empty() || self.entry(fun).is_some() {
                    return None;
                }
                let arguments =
                    self.callers(fun).iter().take(CALLERS).map(|call| self.argument(*call, fun, number));
                self.of_all(arguments.flatten(), name, lenient, depth)
            }
            ExprKind::Call(call) if !call.is_new => {
                let callee = self.callee(object).filter(|callee| callee.certain)?;
                let returns = callee.targets.iter().flat_map(|target| {
                    let home = self.unit(target.module);
                    let returns = home.map_or(&[][..], |home| home.index.returns(target.id));
                    returns.iter().take(CALLERS).map(|expr| At { module: target.module, expr: *expr })
                });
                self.of_all(returns, name, lenient, depth)
            }
            _ => None,
        }
    }

    /// What a member is of several objects; nothing when one of them is not known, or there is none.
    fn of_all(
        &self,
        objects: impl Iterator<Item = At>,
        name: &str,
        lenient: bool,
        depth: u32,
    ) -> Option<Origins> {
        let mut found = None;
        for object in objects {
            let value = self.made_member(object, name, lenient, depth)?;
            found = Some(found.unwrap_or(Origins::NONE) | value);
        }
        found
    }
}
