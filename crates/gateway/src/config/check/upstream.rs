//! `[[upstream]]`: what must hold of each existing MCP server, and of all of them together.

use partywall_model::TenantId;

use super::{Found, names, tool::of_one_tenant};
use crate::{
    config::{Config, UpstreamConfig, UpstreamLimits, UpstreamNetwork},
    guards::credentials::SecretName,
    upstream::{HttpUpstream, reach},
};

/// The most servers, and the most arguments and variables of one.
const MOST_SERVERS: usize = 32;
const MOST_WORDS: usize = 128;
/// The longest argument or value.
const LONGEST: usize = 4096;

pub(super) fn check_upstreams(config: &Config, found: &mut Found) {
    for (i, upstream) in config.upstreams.iter().enumerate() {
        found.at = Some(upstream.span().start);
        let upstream = upstream.get_ref();
        let start = found.problems.len();
        found.say_unless(
            i < MOST_SERVERS,
            "name",
            format!("is one of more than {MOST_SERVERS}; remove some"),
        );
        let others = config.upstreams.iter().take(i).map(|other| other.get_ref().name.as_str());
        check_name(upstream, others, config, found);
        check_upstream(upstream, config, found);
        for problem in found.problems.iter_mut().skip(start) {
            problem.text = format!("upstream `{}`: {}", upstream.name, problem.text);
        }
    }
    found.at = None;
}

/// Every name of a tool must say which server it is of.
fn check_name<'c>(
    upstream: &UpstreamConfig,
    others: impl Iterator<Item = &'c str>,
    config: &Config,
    found: &mut Found,
) {
    let name = &upstream.name;
    found.say_unless(
        names::is_source_name(name) && name.len() <= 32,
        "name",
        "must have 1 to 32 of the characters a-z 0-9 _ - and begin with a letter",
    );
    let prefix = format!("{name}_");
    for other in others {
        let theirs = format!("{other}_");
        let meet = prefix.starts_with(&theirs) || theirs.starts_with(&prefix);
        found.say_unless(
            !meet,
            "name",
            format!("and that of `{other}` can begin the same tool's name; rename one"),
        );
    }
    if let Some(tool) = config.tools.iter().find(|tool| tool.get_ref().name.starts_with(&prefix)) {
        let tool = &tool.get_ref().name;
        found.say("name", format!("begins the name of the tool `{tool}` too; rename one of them"));
    }
}

fn check_upstream(upstream: &UpstreamConfig, config: &Config, found: &mut Found) {
    match (&upstream.command, &upstream.url) {
        (Some(command), None) => check_command(upstream, command, config, found),
        (None, Some(url)) => check_url(upstream, url, config, found),
        (Some(_), Some(_)) => found.say("url", "an upstream has either `command` or `url`; keep one of them"),
        (None, None) => {
            found.say("command", "is missing; write `command = [\"PROGRAM\", …]`, or `url = \"https://…\"`");
        }
    }
    if let Some(scope) = &upstream.scope {
        found.say_unless(
            names::is_scope(scope),
            "scope",
            "must be one scope: visible ASCII characters without spaces, `\"` and `\\`",
        );
    }
    for tenant in upstream.tenants.iter().flatten() {
        let valid = TenantId::parse(tenant).is_ok();
        found.say_unless(valid, "tenants", format!("`{tenant}` is no tenant id; correct it"));
    }
    for tool in upstream.tools.iter().flatten() {
        let whole = format!("{}_{tool}", upstream.name);
        found.say_unless(
            names::is_tool_name(&whole) && !tool.is_empty(),
            "tools",
            format!(
                "`{tool}` cannot be offered: `{whole}` must have 1 to 64 of the characters A-Z a-z 0-9 _ -"
            ),
        );
    }
    if let Some(timeout) = upstream.timeout {
        found.duration("timeout", timeout);
    }
    check_limits(upstream, found);
    check_pins(upstream, config, found);
}

