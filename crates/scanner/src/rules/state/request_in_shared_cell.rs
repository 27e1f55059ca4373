//! Data of a request in a variable or field that outlives it.

use partywall_model::{Axis, Check, Confidence, Layer, Severity};

use crate::{
    flow::{
        Cell, Lifetimes, Origins, SharedWrite, captured, compares_what_it_keeps, has_own_receiver, holds_connection, is_connection, is_of_nobody, is_on_own_objects, is_on_shared_object, is_ui_store, has_shared_receiver,
        stands_where_renewed,
    },
    ir::{BinaryOp, BindingKind, ExprId, ExprKind, FunctionId, FunctionKind, NameRef, Parameter, Span, walk},
    library::Role,
    project::{At, Fun, ModuleId, Project, Symbol},
    rules::{Report, Rule, context::thread_local_caller::is_thread_storage},
    vocabulary,
};

/// The rule.
pub const RULE: Rule = Rule {
    check: Check {
        id: "request-in-shared-variable",
        layer: Layer::State,
        summary: "A variable or field that outlives the request is set to data of the request.",
    },
    severity: Severity::High,
    axis: Axis::Security,
    why: "The variable is one for all requests. What one caller's request leaves there is read by the next caller's, or overwritten by \
          it while the first one waits, so that a request goes on with another caller's data.",
    fix: "Pass the value as an argument, keep it in an AsyncLocalStorage or ContextVar that is set for the request, or, where it has to \
          outlive the request, in a map by the verified caller.",
    cwe: &["CWE-488", "CWE-362"],
    soc2: &["CC6.1", "CC6.3"],
    owasp: &["A01:2021"],
    markdown: include_str!("request_in_shared_cell.md"),
    run,
};

fn run(project: &Project, report: &mut Report<'_>) {
    let lives = Lifetimes::new(project);
    for write in lives.shared_writes(project) {
        // What a thread has for itself is another rule's matter.
        if let Cell::Property(of, _) = &write.cell
            && let Cell::Binding(module, id) = **of
            && is_thread_storage(project, module, id)
        {
            continue;
        }
        if write.updates || is_no_data(project, write) || is_environment(&write.cell) || is_of_itself(project, write) {
            continue;
        }
        // Other objects of the class may live longer than this one.
        if matches!(write.cell, Cell::Field(..)) && is_on_own_objects(project, &lives, method_around(project, write.fun)) {
            continue;
        }
        let name = name_of(project, &write.cell);
        let is_function =
            matches!(project.unit(write.value.module).map(|unit| unit.ir.expr(write.value.expr)), Some(ExprKind::Function(_)));
        let origins =
            if is_function { captured(project, write.value) } else { project.origins(write.value) };
        // The server of this request's connection, which was handed over: `setServer(server)`.
        let handed = !is_function && is_parameter(project, write.value) && is_connection(project, write.value);
        let origins = if handed { origins | Origins::REQUEST } else { origins };
        if lives.makes(write.value, &[Role::Transport, Role::Server]) {
            continue;
        }
        let origins = if !origins.is_of_request() && super::got_for::is_got_for_caller(project, &lives, write, &name) { Origins::UNVERIFIED } else { origins };
        let told = if origins.is_of_request() { Vec::new() } else { super::told_after::told_after(project, write) };
        let origins = told.iter().fold(origins, |sum, own| sum | project.origins(*own));
        if !origins.is_of_request() {
            left_by_tool(project, &lives, report, write, &name);
            super::first_client::first_client(project, &lives, report, write, &name);
            super::worked_out::read_after_waiting(project, &lives, report, write, &name);
            super::worked_out::found_for_first(project, &lives, report, write, &name);
            continue;
        }
        // `this.token = await this.signIn()`: the server's own, whatever it is named.
        let known = origins.has(Origins::PRINCIPAL | Origins::INPUT | Origins::UNVERIFIED | Origins::REQUEST);
        let nobody = !is_function && !handed && is_of_nobody(project, write.value);
        let judged = if nobody && !known { None } else { judge(project, &lives, write, origins, &name) };
        let Some((severity, confidence, how)) = judged else {
            super::first_client::first_client(project, &lives, report, write, &name);
            super::worked_out::found_for_first(project, &lives, report, write, &name);
            continue;
        };
        let found = report.add(
            write.fun.module,
            write.span,
            format!("`{name}` outlives the request and is set to {}{how}", what(origins)),
        );
        // Where it is not seen which object it is, it may be one of the request's own: of the browser, the run, the job.
        let whose = matches!(write.cell, Cell::Field(..)) && !is_on_shared_object(project, &lives, method_around(project, write.fun));
        let severity = if (nobody && !origins.has(Origins::PRINCIPAL)) || whose || (!known && is_of_settings(project, write.value)) || (!origins.has(Origins::PRINCIPAL | Origins::REQUEST | Origins::UNVERIFIED) && super::got_for::is_of_own_parts(project, write.value, OWN_STEPS)) { severity.min(Severity::Medium) } else { severity };
        let doubtful = super::each_call::is_of_each_call(project, write) || is_configuration(project, write, &name);
        found.severity(if doubtful { severity.min(Severity::Medium) } else { severity }).confidence(confidence);
        report.show_way_of_last(write.fun);
        if severity == Severity::High {
            tell_callers(project, &lives, report, write, &name);
        }
        tell_readers(project, &lives, report, write, &name);
    }
    super::told_first::told_first(project, &lives, report);
    super::told_first::taken_over(project, report);
    super::store_of_app::store_of_app(project, report);
    super::prototypes::prototypes(project, &lives, report);
    super::routes_of_first::routes_of_first(project, &lives, report);
    connections(project, &lives, report);
}

