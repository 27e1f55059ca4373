//! Functions and classes.

use ruff_python_ast::{Decorator, Expr, ExprLambda, Parameters, Stmt, StmtClassDef, StmtFunctionDef};
use ruff_text_size::Ranged;

use super::{
    Lower,
    scopes::{FrameKind, Slot},
    span,
};
use crate::ir::{
    BindingKind, Class, ClassId, ExprId, Field, Function, FunctionId, FunctionKind, List, Parameter,
    ParameterKind, Pattern, ScopeKind, Span, StmtKind,
};

impl Lower<'_> {
    /// Lowers a function; for a method with its class. The second value says whether it is one of an object.
    pub(super) fn function_def(
        &mut self,
        def: &StmtFunctionDef,
        class: Option<ClassId>,
    ) -> (FunctionId, FunctionKind) {
        let at = span(def.range);
        let id = self.builder.reserve_function(at);
        let name = self.builder.name(&def.name.id);
        let binding = self.own(&def.name.id);
        self.set_kind(binding, BindingKind::Function(id));
        let decorators = self.decorators(&def.decorator_list);
        let kind = if class.is_some() { method_kind(def) } else { FunctionKind::Plain };
        let skip = class.is_some() && kind != FunctionKind::Static;
        let scope = self.builder.scope(ScopeKind::Function(id), self.scope());
        let values = self.defaults(&def.parameters);
        self.enter(FrameKind::Function, scope, &def.body);
        let parent = self.function();
        self.functions.push(id);
        let params = self.parameters(&def.parameters, values, id, skip);
        let body = self.block(&def.body);
        self.functions.pop();
        self.leave();
        let generator = yields(&def.body);
        let head = Span::new(span(def.name.range).start, span(def.parameters.range).end);
        let function = Function {
            name: Some(name),
            kind,
            params,
            body,
            is_async: def.is_async,
            is_generator: generator,
            decorators,
            class,
            parent: Some(parent),
            scope,
            binding,
            return_type: def.returns.as_ref().map(|returns| self.text(returns.range())),
            span: at,
            head,
        };
        self.builder.set_function(id, function);
        (id, kind)
    }

    pub(super) fn lambda(&mut self, lambda: &ExprLambda) -> FunctionId {
        let at = span(lambda.range);
        let id = self.builder.reserve_function(at);
        let scope = self.builder.scope(ScopeKind::Function(id), self.scope());
        let values = lambda.parameters.as_ref().map(|params| self.defaults(params)).unwrap_or_default();
        self.enter(FrameKind::Function, scope, &[]);
        let parent = self.function();
        self.functions.push(id);
        let params = match &lambda.parameters {
            Some(params) => self.parameters(params, values, id, false),
            None => List::default(),
        };
        let value = self.expression(&lambda.body);
        self.functions.pop();
        self.leave();
        let body = List::one(self.builder.stmt(StmtKind::Return(Some(value)), span(lambda.body.range())));
        let function = Function {
            name: None,
            kind: FunctionKind::Arrow,
            params,
            body,
            is_async: false,
            is_generator: false,
            decorators: List::default(),
            class: None,
            parent: Some(parent),
            scope,
            binding: None,
            return_type: None,
            span: at,
            head: Span::new(at.start, at.start + 6),
        };
        self.builder.set_function(id, function);
        id
    }

    fn decorators(&mut self, decorators: &[Decorator]) -> List<ExprId> {
        decorators.iter().map(|decorator| self.expression(&decorator.expression)).collect()
    }

    /// Lowers the defaults and annotations of parameters, which belong to the scope around.
    fn defaults(&mut self, params: &Parameters) -> Vec<(Option<ExprId>, Option<ExprId>)> {
        params
            .iter()
            .map(|param| {
                let default = param.default().map(|value| self.expression(value));
                let annotation = match param.annotation() {
                    // A name may stand for `Annotated[User, Depends(current_user)]`.
                    Some(annotation @ (Expr::Subscript(_) | Expr::Name(_))) => {
                        Some(self.expression(annotation))
                    }
                    _ => None,
                };
                (default, annotation)
            })
            .collect()
    }

    fn parameters(
        &mut self,
        params: &Parameters,
        values: Vec<(Option<ExprId>, Option<ExprId>)>,
        function: FunctionId,
        skip_first: bool,
    ) -> List<Parameter> {
        let keyword_from =
            params.posonlyargs.len() + params.args.len() + usize::from(params.vararg.is_some());
        let mut all = Vec::new();
        let mut skip = skip_first;
        for (number, (param, (default, annotation))) in params.iter().zip(values).enumerate() {
            let name = param.name();
            if skip {
                skip = false;
                if !param.is_variadic() {
                    self.insert(&name.id, Slot::This);
                    continue;
                }
            }
            let scope = self.scope();
            let binding = self.bind(&name.id, BindingKind::Parameter(function), scope, name.range);
            self.insert(&name.id, Slot::Binding(binding));
            self.stores.insert(binding, 1);
            let type_text = param.annotation().map(|annotation| self.text(annotation.range()));
            if let Some(type_text) = type_text {
                self.set_type(Some(binding), type_text);
            }
            let kind = match (param.is_variadic(), number >= keyword_from) {
                (true, true) => ParameterKind::KeywordRest,
                (true, false) => ParameterKind::Rest,
                (false, true) => ParameterKind::KeywordOnly,
                (false, false) => ParameterKind::Normal,
            };
            all.push(Parameter {
                name: Some(self.builder.name(&name.id)),
                pattern: Pattern::Binding(binding),
                kind,
                default,
                optional: false,
                type_text,
                annotation,
                decorators: List::default(),
                is_field: false,
                span: span(param.range()),
            });
        }
        all.into()
    }

    pub(super) fn class_def(&mut self, def: &StmtClassDef) -> ClassId {
        let id = self.builder.reserve_class(span(def.range));
        let name = self.builder.name(&def.name.id);
        let binding = self.own(&def.name.id);
        self.set_kind(binding, BindingKind::Class(id));
        let decorators = self.decorators(&def.decorator_list);
        let bases = def.arguments.as_ref().map_or_else(List::default, |arguments| {
            self.arguments(arguments).iter().map(|arg| arg.value).collect()
        });
        let scope = self.builder.scope(ScopeKind::Class(id), self.scope());
        let model = is_model(def);
        self.enter(FrameKind::Class, scope, &def.body);
        self.classes.push(id);
        let mut fields = Vec::new();
        let mut methods = Vec::new();
        let mut others = Vec::new();
        for stmt in &def.body {
            self.class_stmt(stmt, id, model, &mut fields, &mut methods, &mut others);
        }
        if !others.is_empty() {
            let body = self.builder.reserve_function(span(def.range));
            let parent = self.function();
            if let Some(function) = self.builder.function_mut(body) {
                function.kind = FunctionKind::ClassBody;
                function.body = others.into();
                function.class = Some(id);
                function.parent = Some(parent);
            }
            methods.push(body);
        }
        self.classes.pop();
        self.leave();
        let class = Class {
            name: Some(name),
            binding,
            bases,
            implements: List::default(),
            fields: fields.into(),
            methods: methods.into(),
            decorators,
            parent: self.function(),
            scope,
            span: span(def.range),
        };
        self.builder.set_class(id, class);
        id
    }

    fn class_stmt(
        &mut self,
        stmt: &Stmt,
        class: ClassId,
        model: bool,
        fields: &mut Vec<Field>,
        methods: &mut Vec<FunctionId>,
        others: &mut Vec<crate::ir::StmtId>,
    ) {
        match stmt {
            Stmt::FunctionDef(def) => methods.push(self.function_def(def, Some(class)).0),
            Stmt::Assign(assign) if assign.targets.iter().all(|target| matches!(target, Expr::Name(_))) => {
                let value = self.expression(&assign.value);
                for target in &assign.targets {
                    self.field(target, Some(value), None, !model, stmt, fields);
                }
            }
            Stmt::AnnAssign(assign) if matches!(*assign.target, Expr::Name(_)) => {
                let value = assign.value.as_ref().map(|value| self.expression(value));
                let type_text = self.text(assign.annotation.range());
                let is_static = value.is_some() && !model;
                self.field(&assign.target, value, Some(type_text), is_static, stmt, fields);
            }
            Stmt::Expr(expr) if matches!(*expr.value, Expr::StringLiteral(_)) => {}
            _ => self.statements(std::slice::from_ref(stmt), others),
        }
    }

    fn field(
        &mut self,
        target: &Expr,
        value: Option<ExprId>,
        type_text: Option<crate::ir::Name>,
        is_static: bool,
        stmt: &Stmt,
        fields: &mut Vec<Field>,
    ) {
        let Expr::Name(name) = target else { return };
        let binding = self.own(&name.id);
        if let Some(binding) = binding {
            *self.stores.entry(binding).or_default() += 1;
        }
        if let Some(type_text) = type_text {
            self.set_type(binding, type_text);
        }
        fields.push(Field {
            name: self.builder.name(&name.id),
            value,
            is_static,
            type_text,
            decorators: List::default(),
            binding,
            span: span(stmt.range()),
        });
    }
}

