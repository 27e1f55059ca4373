//! Expressions and the targets of assignments.

use ruff_python_ast::{
    Arguments, BoolOp, CmpOp, Comprehension as PyComprehension, Expr, InterpolatedStringElement,
    InterpolatedStringElements, Operator, UnaryOp as PyUnary,
};
use ruff_text_size::{Ranged, TextRange};

use super::{Lower, scopes::FrameKind};
use crate::ir::{
    Arg, ArgKind, ArrayKind, BinaryOp, BindingKind, Call, Clause, CompareOp, Comprehension,
    ComprehensionKind, ExprId, ExprKind, List, LogicalOp, Name, Pattern, Property, PropertyKey, ScopeKind,
    TemplatePart, UnaryOp,
};

impl Lower<'_> {
    /// Lowers an expression.
    pub(super) fn expression(&mut self, expr: &Expr) -> ExprId {
        let id = if self.deeper() { self.lower_expression(expr) } else { ExprId::MISSING };
        self.depth -= 1;
        id
    }

    pub(super) fn optional(&mut self, expr: Option<&Expr>) -> Option<ExprId> {
        expr.map(|expr| self.expression(expr))
    }

    fn list(&mut self, exprs: &[Expr]) -> List<ExprId> {
        exprs.iter().map(|expr| self.expression(expr)).collect()
    }

    #[expect(clippy::too_many_lines, reason = "one arm for each kind of node")]
    fn lower_expression(&mut self, expr: &Expr) -> ExprId {
        let at = expr.range();
        let kind = match expr {
            Expr::BoolOp(logical) => {
                let op = match logical.op {
                    BoolOp::And => LogicalOp::And,
                    BoolOp::Or => LogicalOp::Or,
                };
                return self.fold(&logical.values, at, |left, right| ExprKind::Logical { op, left, right });
            }
            Expr::Named(named) => {
                let value = self.expression(&named.value);
                let target = Box::new(self.target(&named.target));
                ExprKind::Assign { target, op: None, logical: None, value }
            }
            Expr::BinOp(binary) => match (&*binary.left, binary.op) {
                (Expr::StringLiteral(text), Operator::Mod) => {
                    let text = self.builder.name(text.value.to_str());
                    let values: &[Expr] = match &*binary.right {
                        Expr::Tuple(tuple) => &tuple.elts,
                        other => std::slice::from_ref(other),
                    };
                    self.formatted(text, values)
                }
                _ => {
                    let left = self.expression(&binary.left);
                    let right = self.expression(&binary.right);
                    ExprKind::Binary { op: binary_op(binary.op), left, right }
                }
            },
            Expr::UnaryOp(unary) => {
                let operand = self.expression(&unary.operand);
                let op = if unary.op == PyUnary::Not { UnaryOp::Not } else { UnaryOp::Arithmetic };
                ExprKind::Unary { op, operand }
            }
            Expr::Lambda(lambda) => ExprKind::Function(self.lambda(lambda)),
            Expr::If(conditional) => ExprKind::Conditional {
                test: self.expression(&conditional.test),
                then: self.expression(&conditional.body),
                otherwise: self.expression(&conditional.orelse),
            },
            Expr::Dict(dict) => {
                ExprKind::Object(dict.items.iter().map(|item| self.dict_item(item)).collect())
            }
            Expr::Set(set) => ExprKind::Array { items: self.list(&set.elts), kind: ArrayKind::Set },
            Expr::List(list) => ExprKind::Array { items: self.list(&list.elts), kind: ArrayKind::List },
            Expr::Tuple(tuple) => ExprKind::Array { items: self.list(&tuple.elts), kind: ArrayKind::Tuple },
            Expr::ListComp(comp) => {
                self.comprehension(ComprehensionKind::List, &comp.generators, None, &comp.elt)
            }
            Expr::SetComp(comp) => {
                self.comprehension(ComprehensionKind::Set, &comp.generators, None, &comp.elt)
            }
            Expr::Generator(comp) => {
                self.comprehension(ComprehensionKind::Generator, &comp.generators, None, &comp.elt)
            }
            Expr::DictComp(comp) => self.comprehension(
                ComprehensionKind::Dict,
                &comp.generators,
                comp.key.as_deref(),
                &comp.value,
            ),
            Expr::Await(wait) => ExprKind::Await(self.expression(&wait.value)),
            Expr::Yield(give) => {
                ExprKind::Yield { value: self.optional(give.value.as_deref()), delegate: false }
            }
            Expr::YieldFrom(give) => {
                ExprKind::Yield { value: Some(self.expression(&give.value)), delegate: true }
            }
            Expr::Compare(compare) => return self.compare(compare),
            Expr::Call(call) => return self.call(call),
            Expr::FString(text) => {
                let mut parts = Vec::new();
                for part in text.value.as_slice() {
                    match part {
                        ruff_python_ast::FStringPart::Literal(text) => {
                            parts.push(TemplatePart::Text(self.builder.name(&text.value)));
                        }
                        ruff_python_ast::FStringPart::FString(inner) => {
                            self.interpolated(&inner.elements, &mut parts)
                        }
                    }
                }
                ExprKind::Template(parts.into())
            }
            Expr::TString(text) => {
                let mut parts = Vec::new();
                for inner in text.value.iter() {
                    self.interpolated(&inner.elements, &mut parts);
                }
                ExprKind::Template(parts.into())
            }
            Expr::StringLiteral(text) => ExprKind::String(self.builder.name(text.value.to_str())),
            Expr::BytesLiteral(_) => ExprKind::String(self.text(at)),
            Expr::NumberLiteral(_) => ExprKind::Number(self.text(at)),
            Expr::BooleanLiteral(value) => ExprKind::Bool(value.value),
            Expr::NoneLiteral(_) => ExprKind::Null,
            Expr::EllipsisLiteral(_) | Expr::IpyEscapeCommand(_) => ExprKind::Missing,
            Expr::Attribute(member) => {
                let object = self.expression(&member.value);
                ExprKind::Member { object, property: self.builder.name(&member.attr.id), optional: false }
            }
            Expr::Subscript(index) => {
                let object = self.expression(&index.value);
                ExprKind::Index { object, index: self.expression(&index.slice), optional: false }
            }
            Expr::Starred(spread) => ExprKind::Spread(self.expression(&spread.value)),
            Expr::Name(name) => self.name_kind(&name.id),
            Expr::Slice(slice) => {
                let parts = [slice.lower.as_deref(), slice.upper.as_deref(), slice.step.as_deref()];
                ExprKind::Sequence(parts.into_iter().flatten().map(|part| self.expression(part)).collect())
            }
        };
        self.add(kind, at)
    }

    fn fold(&mut self, values: &[Expr], at: TextRange, join: impl Fn(ExprId, ExprId) -> ExprKind) -> ExprId {
        let mut all: Option<ExprId> = None;
        for value in values {
            let value = self.expression(value);
            all = Some(match all {
                Some(left) => self.add(join(left, value), at),
                None => value,
            });
        }
        all.unwrap_or(ExprId::MISSING)
    }

    fn formatted(&mut self, text: Name, values: &[Expr]) -> ExprKind {
        let mut parts = vec![TemplatePart::Text(text)];
        parts.extend(values.iter().map(|value| TemplatePart::Value(self.expression(value))));
        ExprKind::Template(parts.into())
    }

    fn interpolated(&mut self, elements: &InterpolatedStringElements, parts: &mut Vec<TemplatePart>) {
        for element in elements {
            match element {
                InterpolatedStringElement::Literal(text) => {
                    parts.push(TemplatePart::Text(self.builder.name(&text.value)));
                }
                InterpolatedStringElement::Interpolation(value) => {
                    parts.push(TemplatePart::Value(self.expression(&value.expression)));
                    if let Some(format) = &value.format_spec
                        && self.deeper()
                    {
                        let mut inner = Vec::new();
                        self.interpolated(&format.elements, &mut inner);
                        inner.retain(|part| matches!(part, TemplatePart::Value(_)));
                        parts.extend(inner);
                        self.depth -= 1;
                    }
                }
            }
        }
    }

    fn dict_item(&mut self, item: &ruff_python_ast::DictItem) -> Property {
        let key = match &item.key {
            None => PropertyKey::Spread,
            Some(Expr::StringLiteral(text)) => PropertyKey::Name(self.builder.name(text.value.to_str())),
            Some(Expr::NumberLiteral(number)) => PropertyKey::Name(self.text(number.range)),
            Some(other) => PropertyKey::Computed(self.expression(other)),
        };
        Property { key, value: self.expression(&item.value) }
    }

    fn compare(&mut self, compare: &ruff_python_ast::ExprCompare) -> ExprId {
        let at = compare.range;
        let mut left = self.expression(&compare.left);
        let mut all: Option<ExprId> = None;
        for (op, right) in compare.ops.iter().zip(&compare.comparators) {
            let right = self.expression(right);
            let one = self.add(ExprKind::Compare { op: compare_op(*op), left, right }, at);
            all = Some(match all {
                Some(before) => {
                    self.add(ExprKind::Logical { op: LogicalOp::And, left: before, right: one }, at)
                }
                None => one,
            });
            left = right;
        }
        all.unwrap_or(left)
    }

    fn call(&mut self, call: &ruff_python_ast::ExprCall) -> ExprId {
        let at = call.range();
        match &*call.func {
            Expr::Name(name) if &name.id == "super" && self.lookup("super").is_none() => {
                return self.add(ExprKind::Super, at);
            }
            Expr::Attribute(member) if &member.attr.id == "format" => {
                if let Expr::StringLiteral(text) = &*member.value {
                    let text = self.builder.name(text.value.to_str());
                    let mut parts = vec![TemplatePart::Text(text)];
                    let args = self.arguments(&call.arguments);
                    parts.extend(args.iter().map(|arg| TemplatePart::Value(arg.value)));
                    return self.add(ExprKind::Template(parts.into()), at);
                }
            }
            _ => {}
        }
        let callee = self.expression(&call.func);
        let args = self.arguments(&call.arguments);
        self.add(ExprKind::Call(Box::new(Call { callee, args, is_new: false, optional: false })), at)
    }

    /// Lowers arguments, positional ones first: that is how Python evaluates all but odd cases.
    pub(super) fn arguments(&mut self, arguments: &Arguments) -> List<Arg> {
        let mut args: Vec<Arg> = Vec::with_capacity(arguments.args.len() + arguments.keywords.len());
        for arg in &arguments.args {
            args.push(match arg {
                Expr::Starred(spread) => Arg { kind: ArgKind::Spread, value: self.expression(&spread.value) },
                other => Arg { kind: ArgKind::Positional, value: self.expression(other) },
            });
        }
        for keyword in &arguments.keywords {
            let kind = match &keyword.arg {
                Some(name) => ArgKind::Keyword(self.builder.name(&name.id)),
                None => ArgKind::KeywordSpread,
            };
            args.push(Arg { kind, value: self.expression(&keyword.value) });
        }
        args.into()
    }

    fn comprehension(
        &mut self,
        kind: ComprehensionKind,
        generators: &[PyComprehension],
        key: Option<&Expr>,
        element: &Expr,
    ) -> ExprKind {
        let scope = self.builder.scope(ScopeKind::Block, self.scope());
        self.enter(FrameKind::Comprehension, scope, &[]);
        let mut clauses = Vec::with_capacity(generators.len());
        for generator in generators {
            let iter = self.expression(&generator.iter);
            self.bind_targets(&generator.target);
            let target = self.target(&generator.target);
            let conditions = self.list(&generator.ifs);
            clauses.push(Clause { iter, target, conditions, is_async: generator.is_async });
        }
        let key = self.optional(key);
        let element = self.expression(element);
        self.leave();
        ExprKind::Comprehension(Box::new(Comprehension { kind, clauses: clauses.into(), key, element }))
    }

    /// Makes the names of a comprehension's target its own.
    fn bind_targets(&mut self, target: &Expr) {
        match target {
            Expr::Name(name) => {
                let scope = self.scope();
                let id = self.bind(&name.id, BindingKind::Variable, scope, name.range);
                self.insert(&name.id, super::scopes::Slot::Binding(id));
            }
            Expr::Tuple(tuple) => tuple.elts.iter().for_each(|elt| self.bind_targets(elt)),
            Expr::List(list) => list.elts.iter().for_each(|elt| self.bind_targets(elt)),
            Expr::Starred(starred) => self.bind_targets(&starred.value),
            _ => {}
        }
    }

    /// Lowers what is assigned to.
    pub(super) fn target(&mut self, target: &Expr) -> Pattern {
        match target {
            Expr::Name(name) => self.name_pattern(&name.id, name.range),
            Expr::Tuple(tuple) => self.targets(&tuple.elts),
            Expr::List(list) => self.targets(&list.elts),
            Expr::Starred(starred) => self.target(&starred.value),
            other => Pattern::Place(self.expression(other)),
        }
    }

    fn targets(&mut self, elts: &[Expr]) -> Pattern {
        if !self.deeper() {
            self.depth -= 1;
            return Pattern::Place(ExprId::MISSING);
        }
        let mut items = Vec::new();
        let mut rest = None;
        for elt in elts {
            match elt {
                Expr::Starred(starred) => rest = Some(Box::new(self.target(&starred.value))),
                other => items.push(Some(self.target(other))),
            }
        }
        self.depth -= 1;
        Pattern::Array { items: items.into(), rest }
    }
}

pub(super) const fn binary_op(op: Operator) -> BinaryOp {
    match op {
        Operator::Add => BinaryOp::Add,
        Operator::BitOr => BinaryOp::BitOr,
        Operator::BitAnd => BinaryOp::BitAnd,
        Operator::Mod => BinaryOp::Rem,
        _ => BinaryOp::Other,
    }
}

const fn compare_op(op: CmpOp) -> CompareOp {
    match op {
        CmpOp::Eq | CmpOp::Is => CompareOp::Eq,
        CmpOp::NotEq | CmpOp::IsNot => CompareOp::NotEq,
        CmpOp::Lt | CmpOp::LtE | CmpOp::Gt | CmpOp::GtE => CompareOp::Order,
        CmpOp::In => CompareOp::In,
        CmpOp::NotIn => CompareOp::NotIn,
    }
}