/// Words of what was chosen for what follows.
const CHOSEN: &[&str] = &["active", "current", "selected", "chosen", "last", "latest"];

/// Words of what is one caller's for as long as it stands there.
const OF_ONE: &[&str] = &["active", "current", "selected", "chosen"];

/// Reports what a handler worked out of what it was sent and left for others: the page that was opened, the project that was chosen.
fn left_by_tool(project: &Project, lives: &Lifetimes<'_>, report: &mut Report<'_>, write: &SharedWrite, name: &str) {
    let kind = project.entry(write.fun).map(|entry| entry.kind.as_str());
    let words = vocabulary::words(name);
    let chosen = words.iter().any(|word| CHOSEN.contains(&word.as_str())) || vocabulary::says_whose(name);
    // The tokens of whoever signed in last.
    let tokens = (vocabulary::is_credential(name) || matches!(words.last().map(String::as_str), Some("tokens" | "credentials")))
        && project.entry_around(write.fun).is_some_and(|entry| entry.kind == "http");
    // What a page of a site leaves may be anything; a tool leaves it for the next call.
    // What a handler calls leaves it as much: `handleInitialize(request)` of the one that takes all messages.
    let of_one = words.iter().any(|word| OF_ONE.contains(&word.as_str()));
    let signed_in = vocabulary::is_credential(name) || matches!(words.last().map(String::as_str), Some("credentials" | "session"));
    let below = kind.is_none() && lives.is_per_request(write.fun) && (of_one || signed_in);
    let leaves = kind == Some("tool") || (kind == Some("http") && chosen) || tokens || below;
    if !leaves || vocabulary::is_cache(name) || !super::worked_out::is_worked_out(project, write.value) {
        return;
    }
    let elsewhere = lives.reads(project, &write.cell).iter().any(|(_, fun, _)| *fun != write.fun && lives.is_per_request(*fun));
    if elsewhere {
        report
            .add(write.fun.module, write.span, format!("`{name}` is what one caller asked for, and what all callers go on with"))
            .severity(if chosen || tokens || below { Severity::Medium } else { Severity::Low })
            .confidence(Confidence::Medium);
    }
}

/// Whether what is kept is a configuration by its name, that was handed over whole: it may be the one of all callers.
fn is_configuration(project: &Project, write: &SharedWrite, name: &str) -> bool {
    let last = vocabulary::words(name).last().is_some_and(|last| matches!(last.as_str(), "config" | "settings" | "configuration"));
    last && is_parameter(project, write.value)
}

/// Whether a value is made of the server's settings: `fields = get_settings().redacted`.
fn is_of_settings(project: &Project, value: At) -> bool {
    let Some(unit) = project.unit(value.module) else { return false };
    project.roots(value).into_iter().any(|root| {
        vocabulary::words(unit.ir.binding_name(root)).last().is_some_and(|word| matches!(word.as_str(), "settings" | "config" | "configuration" | "envs"))
    })
}