/// The last name of a decorator, and that before it.
fn decorator_name(decorator: &Decorator) -> (&str, &str) {
    let expr = match &decorator.expression {
        Expr::Call(call) => &*call.func,
        other => other,
    };
    match expr {
        Expr::Name(name) => (name.id.as_str(), ""),
        Expr::Attribute(member) => match &*member.value {
            Expr::Name(name) => (member.attr.id.as_str(), name.id.as_str()),
            _ => (member.attr.id.as_str(), ""),
        },
        _ => ("", ""),
    }
}

fn method_kind(def: &StmtFunctionDef) -> FunctionKind {
    for decorator in &def.decorator_list {
        match decorator_name(decorator) {
            ("staticmethod", _) => return FunctionKind::Static,
            ("classmethod" | "validator" | "field_validator" | "model_validator", _) => {
                return FunctionKind::ClassMethod;
            }
            ("property" | "cached_property" | "hybrid_property" | "computed_field", _) => {
                return FunctionKind::Getter;
            }
            ("setter", _) => return FunctionKind::Setter,
            _ => {}
        }
    }
    match def.name.id.as_str() {
        "__init__" => FunctionKind::Constructor,
        "__new__" | "__init_subclass__" | "__class_getitem__" => FunctionKind::ClassMethod,
        _ => FunctionKind::Method,
    }
}

