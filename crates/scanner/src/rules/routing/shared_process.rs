//! A bridge from standard input to the network that runs one process for all of its clients.

use partywall_model::{Axis, Check, Confidence, Finding, Layer, Maps, Severity};

use crate::{
    ir::{ExprId, ExprKind, Module, Span, TemplatePart},
    project::{At, ModuleId, Project},
    rules::{Report, Rule},
};

/// The rule.
pub const RULE: Rule = Rule {
    check: Check {
        id: "shared-process",
        layer: Layer::Routing,
        summary: "A bridge runs one process for all clients and writes each of its answers to all of them.",
    },
    severity: Severity::Medium,
    axis: Axis::Security,
    why: WHY,
    fix: FIX,
    cwe: CWE,
    soc2: SOC2,
    owasp: OWASP,
    markdown: include_str!("shared_process.md"),
    run,
};

const WHY: &str = "The process speaks standard input and output, on which there is one client. The bridge writes what all clients ask \
                   into it and each answer to every client, whose ids are the same small numbers: whoever listens reads what the \
                   others were told, and takes their answer for its own.";
const FIX: &str = "Start a process for each session (`--outputTransport streamableHttp --stateful`), and one bridge for each tenant \
                   where the process has data of its own.";
const CWE: &[&str] = &["CWE-488", "CWE-668"];
const SOC2: &[&str] = &["CC6.1"];
const OWASP: &[&str] = &["A01:2021"];

const MESSAGE: &str = "all clients of this bridge share one process, and each reads what it answers to the others";

/// Programs that do it where nothing else is said, and what says it. Their images and forks have the same last name.
struct Bridge {
    program: &'static str,
    /// What tells that it is in front of a process, and not a client.
    serves: &'static str,
    /// What chooses how it speaks to clients.
    output: &'static str,
    /// The value with which all share the process, which is the default.
    shared: &'static str,
}

const BRIDGES: &[Bridge] =
    &[Bridge { program: crate::marks::BRIDGE, serves: "--stdio", output: "--outputTransport", shared: "sse" }];

/// Functions that start a program.
const STARTS: &[&str] = &[
    "spawn", "spawnSync", "exec", "execSync", "execFile", "execFileSync", "execa", "execaCommand", "fork", "run", "Popen",
    "call", "check_call", "check_output", "system", "create_subprocess_exec", "create_subprocess_shell",
];

impl Bridge {
    /// Where a text names the program, as a word or as the last part of a path or an image.
    fn named(&self, text: &str) -> Option<usize> {
        let part = |char: char| char.is_alphanumeric() || matches!(char, '-' | '_' | '.');
        text.match_indices(self.program).map(|(at, _)| at).find(|at| {
            let (before, after) = text.split_at(*at);
            let after = after.get(self.program.len()..).unwrap_or_default();
            !before.ends_with(part) && !after.starts_with(part)
        })
    }

    /// Whether a text that starts the program, or all texts of what does, lets clients share a process.
    fn shares(&self, text: &str) -> bool {
        let word = |at: usize, word: &str| {
            let after = text.get(at + word.len()..).unwrap_or_default();
            !after.starts_with(|char: char| char.is_alphanumeric() || char == '-')
        };
        let serves = text.match_indices(self.serves).any(|(at, found)| word(at, found));
        let apart = text.match_indices(self.output).any(|(at, found)| {
            let value = text.get(at + found.len()..).unwrap_or_default();
            !value.trim_start_matches(|char: char| !char.is_alphanumeric() && char != '$').starts_with(self.shared)
        });
        serves && !apart
    }
}

fn run(project: &Project, report: &mut Report<'_>) {
    for (module, unit) in project.units() {
        for bridge in BRIDGES.iter().filter(|bridge| unit.ir.source.mentions(bridge.program)) {
            let Some(span) = started(project, module, &unit.ir, bridge) else { continue };
            if bridge.shares(&texts(&unit.ir)) {
                report.add(module, span, MESSAGE);
            }
        }
    }
}