/// Reports who hands the data over, when a setter writes it: both have to change.
fn tell_callers(project: &Project, lives: &Lifetimes<'_>, report: &mut Report<'_>, write: &SharedWrite, name: &str) {
    let Some(unit) = project.unit(write.value.module) else { return };
    let mut parameter = None;
    walk::exprs_below(&unit.ir, write.value.expr, &mut |expr| {
        if let ExprKind::Name(NameRef::Binding(id)) = unit.ir.expr(expr)
            && let Some((fun, number, _)) = project.parameter_of(write.value.module, *id)
            && fun == write.fun
        {
            parameter = Some(number);
        }
    });
    let Some(number) = parameter else { return };
    for call in project.callers(write.fun).iter().take(8) {
        let Some(argument) = project.argument(*call, write.fun, number) else { continue };
        let fun = project.function_of(*call);
        if call.module == write.fun.module
            || !lives.is_per_request(fun)
            || !project.origins(argument).is_of_request()
            || has_own_receiver(project, lives, *call)
            || (matches!(write.cell, Cell::Field(..)) && !has_shared_receiver(project, lives, *call))
        {
            continue;
        }
        let found = report.reached(*call, format!("data of this request is left in `{name}`, which other requests read"));
        found.related(write.fun.module, write.span, "it is kept here");
        // A method that is only called so may be another one's.
        if project.callee(*call).is_none_or(|callee| !callee.certain) {
            found.severity(Severity::Medium).confidence(Confidence::Medium);
        }
    }
}

/// Reports the first function that gives what a request has left in a variable of the module to whoever asks: it has to change too.
fn tell_readers(project: &Project, lives: &Lifetimes<'_>, report: &mut Report<'_>, write: &SharedWrite, name: &str) {
    let Cell::Binding(module, id) = &write.cell else { return };
    let writers: Vec<Fun> = lives.shared_writes(project).iter().filter(|other| other.cell == write.cell).map(|other| other.fun).collect();
    // Each variable once, by its first write.
    if lives.shared_writes(project).iter().find(|other| other.cell == write.cell).is_some_and(|first| first.span != write.span) {
        return;
    }
    let Some(unit) = project.unit(*module) else { return };
    let reads = lives.reads(project, &write.cell);
    let read = reads.iter().find(|(at, fun, _)| {
        at.module == *module
            && fun.id != FunctionId::MODULE
            && !writers.contains(fun)
            && unit.index.uses(*id).contains(&at.expr)
    });
    if let Some((read, ..)) = read {
        report
            .reached(*read, format!("`{name}` is read here, where another request may have set it"))
            .severity(Severity::Low)
            .confidence(Confidence::Medium)
            .related(write.fun.module, write.span, "it is set here");
    }
}

/// The method that a function is, or stands in.
fn method_around(project: &Project, fun: Fun) -> Fun {
    let Some(unit) = project.unit(fun.module) else { return fun };
    let is_method = |fun: &Fun| unit.ir.function(fun.id).is_some_and(|function| function.class.is_some());
    project.around(fun).into_iter().find(is_method).unwrap_or(fun)
}

/// Functions that hold on to the server or transport that they were called with, kept in an object that came from elsewhere and
/// so outlives the connection.
fn connections(project: &Project, lives: &Lifetimes<'_>, report: &mut Report<'_>) {
    for (module, unit) in project.units() {
        for write in &unit.index.writes {
            let fun = Fun { module, id: write.function };
            let ExprKind::Member { object, .. } = unit.ir.expr(write.place) else { continue };
            let ExprKind::Member { object: root, .. } = unit.ir.expr(*object) else { continue };
            if !matches!(unit.ir.expr(*root), ExprKind::This)
                || unit.ir.function(write.function).is_none_or(|function| function.kind == FunctionKind::Constructor)
            {
                continue;
            }
            let outlives = project.this_of(fun).and_then(|class| lives.outlives(class));
            let value = At { module, expr: write.value };
            // What a constructor was given is older than the object, however short that one lives.
            let given = is_given(project, module, fun, *object);
            if (outlives == Some(false) && !given) || !holds_connection(project, value) {
                continue;
            }
            let place = unit.ir.span(write.place);
            let span = Span::new(place.start, unit.ir.span(write.value).end.max(place.end));
            report
                .add(module, span, "a function that speaks to one connection is left in an object that all connections use")
                .severity(Severity::Medium)
                .confidence(Confidence::Medium);
        }
    }
}