/// Whether the class's variables are fields of its objects: dataclasses, pydantic and ORM models.
fn is_model(def: &StmtClassDef) -> bool {
    let decorated = def.decorator_list.iter().any(|decorator| {
        matches!(decorator_name(decorator).0, "dataclass" | "define" | "frozen" | "attrs" | "s" | "mutable")
    });
    let last = |expr: &Expr| match expr {
        Expr::Name(name) => name.id.to_string(),
        Expr::Attribute(member) => member.attr.id.to_string(),
        _ => String::new(),
    };
    let model = |name: &str| {
        matches!(
            name,
            "NamedTuple"
                | "TypedDict"
                | "Base"
                | "BaseSettings"
                | "Document"
                | "DeclarativeBase"
                | "Enum"
                | "StrEnum"
                | "IntEnum"
                | "Struct"
        ) || name.ends_with("Model")
            || name.ends_with("Base")
    };
    decorated
        || def
            .arguments
            .as_ref()
            .is_some_and(|arguments| arguments.args.iter().any(|base| model(&last(base))))
}

/// Whether a function yields.
fn yields(body: &[Stmt]) -> bool {
    use ruff_python_ast::visitor::{self, Visitor};
    struct Find(bool);
    impl Visitor<'_> for Find {
        fn visit_stmt(&mut self, stmt: &Stmt) {
            if !self.0 && !matches!(stmt, Stmt::FunctionDef(_) | Stmt::ClassDef(_)) {
                visitor::walk_stmt(self, stmt);
            }
        }
        fn visit_expr(&mut self, expr: &Expr) {
            match expr {
                Expr::Yield(_) | Expr::YieldFrom(_) => self.0 = true,
                Expr::Lambda(_) => {}
                _ if self.0 => {}
                _ => visitor::walk_expr(self, expr),
            }
        }
    }
    let mut find = Find(false);
    body.iter().for_each(|stmt| find.visit_stmt(stmt));
    find.0
}