fn check_limits(upstream: &UpstreamConfig, found: &mut Found) {
    let limits = &upstream.limits;
    found.number("limits.memory", limits.memory.0, 16 << 20, 64 << 30);
    found.number("limits.processes", limits.processes, 1, 4096);
    found.duration("limits.idle", limits.idle);
    found.duration("limits.start", limits.start);
}

fn check_command(upstream: &UpstreamConfig, command: &[String], config: &Config, found: &mut Found) {
    let program = command.first().map_or("", String::as_str);
    found.say_unless(!program.is_empty(), "command", "must begin with a program");
    found.say_unless(
        !program.contains(['{', '}']),
        "command",
        "the program is the same for every tenant; placeholders may stand in its arguments",
    );
    found.say_unless(command.len() <= MOST_WORDS, "command", format!("has at most {MOST_WORDS} words"));
    for word in command {
        check_text(word, "command", NO_ARGUMENT, found);
    }
    found.say_unless(upstream.env.len() <= MOST_WORDS, "env", format!("has at most {MOST_WORDS} variables"));
    for (name, value) in &upstream.env {
        let key = format!("env.{name}");
        found.say_unless(
            names::is_arg_name(name),
            &key,
            "is no variable's name; write letters, digits and _",
        );
        found.say_unless(
            !OURS.contains(&name.as_str()),
            &key,
            "is set by the gateway to a folder of the tenant's; remove it",
        );
        // It says which programs run, and what may be read beside them.
        found.say_unless(
            name != "PATH" || !value.starts_with("secret:"),
            &key,
            "is the same for every tenant; write the folders",
        );
        match value.strip_prefix("secret:") {
            Some(secret) => check_secret(secret, &key, found),
            None => check_text(value, &key, NO_PART, found),
        }
    }
    let ports = upstream.network.connect.iter().flatten();
    found.say_unless(
        ports.count() <= MOST_WORDS,
        "network.connect",
        format!("has at most {MOST_WORDS} ports"),
    );
    found.say_unless(upstream.auth.is_none(), "auth", "is for `url`; use `env` with `secret:NAME`");
    found.say_unless(upstream.read.len() <= MOST_WORDS, "read", format!("has at most {MOST_WORDS} folders"));
    if let Some((key, exposed)) = reach::declared(upstream, config) {
        found.say(key, exposed);
    }
}

/// Where a secret cannot be.
const NO_ARGUMENT: &str =
    "a secret cannot be an argument: it would stand in the list of processes; put it into `env`";
const NO_PART: &str = "a secret cannot be a part of a text, which would be passed on as it is; write `secret:NAME` and nothing \
                       else, and set the whole text as the tenant's value";

/// Variables that say where a process may write.
const OURS: [&str; 4] = ["HOME", "TMPDIR", "TMP", "TEMP"];

/// A text in which placeholders may stand, and that is the same for all tenants otherwise.
fn check_text(text: &str, key: &str, secret: &str, found: &mut Found) {
    found.say_unless(text.len() <= LONGEST, key, format!("is longer than {LONGEST} characters"));
    found.say_unless(!text.contains('\0'), key, "contains a NUL character");
    if refers(text, "env:") || refers(text, "file:") {
        found.say(
            key,
            "would be one value for all tenants; write `secret:NAME`, which each tenant has a value of its own for, or the \
             text itself",
        );
    }
    if refers(text, "secret:") {
        found.say(key, secret);
    }
    for name in placeholders(text) {
        found.say_unless(
            matches!(name, "tenant" | "tenant_dir"),
            key,
            format!("`{{{name}}}` stands for nothing; there are `{{tenant}}` and `{{tenant_dir}}`"),
        );
    }
}

/// Whether a text seems to name a value that stands elsewhere, by itself or among other words.
fn refers(text: &str, kind: &str) -> bool {
    let of_word = |char: char| char.is_ascii_alphanumeric() || matches!(char, '_' | '-' | '.');
    text.match_indices(kind).any(|(at, _)| {
        let (before, rest) =
            (text.get(..at).unwrap_or_default(), text.get(at + kind.len()..).unwrap_or_default());
        // Some are parts of other words, and `file:` begins URLs too.
        let url = kind == "file:" && (rest.starts_with("//") || rest.starts_with('{'));
        !before.ends_with(of_word) && rest.starts_with(|char| of_word(char) || char == '/') && !url
    })
}