/// Whether a value is a parameter of the function that it stands in.
fn is_parameter(project: &Project, value: At) -> bool {
    let Some(unit) = project.unit(value.module) else { return false };
    matches!(unit.ir.expr(value.expr), ExprKind::Name(NameRef::Binding(id)) if project.parameter_of(value.module, *id).is_some())
}

/// Whether a field of `this` holds what the constructor was called with.
fn is_given(project: &Project, module: ModuleId, fun: Fun, field: ExprId) -> bool {
    let Some(unit) = project.unit(module) else { return false };
    let ExprKind::Member { property, .. } = unit.ir.expr(field) else { return false };
    let Some(class) = project.this_of(fun) else { return false };
    let name = unit.ir.text(*property);
    let parameter = unit.ir.class(class.id).is_some_and(|decl| {
        decl.methods.iter().filter_map(|id| unit.ir.function(*id)).any(|function| {
            let stored = |own: &Parameter| own.is_field && own.name.is_some_and(|own| unit.ir.text(own) == name);
            function.kind == FunctionKind::Constructor && function.params.iter().any(stored)
        })
    });
    parameter
        || project.field_values(class, name).iter().any(|value| {
            matches!(unit.ir.expr(value.expr), ExprKind::Name(NameRef::Binding(id))
                if value.module == module && project.parameter_of(module, *id).is_some())
        })
}

/// How bad a write is by what is written and when it is read.
fn judge(
    project: &Project,
    lives: &Lifetimes<'_>,
    write: &SharedWrite,
    origins: Origins,
    name: &str,
) -> Option<(Severity, Confidence, &'static str)> {
    let reads = lives.reads(project, &write.cell);
    let elsewhere = reads.iter().any(|(_, fun, _)| *fun != write.fun && !is_inside(project, *fun, write.fun));
    let unit = project.unit(write.fun.module)?;
    let later = reads.iter().any(|(_, fun, order)| {
        let inner = *fun != write.fun && is_inside(project, *fun, write.fun);
        inner
            || (*fun == write.fun
                && *order > write.order
                && unit.index.waits_between(write.fun.id, write.order, *order))
    });
    // A client of the server's own store that is made when it is needed first.
    let infrastructure = vocabulary::words(name).iter().any(|word| {
        matches!(word.as_str(), "storage" | "s3" | "bucket" | "redis" | "db" | "database" | "pool" | "prisma" | "queue" | "logger" | "manager" | "registry" | "hash" | "providers" | "catalog")
    });
    let owner = origins.has(Origins::PRINCIPAL | Origins::SECRET) && !infrastructure;
    let named = vocabulary::is_owner(name) || vocabulary::is_principal(name) || vocabulary::is_credential(name) || acts_with_credential(project, write.value);
    let setting = vocabulary::words(name).iter().any(|word| matches!(word.as_str(), "level" | "verbose" | "debug" | "timer" | "version" | "dimension" | "dimensions"));
    if setting {
        return None;
    }
    // `if (lastKey !== key) client = null`: it may still mix callers up that come at once, and is asked whose it is.
    let compared = matches!(write.cell, Cell::Binding(..)) && compares_what_it_keeps(unit, write.fun.id);
    // How much or how long, and not whose.
    let amount = vocabulary::words(name).iter().any(|word| matches!(word.as_str(), "rate" | "limit" | "seconds" | "timeout" | "ttl" | "retries" | "interval"));
    let (severity, confidence) = if compared || (amount && !vocabulary::is_credential(name)) {
        (Severity::Medium, Confidence::Medium)
    } else if owner || (named && !infrastructure && origins.has(Origins::OWNER | Origins::INPUT | Origins::UNVERIFIED)) {
        (Severity::High, Confidence::High)
    } else if origins.has(Origins::REQUEST) && !origins.has(Origins::INPUT | Origins::UNVERIFIED | Origins::SESSION) {
        (Severity::High, Confidence::Medium)
    } else {
        (Severity::Medium, Confidence::Medium)
    };
    if is_of_library(project, &write.cell) {
        return Some((severity.min(Severity::Medium), Confidence::Medium, ", and the library reads it for all of them"));
    }
    if is_ui_store(project, &write.cell) {
        return Some((severity.min(Severity::Medium), Confidence::Medium, ", and pages that are made for others read it"));
    }
    if later {
        return Some((severity, confidence, ", and read again after the function has waited"));
    }
    if elsewhere {
        return Some((severity, confidence, ", and read in another function"));
    }
    if is_handed_on(project, lives, write) {
        return Some((severity, confidence, ", and the object goes on to what reads it"));
    }
    // `if (!client) client = make(token)`: the test reads what an earlier request has left.
    let kept = write.keeps || reads.iter().any(|(_, fun, order)| *fun == write.fun && *order < write.order);
    let is_read = |expr: ExprId| reads.iter().any(|(at, ..)| at.module == write.value.module && at.expr == expr);
    let renewed = stands_where_renewed(unit, write.value.expr, &is_read, &project.roots(write.value));
    if kept && owner && !renewed {
        return Some((severity, confidence, ", and found there by the requests that follow"));
    }
    // Other threads come in between although nothing is waited for.
    let between = |order: u32| order > write.order && project.calls_between(write.fun, write.order, order);
    if project.runs_in_threads(write.fun) && reads.iter().any(|(_, fun, order)| *fun == write.fun && between(*order)) {
        return Some((severity, confidence, ", and read again while other threads answer other requests"));
    }
    let same_turn = reads.iter().any(|(_, fun, order)| *fun == write.fun && *order > write.order);
    same_turn.then_some((Severity::Low, Confidence::Medium, "; an `await` before it is read would mix callers up"))
}