/// Where a module starts a bridge: it is imported, is one of the words of a command, or stands in the text of one.
fn started(project: &Project, id: ModuleId, module: &Module, bridge: &Bridge) -> Option<Span> {
    let is_program = |text: &str| !text.contains(char::is_whitespace) && bridge.named(text).is_some();
    let imported = module.imports.iter().find(|import| {
        let specifier = module.text(import.specifier);
        !import.type_only && !specifier.starts_with('.') && is_program(specifier)
    });
    if let Some(import) = imported {
        return Some(import.span);
    }
    module.exprs().find_map(|(at, expr)| {
        let found = match expr {
            ExprKind::Import(specifier) => {
                text(module, *specifier).filter(|text| is_program(text)).map(|_| *specifier)
            }
            ExprKind::Array { items, .. } => {
                items.iter().copied().find(|item| text(module, *item).is_some_and(is_program))
            }
            ExprKind::Call(call) if starts(project, At { module: id, expr: at }) => call
                .args
                .iter()
                .map(|arg| arg.value)
                .find(|arg| text(module, *arg).is_some_and(|text| bridge.named(text).is_some())),
            _ => None,
        };
        found.map(|found| module.span(found))
    })
}

/// Whether a call starts a program.
fn starts(project: &Project, call: At) -> bool {
    project.callee(call).is_some_and(|callee| STARTS.contains(&callee.name()))
}

/// A text that stands in the code: of a template its first part.
fn text(module: &Module, expr: ExprId) -> Option<&str> {
    match module.expr(expr) {
        ExprKind::String(text) => Some(module.text(*text)),
        ExprKind::Template(parts) => match parts.first() {
            Some(TemplatePart::Text(text)) => Some(module.text(*text)),
            _ => None,
        },
        _ => None,
    }
}

/// All texts of a module, each in a line.
fn texts(module: &Module) -> String {
    let mut all = String::new();
    for (_, expr) in module.exprs() {
        match expr {
            ExprKind::String(text) => all.push_str(module.text(*text)),
            ExprKind::Template(parts) => parts.iter().for_each(|part| match part {
                TemplatePart::Text(text) => all.push_str(module.text(*text)),
                TemplatePart::Value(_) => all.push('$'),
            }),
            _ => continue,
        }
        all.push('\n');
    }
    all
}

/// Looks at files that start programs: scripts of a package, images, services, shell scripts.
#[must_use]
pub fn check(files: &[(&str, &str)]) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (path, text) in files {
        for bridge in BRIDGES.iter().filter(|bridge| text.contains(bridge.program)) {
            findings.extend(launched(path, text, bridge).map(|line| finding(path, line)));
        }
    }
    findings
}

/// The line on which a file starts a bridge whose clients share a process.
fn launched(path: &str, text: &str, bridge: &Bridge) -> Option<u32> {
    let name = path.rsplit('/').next().unwrap_or(path);
    let commands: Vec<(u32, String)> = commands(text).collect();
    if name == "package.json" {
        let scripts = text.find("\"scripts\"")?;
        let first = u32::try_from(text.get(..scripts)?.matches('\n').count()).ok()?;
        let package: serde_json::Value = serde_json::from_str(text).ok()?;
        let scripts = package.get("scripts")?.as_object()?;
        let (key, _) = scripts.iter().find(|(_, script)| {
            script.as_str().is_some_and(|script| bridge.named(script).is_some() && bridge.shares(script))
        })?;
        let key = format!("\"{key}\"");
        return commands.into_iter().find(|(line, text)| *line > first && text.contains(&key)).map(|(line, _)| line);
    }
    let named = |text: &str| bridge.named(text).is_some();
    // A shell script may start several; an image and its services say in several lines how one is started.
    if std::path::Path::new(name).extension().is_some_and(|extension| extension == "sh") || name == "Procfile" {
        return commands.into_iter().find(|(_, text)| named(text) && bridge.shares(text)).map(|(line, _)| line);
    }
    let runs: Vec<&(u32, String)> =
        commands.iter().filter(|(_, text)| !text.trim_start().starts_with("RUN ")).collect();
    let whole: String = runs.iter().map(|(_, text)| format!("{text}\n")).collect();
    let line = runs.iter().find(|(_, text)| named(text))?.0;
    (named(&whole) && bridge.shares(&whole)).then_some(line)
}

