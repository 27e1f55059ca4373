//! What a query asks: its blocks, the tables of each, and what their rows are tested for.
//!
//! A block is one SELECT, INSERT, UPDATE or DELETE with its own tables and conditions: of `WITH a AS (…) SELECT … UNION
//! SELECT …`, each part has to name the tenant by itself.

use sqlparser::{
    ast::{
        AssignmentTarget, BinaryOperator, Delete, Expr, FromTable, Function, FunctionArg, FunctionArgExpr,
        FunctionArguments, Insert, JoinConstraint, JoinOperator, ObjectName, OnInsert, Query, Select,
        SelectItem, SetExpr, Statement, TableFactor, TableObject, TableWithJoins, Update,
        UpdateTableFromKind, Value as Constant,
    },
    dialect::{Dialect, GenericDialect, MySqlDialect, PostgreSqlDialect, SQLiteDialect},
    parser::Parser,
    tokenizer::Token,
};

use super::{
    Block, Name, Parsed, Piece, TableUse, Test, Text, Value, Verb, block, cursor::Cursor, fallback,
    prose::is_prose, statements,
};

/// The most tokens of a query that is parsed; longer ones are read from tokens.
const MOST_TOKENS: usize = 6_000;
/// The deepest nesting that is followed.
const DEEPEST: usize = 40;

/// Reads a query. Nothing when the text holds no statement that reads or writes rows or sets a setting.
#[must_use]
pub fn read(pieces: &[Piece<'_>]) -> Option<Parsed> {
    let text = Text::new(pieces)?;
    let tokens: Vec<_> = statements::of(&text.sql).0;
    let count: usize = tokens.iter().map(|statement| statement.tokens.len()).sum();
    let is_sql = |at: Cursor<'_>| begins(at) && !is_prose(at);
    if !tokens.iter().any(|statement| is_sql(Cursor::new(&statement.tokens))) {
        return None;
    }
    let session_setting =
        tokens.iter().find_map(|statement| block::session_setting(Cursor::new(&statement.tokens)));
    let parsed = (count <= MOST_TOKENS).then(|| parse(&text.sql)).flatten();
    let mut reader = Reader { text: &text, blocks: Vec::new(), views: Vec::new() };
    let exact = parsed.is_some();
    match parsed {
        Some(statements) => {
            for statement in &statements {
                reader.statement(statement, None, false, 0);
            }
        }
        None => {
            for statement in &tokens {
                reader.blocks.extend(fallback::read(&text, Cursor::new(&statement.tokens)));
            }
        }
    }
    (!reader.blocks.is_empty() || session_setting.is_some()).then_some(Parsed {
        blocks: reader.blocks,
        session_setting,
        exact,
    })
}

/// Whether a statement begins like one that is about rows or settings; most strings of a program are not SQL at all.
fn begins(mut at: Cursor<'_>) -> bool {
    while at.token(&Token::LParen) {}
    ["select", "with", "insert", "update", "delete", "replace", "explain", "set"]
        .iter()
        .any(|word| at.words(word))
}

fn parse(sql: &str) -> Option<Vec<Statement>> {
    let dialects: [&dyn Dialect; 4] =
        [&PostgreSqlDialect {}, &SQLiteDialect {}, &MySqlDialect {}, &GenericDialect {}];
    dialects.into_iter().find_map(|dialect| Parser::parse_sql(dialect, sql).ok())
}

struct Reader<'a> {
    text: &'a Text,
    blocks: Vec<Block>,
    /// Names of common table expressions that can be read here.
    views: Vec<String>,
}