/// Whether a value is made with what is named for a credential: `new Payroll(token)` acts for whoever brought it.
fn acts_with_credential(project: &Project, value: At) -> bool {
    let Some(unit) = project.unit(value.module) else { return false };
    let ExprKind::Call(call) = unit.ir.expr(value.expr) else { return false };
    call.args.iter().any(|arg| {
        let named = match unit.ir.expr(arg.value) {
            ExprKind::Name(NameRef::Binding(id)) => vocabulary::is_credential(unit.ir.binding_name(*id)),
            ExprKind::Member { property, .. } => vocabulary::is_credential(unit.ir.text(*property)),
            _ => false,
        };
        named && project.origins(value.to(arg.value)).has(Origins::INPUT | Origins::UNVERIFIED | Origins::SECRET)
    })
}

/// Whether the object that a property is set of is handed to a call afterwards, with all that is in it: `deps.state = body["state"]`,
/// `await agent.run(deps)`.
fn is_handed_on(project: &Project, lives: &Lifetimes<'_>, write: &SharedWrite) -> bool {
    let object = match &write.cell {
        Cell::Property(of, _) => Some(&**of),
        Cell::Field(..) => None,
        _ => return false,
    };
    let Some(unit) = project.unit(write.fun.module) else { return false };
    let whole = |expr: ExprId| {
        let at = At { module: write.fun.module, expr };
        matches!(unit.ir.expr(expr), ExprKind::Name(_) | ExprKind::Member { .. })
            && match (object, &write.cell) {
                (Some(object), _) => lives.cell(at).as_ref() == Some(object),
                (None, Cell::Field(class, _)) => !matches!(unit.ir.expr(expr), ExprKind::This) && lives.cell(at).is_some() && matches!(project.symbol(at), Symbol::Instance(of) if of == *class),
                _ => false,
            }
    };
    let mut found = false;
    walk::function_exprs(&unit.ir, write.fun.id, &mut |expr| {
        if let ExprKind::Call(call) = unit.ir.expr(expr) {
            found |= !found && unit.index.order(expr) > write.order && call.args.iter().any(|arg| whole(arg.value));
        }
    });
    found
}

/// How many variables a value is followed through that may be made of an object's own parts.
const OWN_STEPS: u32 = 4;

/// Names of libraries' objects of which each request has its own.
const OWN: &[&str] = &["g", "request", "session", "response", "context", "ctx", "local", "state", "current_app", "app", "pytest", "structlog"];