/// What looks like a placeholder: a word in braces, with what stands around it there.
fn placeholders(text: &str) -> impl Iterator<Item = &str> {
    text.split('{').skip(1).filter_map(|rest| {
        let (name, _) = rest.split_once('}')?;
        let word = name.trim();
        let begins = word.starts_with(|first: char| first.is_ascii_alphabetic() || first == '_');
        let is_word = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'.');
        (begins && word.len() <= 64 && word.bytes().all(is_word)).then_some(name)
    })
}

fn check_url(upstream: &UpstreamConfig, url: &str, config: &Config, found: &mut Found) {
    if let Err(error) = HttpUpstream::compile(url, upstream.auth.as_ref(), &config.http) {
        found.problems.push(super::Problem { at: found.at, text: error.to_string() });
    }
    found.say_unless(upstream.env.is_empty(), "env", "is for `command`; use `auth`");
    found.say_unless(upstream.read.is_empty(), "read", "is for `command`; remove it");
    let anywhere = upstream.network == UpstreamNetwork::default();
    found.say_unless(anywhere, "network", "is for `command`; remove it");
    if refers(url, "secret:") || placeholders(url).next().is_some() {
        found.say(
            "url",
            "is the same for every tenant, and no secret or placeholder stands for anything in it; tell tenants apart with `auth` \
             or `pin`",
        );
    }
    let (limits, default) = (&upstream.limits, UpstreamLimits::default());
    for (key, given) in [
        ("limits.memory", limits.memory.0 != default.memory.0),
        ("limits.processes", limits.processes != default.processes),
    ] {
        found.say_unless(!given, key, "is for `command`; remove it");
    }
}

fn check_secret(name: &str, key: &str, found: &mut Found) {
    found.say_unless(
        SecretName::parse(name).is_ok(),
        key,
        "must be `secret:NAME`, where NAME is 1 to 64 of A-Z a-z 0-9 . _ - and names a secret that each tenant sets",
    );
}

fn check_pins(upstream: &UpstreamConfig, config: &Config, found: &mut Found) {
    found.say_unless(upstream.pin.len() <= MOST_WORDS, "pin", format!("has at most {MOST_WORDS} arguments"));
    for (argument, value) in &upstream.pin {
        let key = format!("pin.{argument}");
        found.say_unless(
            !argument.is_empty() && argument.len() <= 128,
            &key,
            "an argument's name has 1 to 128 characters",
        );
        match value.split_once(':') {
            None if value == "tenant" => {}
            None if value == "subject" => check_subject(&key, config, found),
            Some(("secret", name)) => check_secret(name, &key, found),
            Some(("text", text)) => {
                found.say_unless(text.len() <= LONGEST, &key, format!("is longer than {LONGEST} characters"));
                found.say_unless(!refers(text, "secret:"), &key, NO_PART);
                for name in placeholders(text)
                    .filter(|name| matches!(name.trim(), "tenant" | "subject" | "tenant_dir"))
                {
                    found.say(
                        &key,
                        format!("`{{{name}}}` stands for nothing in it; write `tenant` or `subject` alone"),
                    );
                }
            }
            _ => found.say(&key, "must be `tenant`, `subject`, `secret:NAME`, or `text:` and a text"),
        }
    }
}

/// A subject is somebody at one issuer; a server sees nothing of issuers.
fn check_subject(key: &str, config: &Config, found: &mut Found) {
    if let Some((one, other)) = of_one_tenant(&config.identity.issuers) {
        found.say(
            key,
            format!(
                "is `subject`, and `{}` and `{}` may both name callers of one tenant, so that two callers are the same to the \
                 server; pin `tenant` or `secret:NAME`, or give each issuer tenants of its own with `tenant` or `tenant_map`",
                one.issuer, other.issuer
            ),
        );
    }
}