impl Reader<'_> {
    fn begin(&mut self, verb: Verb, parent: Option<usize>, decides: bool) -> usize {
        self.blocks.push(Block {
            verb,
            tables: Vec::new(),
            tests: Vec::new(),
            writes: Vec::new(),
            open: Vec::new(),
            parent,
            decides,
            conflict: None,
        });
        self.blocks.len() - 1
    }

    fn with(&mut self, at: usize, change: impl FnOnce(&mut Block)) {
        if let Some(block) = self.blocks.get_mut(at) {
            change(block);
        }
    }

    fn statement(&mut self, statement: &Statement, parent: Option<usize>, decides: bool, depth: usize) {
        if depth > DEEPEST {
            return;
        }
        match statement {
            Statement::Query(query) => self.query(query, parent, decides, depth),
            Statement::Insert(insert) => self.insert(insert, parent, depth),
            Statement::Update(update) => self.update(update, parent, depth),
            Statement::Delete(delete) => self.delete(delete, parent, depth),
            Statement::Explain { statement, .. } => self.statement(statement, parent, decides, depth + 1),
            _ => {}
        }
    }

    fn query(&mut self, query: &Query, parent: Option<usize>, decides: bool, depth: usize) {
        if depth > DEEPEST {
            return;
        }
        let known = self.views.len();
        if let Some(with) = &query.with {
            for view in &with.cte_tables {
                if with.recursive {
                    self.views.push(view.alias.name.value.to_lowercase());
                }
                self.query(&view.query, parent, false, depth + 1);
                self.views.push(view.alias.name.value.to_lowercase());
            }
        }
        self.set(&query.body, parent, decides, depth);
        self.views.truncate(known);
    }

    fn set(&mut self, set: &SetExpr, parent: Option<usize>, decides: bool, depth: usize) {
        // `a UNION b UNION c …` leans to the left; it is followed without a call for each.
        let mut set = set;
        let mut rights = Vec::new();
        while let SetExpr::SetOperation { left, right, .. } = set {
            rights.push(right);
            set = left;
        }
        for part in std::iter::once(set).chain(rights.into_iter().rev().map(AsRef::as_ref)) {
            match part {
                SetExpr::Select(select) => self.select(select, parent, decides, depth),
                SetExpr::Query(query) => self.query(query, parent, decides, depth + 1),
                SetExpr::SetOperation { .. } if depth < DEEPEST => self.set(part, parent, decides, depth + 1),
                SetExpr::Insert(statement) | SetExpr::Update(statement) | SetExpr::Delete(statement) => {
                    self.statement(statement, parent, decides, depth + 1);
                }
                _ => {}
            }
        }
    }

    fn select(&mut self, select: &Select, parent: Option<usize>, decides: bool, depth: usize) {
        let at = self.begin(Verb::Select, parent, decides);
        self.from(at, &select.from, depth);
        for condition in select.selection.iter().chain(&select.having) {
            self.condition(at, condition, true, depth);
        }
        for item in &select.projection {
            if let SelectItem::UnnamedExpr(expr) | SelectItem::ExprWithAlias { expr, .. } = item {
                self.parts(at, expr, depth);
            }
        }
    }

    fn insert(&mut self, insert: &Insert, parent: Option<usize>, depth: usize) {
        let at = self.begin(Verb::Insert, parent, false);
        if let TableObject::TableName(name) = &insert.table {
            let alias = insert.table_alias.as_ref().map(|alias| alias.alias.value.to_lowercase());
            self.table(at, name, alias);
        }
        let columns: Vec<String> = insert.columns.iter().map(last).collect();
        for assignment in &insert.assignments {
            self.write(at, &assignment.target, &assignment.value);
        }
        if let Some(source) = &insert.source {
            match source.body.as_ref() {
                SetExpr::Values(values) => {
                    let row: Vec<Value> = values
                        .rows
                        .first()
                        .map(|row| row.iter().map(|v| self.value(at, v, depth)).collect())
                        .unwrap_or_default();
                    self.with(at, |block| block.writes.extend(columns.into_iter().zip(row)));
                }
                SetExpr::Select(select) => {
                    let values: Vec<Value> = select
                        .projection
                        .iter()
                        .map(|item| match item {
                            SelectItem::UnnamedExpr(expr) | SelectItem::ExprWithAlias { expr, .. } => {
                                self.value(at, expr, depth)
                            }
                            _ => Value::Other,
                        })
                        .collect();
                    self.with(at, |block| block.writes.extend(columns.into_iter().zip(values)));
                    self.query(source, Some(at), false, depth + 1);
                }
                _ => self.query(source, Some(at), false, depth + 1),
            }
        }
        self.conflict(at, insert);
    }

    fn conflict(&mut self, at: usize, insert: &Insert) {
        use sqlparser::ast::{ConflictTarget, OnConflictAction};
        match &insert.on {
            Some(OnInsert::OnConflict(conflict)) => {
                // `DO UPDATE … WHERE notes.owner_id = excluded.owner_id` leaves foreign rows alone.
                if let OnConflictAction::DoUpdate(update) = &conflict.action
                    && update.selection.is_none()
                {
                    let columns = match &conflict.conflict_target {
                        Some(ConflictTarget::Columns(columns)) => {
                            columns.iter().map(|column| column.value.to_lowercase()).collect()
                        }
                        _ => Vec::new(),
                    };
                    self.with(at, |block| block.conflict = Some(columns));
                }
            }
            Some(OnInsert::DuplicateKeyUpdate(_)) => self.with(at, |block| block.conflict = Some(Vec::new())),
            _ => {}
        }
    }

    fn update(&mut self, update: &Update, parent: Option<usize>, depth: usize) {
        let at = self.begin(Verb::Update, parent, false);
        self.from(at, std::slice::from_ref(&update.table), depth);
        if let Some(UpdateTableFromKind::AfterSet(from) | UpdateTableFromKind::BeforeSet(from)) = &update.from
        {
            self.from(at, from, depth);
        }
        for assignment in &update.assignments {
            self.write(at, &assignment.target, &assignment.value);
        }
        if let Some(condition) = &update.selection {
            self.condition(at, condition, true, depth);
        }
    }

    fn delete(&mut self, delete: &Delete, parent: Option<usize>, depth: usize) {
        let at = self.begin(Verb::Delete, parent, false);
        let (FromTable::WithFromKeyword(from) | FromTable::WithoutKeyword(from)) = &delete.from;
        self.from(at, from, depth);
        if let Some(using) = &delete.using {
            self.from(at, using, depth);
        }
        if let Some(condition) = &delete.selection {
            self.condition(at, condition, true, depth);
        }
    }

    fn write(&mut self, at: usize, target: &AssignmentTarget, value: &Expr) {
        if let AssignmentTarget::ColumnName(column) = target {
            let value = self.value(at, value, DEEPEST);
            let column = last(column);
            self.with(at, |block| block.writes.push((column, value)));
        }
    }

    fn table(&mut self, at: usize, name: &ObjectName, alias: Option<String>) {
        let parts: Vec<String> =
            name.0
                .iter()
                .filter_map(|part| part.as_ident())
                .map(|ident| {
                    if ident.quote_style.is_some() { ident.value.clone() } else { ident.value.to_lowercase() }
                })
                .collect();
        let Some((last, before)) = parts.split_last() else { return };
        if before.is_empty() && self.views.contains(&last.to_lowercase()) {
            return;
        }
        let hole = self.text.inside(last);
        // `FROM t ${where}` parses with the hole as an alias.
        let open = alias.as_deref().and_then(|alias| self.text.placeholder(alias));
        let name = hole.is_none().then(|| Name { schema: before.last().cloned(), name: last.clone() });
        let alias = alias.filter(|_| open.is_none()).unwrap_or_else(|| last.clone());
        self.with(at, |block| {
            block.open.extend(open);
            block.tables.push(TableUse { name, alias });
        });
    }

    fn from(&mut self, at: usize, from: &[TableWithJoins], depth: usize) {
        if depth > DEEPEST {
            return;
        }
        for table in from {
            self.factor(at, &table.relation, depth);
            for join in &table.joins {
                self.factor(at, &join.relation, depth);
                let (constraint, required) = match &join.join_operator {
                    JoinOperator::Join(on) | JoinOperator::Inner(on) | JoinOperator::StraightJoin(on) => {
                        (Some(on), true)
                    }
                    // The condition of an outer join holds back rows of one side only.
                    JoinOperator::Left(on)
                    | JoinOperator::LeftOuter(on)
                    | JoinOperator::Right(on)
                    | JoinOperator::RightOuter(on)
                    | JoinOperator::FullOuter(on) => (Some(on), true),
                    _ => (None, false),
                };
                match constraint {
                    Some(JoinConstraint::On(condition)) => self.condition(at, condition, required, depth),
                    Some(JoinConstraint::Using(columns)) => {
                        for column in columns.iter().map(last) {
                            let value = Value::Column { table: None, column: column.clone() };
                            let test = Test { table: None, column, value, equal: true, required };
                            self.with(at, |block| block.tests.push(test));
                        }
                    }
                    _ => {}
                }
            }
        }
    }

    fn factor(&mut self, at: usize, factor: &TableFactor, depth: usize) {
        match factor {
            TableFactor::Table { name, alias, args: None, .. } => {
                self.table(at, name, alias.as_ref().map(|alias| alias.name.value.to_lowercase()));
            }
            TableFactor::Derived { subquery, .. } => self.query(subquery, Some(at), false, depth + 1),
            TableFactor::NestedJoin { table_with_joins, .. } => {
                self.from(at, std::slice::from_ref(table_with_joins), depth + 1);
            }
            _ => {}
        }
    }

    /// Reads a condition: what has to hold for every row, and what only may.
    fn condition(&mut self, at: usize, condition: &Expr, required: bool, depth: usize) {
        if depth > DEEPEST {
            return;
        }
        let mut left = vec![condition];
        while let Some(expr) = left.pop() {
            match expr {
                Expr::BinaryOp { left: a, op: BinaryOperator::And, right: b } => {
                    left.extend([b.as_ref(), a.as_ref()])
                }
                Expr::Nested(inside) => left.push(inside),
                Expr::BinaryOp { op: BinaryOperator::Or, .. } => self.alternatives(at, expr, required, depth),
                Expr::BinaryOp { left: a, op, right: b } => {
                    self.compare(at, a, b, *op == BinaryOperator::Eq, required, depth);
                }
                Expr::IsNotDistinctFrom(a, b) => self.compare(at, a, b, true, required, depth),
                Expr::AnyOp { left: a, compare_op: BinaryOperator::Eq, right: b, .. } => {
                    self.compare(at, a, b, true, required, depth);
                }
                Expr::InList { expr: a, list, negated } => {
                    // One value that is put in makes the list as open as it is.
                    let other = list.iter().find(|item| !matches!(item, Expr::Value(_))).or(list.first());
                    if let Some(b) = other {
                        self.compare(at, a, b, !negated, required, depth);
                    }
                }
                Expr::InSubquery { expr: a, subquery, negated } => {
                    let block = self.blocks.len();
                    self.query(subquery, Some(at), !negated && required, depth + 1);
                    self.test(at, a, Value::Block(block), !negated, required);
                }
                Expr::Exists { subquery, negated } => {
                    self.query(subquery, Some(at), !negated && required, depth + 1);
                }
                Expr::Like { expr: a, pattern: b, .. } | Expr::ILike { expr: a, pattern: b, .. } => {
                    self.compare(at, a, b, false, required, depth);
                }
                Expr::IsNull(a) => self.test(at, a, Value::Null, true, required),
                Expr::Identifier(name) => {
                    // A whole condition that is put in.
                    if let Some(open) = self.text.placeholder(&name.value) {
                        self.with(at, |block| block.open.push(open));
                    }
                }
                other => self.parts(at, other, depth),
            }
        }
    }

    /// A test that stands in every branch of an OR holds for every row.
    fn alternatives(&mut self, at: usize, or: &Expr, required: bool, depth: usize) {
        let mut branches = Vec::new();
        let mut expr = or;
        while let Expr::BinaryOp { left, op: BinaryOperator::Or, right } = expr {
            branches.push(right.as_ref());
            expr = left;
        }
        branches.push(expr);
        let mut tests: Vec<Vec<Test>> = Vec::new();
        for branch in branches.iter().rev() {
            let before = self.blocks.get(at).map_or(0, |block| block.tests.len());
            self.condition(at, branch, true, depth + 1);
            let mut found = Vec::new();
            self.with(at, |block| found = block.tests.split_off(before.min(block.tests.len())));
            tests.push(found);
        }
        let everywhere: Vec<String> = tests
            .first()
            .into_iter()
            .flatten()
            .filter(|test| {
                tests.iter().all(|branch| {
                    branch.iter().any(|other| {
                        other.column == test.column && other.required && other.value != Value::Null
                    })
                })
            })
            .map(|test| test.column.clone())
            .collect();
        for mut test in tests.into_iter().flatten() {
            test.required = required && test.required && everywhere.contains(&test.column);
            self.with(at, |block| block.tests.push(test));
        }
    }

    fn compare(&mut self, at: usize, a: &Expr, b: &Expr, equal: bool, required: bool, depth: usize) {
        if column_of(a).is_some_and(|(_, name)| self.text.placeholder(&name).is_none()) {
            let value = self.value(at, b, depth);
            self.test(at, a, value, equal, required);
        }
        if column_of(b).is_some_and(|(_, name)| self.text.placeholder(&name).is_none()) {
            let value = self.value(at, a, depth);
            self.test(at, b, value, equal, required);
        }
    }

    fn test(&mut self, at: usize, column: &Expr, value: Value, equal: bool, required: bool) {
        if let Some((table, column)) = column_of(column) {
            self.with(at, |block| block.tests.push(Test { table, column, value, equal, required }));
        }
    }

    fn value(&mut self, at: usize, expr: &Expr, depth: usize) -> Value {
        if let Some(name) = setting(expr) {
            return Value::Setting(name);
        }
        match expr {
            Expr::Nested(inside) | Expr::Cast { expr: inside, .. } | Expr::Collate { expr: inside, .. }
                if depth <= DEEPEST =>
            {
                self.value(at, inside, depth + 1)
            }
            Expr::Value(value) => match &value.value {
                Constant::Null => Value::Null,
                Constant::SingleQuotedString(text) | Constant::DoubleQuotedString(text) => {
                    self.text.inside(text).map_or_else(|| Value::Literal(text.clone()), Value::Placeholder)
                }
                other => Value::Literal(other.to_string()),
            },
            Expr::Subquery(query) => {
                let block = self.blocks.len();
                self.query(query, Some(at), false, depth + 1);
                Value::Block(block)
            }
            Expr::Function(function) => self.function(at, function, depth),
            Expr::Array(array) => array.elem.first().map_or(Value::Other, |first| {
                if depth > DEEPEST { Value::Other } else { self.value(at, first, depth + 1) }
            }),
            _ => match column_of(expr) {
                Some((table, column)) => match self.text.placeholder(&column) {
                    Some(placeholder) => Value::Placeholder(placeholder),
                    None => Value::Column { table, column },
                },
                None => Value::Other,
            },
        }
    }

    /// A function of one value is as good as the value: `lower($1)`. Others are themselves.
    fn function(&mut self, at: usize, function: &Function, depth: usize) -> Value {
        let name = function.name.to_string().to_lowercase();
        if let FunctionArguments::List(list) = &function.args {
            for arg in &list.args {
                if depth <= DEEPEST
                    && let FunctionArg::Unnamed(FunctionArgExpr::Expr(expr)) = arg
                    && let value @ (Value::Placeholder(_) | Value::Setting(_)) =
                        self.value(at, expr, depth + 1)
                {
                    return value;
                }
            }
        }
        Value::Function(name)
    }

    /// Queries inside of an expression.
    fn parts(&mut self, at: usize, expr: &Expr, depth: usize) {
        if depth > DEEPEST {
            return;
        }
        match expr {
            Expr::Subquery(query)
            | Expr::Exists { subquery: query, .. }
            | Expr::InSubquery { subquery: query, .. } => {
                self.query(query, Some(at), false, depth + 1);
            }
            Expr::Nested(inside) | Expr::Cast { expr: inside, .. } | Expr::UnaryOp { expr: inside, .. } => {
                self.parts(at, inside, depth + 1);
            }
            Expr::BinaryOp { left, right, .. } => {
                self.parts(at, left, depth + 1);
                self.parts(at, right, depth + 1);
            }
            Expr::Function(function) => match &function.args {
                FunctionArguments::Subquery(query) => self.query(query, Some(at), false, depth + 1),
                FunctionArguments::List(list) => {
                    for arg in &list.args {
                        if let FunctionArg::Unnamed(FunctionArgExpr::Expr(expr)) = arg {
                            self.parts(at, expr, depth + 1);
                        }
                    }
                }
                FunctionArguments::None => {}
            },
            _ => {}
        }
    }
}