/// Whether a cell is a setting of a library that is imported, `openai.api_key`: its functions read it.
fn is_of_library(project: &Project, cell: &Cell) -> bool {
    let Cell::Property(of, name) = cell else { return false };
    let Cell::Binding(module, id) = &**of else { return false };
    let Some(unit) = project.unit(*module) else { return false };
    let imported = unit.ir.binding(*id).is_some_and(|binding| matches!(binding.kind, BindingKind::Import(_)));
    let outside = unit.index.uses(*id).first().is_some_and(|expr| {
        matches!(project.symbol(At { module: *module, expr: *expr }), Symbol::External { .. })
    });
    let tells = vocabulary::is_credential(name) || vocabulary::is_owner(name);
    imported && outside && tells && !OWN.contains(&unit.ir.binding_name(*id))
}

fn is_inside(project: &Project, fun: Fun, around: Fun) -> bool {
    project.around(fun).contains(&around)
}

/// Values that are no data: counters, timers, times, flags.
fn is_no_data(project: &Project, write: &SharedWrite) -> bool {
    let Some(unit) = project.unit(write.value.module) else { return true };
    let setter = unit.ir.function(write.fun.id).is_some_and(|function| function.kind == FunctionKind::Constructor);
    let timer = project.callee(write.value).is_some_and(|callee| {
        matches!(callee.name(), "setTimeout" | "setInterval" | "now" | "Date" | "Map" | "Set" | "AbortController")
    });
    // `done = response.ok || response.status === 401` says whether something is so.
    let flag = match unit.ir.expr(write.value.expr) {
        ExprKind::Logical { right, .. } => matches!(unit.ir.expr(*right), ExprKind::Compare { .. } | ExprKind::Bool(_)),
        ExprKind::Compare { .. } => true,
        _ => false,
    };
    // `next = (next + 1) % targets.length`: whose turn it is.
    let turn = match unit.ir.expr(write.value.expr) {
        ExprKind::Binary { op: BinaryOp::Rem, left, .. } => matches!(unit.ir.expr(*left), ExprKind::Binary { .. }),
        _ => false,
    };
    setter || timer || flag || turn
}

/// Whether a value is made of nothing but fields of the object that keeps it, `this.client = new Client(this.options)`: of its own
/// settings, and not of a request.
fn is_of_itself(project: &Project, write: &SharedWrite) -> bool {
    let (Some(unit), Cell::Field(..)) = (project.unit(write.value.module), &write.cell) else { return false };
    if !matches!(unit.ir.expr(write.value.expr), ExprKind::Call(_)) {
        return false;
    }
    let (mut own, mut other) = (false, false);
    walk::exprs_below(&unit.ir, write.value.expr, &mut |expr| match unit.ir.expr(expr) {
        ExprKind::This => own = true,
        ExprKind::Name(NameRef::Binding(id)) => other |= !unit.ir.is_module_level(*id),
        // A function that takes nothing of the request with it: `(async () => find(this.folders))()`.
        ExprKind::Function(id) => {
            other |= captured(project, write.value.to(expr)) != Origins::NONE;
            walk::function_exprs(&unit.ir, *id, &mut |inner| own |= matches!(unit.ir.expr(inner), ExprKind::This));
        }
        ExprKind::Await(_) => other = true,
        _ => {}
    });
    own && !other
}

fn is_environment(cell: &Cell) -> bool {
    match cell {
        Cell::Property(of, name) => name == "env" || is_environment(of),
        _ => false,
    }
}

fn name_of(project: &Project, cell: &Cell) -> String {
    match cell {
        Cell::Binding(module, id) => {
            project.unit(*module).map_or_else(String::new, |unit| unit.ir.binding_name(*id).to_owned())
        }
        // `latest[0]` is named for what it is a place of.
        Cell::Property(of, name) if name.starts_with(|char: char| char.is_ascii_digit()) => name_of(project, of),
        // `app["workspace"]["id"]` is the workspace's.
        Cell::Property(of, name) if name == "id" && matches!(**of, Cell::Property(..) | Cell::Binding(..)) => name_of(project, of),
        Cell::Field(_, name) | Cell::Property(_, name) => name.clone(),
        Cell::Global => "globalThis".to_owned(),
    }
}

const fn what(origins: Origins) -> &'static str {
    if origins.has(Origins::SECRET) {
        "a credential of the caller"
    } else if origins.has(Origins::PRINCIPAL.or(Origins::OWNER)) {
        "data of the caller"
    } else if origins.has(Origins::REQUEST) {
        "something of the request"
    } else {
        "what the caller sent"
    }
}