/// The lines of a file with their numbers, without comments; what goes on behind a backslash is one line.
fn commands(text: &str) -> impl Iterator<Item = (u32, String)> {
    let mut commands: Vec<(u32, String)> = Vec::new();
    let mut goes_on = false;
    for (number, line) in (1_u32..).zip(text.lines()) {
        if line.trim_start().starts_with('#') {
            continue;
        }
        let part = line.trim_end().trim_end_matches('\\');
        match commands.last_mut().filter(|_| goes_on) {
            Some((_, command)) => command.push_str(part),
            None => commands.push((number, part.to_owned())),
        }
        goes_on = line.trim_end().ends_with('\\');
    }
    commands.into_iter()
}

fn finding(path: &str, line: u32) -> Finding {
    let owned = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
    Finding {
        rule: RULE.check.id.to_owned(),
        layer: Layer::Routing,
        axis: RULE.axis,
        severity: RULE.severity,
        confidence: Confidence::High,
        path: path.to_owned(),
        line,
        column: 1,
        end_line: line,
        message: MESSAGE.to_owned(),
        why: WHY.to_owned(),
        fix: FIX.to_owned(),
        related: Vec::new(),
        fingerprint: String::new(),
        maps: Maps { cwe: owned(CWE), soc2: owned(SOC2), owasp: owned(OWASP) },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(path: &str, text: &str) -> Option<u32> {
        check(&[(path, text)]).first().map(|finding| finding.line)
    }

    #[test]
    fn an_image_a_service_and_a_script_are_read() {
        for (path, text, wanted) in [
            (
                "Dockerfile",
                "FROM node:22\nRUN npm i -g supergateway\nCMD [\"supergateway\", \"--stdio\", \"node a.js\"]\n",
                Some(3),
            ),
            ("Dockerfile", "FROM supercorp/supergateway:latest\nCMD [\"--stdio\", \"node a.js\", \"--port\", \"80\"]\n", Some(1)),
            ("a/b.Dockerfile", "ENTRYPOINT [\"supergateway\"]\nCMD [\"--stdio\", \"a\", \"--outputTransport\", \"sse\"]\n", Some(1)),
            ("compose.yaml", "services:\n  a:\n    command: npx -y supergateway@4 --stdio 'node a.js'\n", Some(3)),
            ("Procfile", "web: npx -y supergateway --port $PORT --stdio \"node a.js\"\n", Some(1)),
            ("start.sh", "set -e\nnpx supergateway \\\n  --stdio ./run.sh \\\n  --port 80\n", Some(2)),
            ("package.json", "{\n\"scripts\": {\n\"start\": \"supergateway --stdio 'node a.js'\"}}", Some(3)),
        ] {
            assert_eq!(line(path, text), wanted, "{path}: {text}");
        }
    }

    #[test]
    fn a_process_for_each_session_a_client_and_what_is_only_installed_are_nothing() {
        for (path, text) in [
            ("Dockerfile", "CMD [\"supergateway\", \"--stdio\", \"a\", \"--outputTransport\", \"streamableHttp\"]\n"),
            ("Dockerfile", "RUN npm i -g supergateway\nCMD [\"node\", \"a.js\", \"--stdio\"]\n"),
            ("Dockerfile", "ENTRYPOINT [\"supergateway\"]\nCMD [\"--help\"]\n"),
            ("compose.yaml", "a:\n  command:\n    - supergateway\n    - --stdio\n    - a\n    - --outputTransport\n    - ws\n"),
            ("start.sh", "npx supergateway --sse https://a.example/sse\n"),
            ("start.sh", "npx supergateway --stdio a --outputTransport $KIND\n"),
            ("start.sh", "# npx supergateway --stdio a\nnpx my-supergateway --stdio a\n"),
            ("package.json", "{\"dependencies\": {\"supergateway\": \"4.0.0\"}, \"scripts\": {\"start\": \"node a.js --stdio\"}}"),
        ] {
            assert_eq!(line(path, text), None, "{path}: {text}");
        }
    }
}