/// The setting of a call of `current_setting`.
fn setting(expr: &Expr) -> Option<String> {
    let Expr::Function(function) = expr else { return None };
    if !function.name.to_string().eq_ignore_ascii_case("current_setting") {
        return None;
    }
    let FunctionArguments::List(list) = &function.args else { return None };
    match list.args.first() {
        Some(FunctionArg::Unnamed(FunctionArgExpr::Expr(Expr::Value(value)))) => match &value.value {
            Constant::SingleQuotedString(name) => Some(name.to_lowercase()),
            _ => None,
        },
        _ => None,
    }
}

/// The column of an expression, through casts and functions of one argument such as `lower`.
fn column_of(expr: &Expr) -> Option<(Option<String>, String)> {
    let mut expr = expr;
    for _ in 0..DEEPEST {
        match expr {
            Expr::Identifier(name) => return Some((None, name.value.to_lowercase())),
            Expr::CompoundIdentifier(parts) => {
                let (last, before) = parts.split_last()?;
                return Some((
                    before.last().map(|part| part.value.to_lowercase()),
                    last.value.to_lowercase(),
                ));
            }
            Expr::Nested(inside) | Expr::Cast { expr: inside, .. } | Expr::Collate { expr: inside, .. } => {
                expr = inside
            }
            Expr::Function(function) => {
                let FunctionArguments::List(list) = &function.args else { return None };
                let [FunctionArg::Unnamed(FunctionArgExpr::Expr(inside))] = list.args.as_slice() else {
                    return None;
                };
                expr = inside;
            }
            _ => return None,
        }
    }
    None
}

/// The last part of a name, in lower case.
fn last(name: &ObjectName) -> String {
    name.0.last().and_then(|part| part.as_ident()).map(|ident| ident.value.to_lowercase()).unwrap_or_default()
}
