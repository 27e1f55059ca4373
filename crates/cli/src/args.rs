//! The command line.

use std::{path::PathBuf, time::Duration};

use clap::{Args, Parser, Subcommand, ValueEnum};
use clap_complete::Shell;

use crate::{
    check::{CheckArguments, RlsArguments},
    probe::{ProbeArguments, ProbesArguments},
    report::ReportArguments,
    scan::{Explain, RulesArguments, ScanArguments},
};

/// Serve many tenants from one MCP server, and show that they cannot see each other.
#[derive(Parser)]
#[command(name = "partywall", version, arg_required_else_help = true, max_term_width = 100)]
#[command(
    after_help = "Start here:\n  partywall demo\n\nThen:\n  partywall serve --config partywall.toml --check\n  partywall scan path/to/server\n  partywall matrix"
)]
pub(crate) struct Arguments {
    /// Say more (-v, -vv).
    #[arg(short, long, action = clap::ArgAction::Count, global = true, conflicts_with = "quiet")]
    pub(crate) verbose: u8,
    /// Say nothing beside the report that was asked for, and errors.
    #[arg(short, long, global = true)]
    pub(crate) quiet: bool,
    /// When to use colour.
    #[arg(long, value_enum, default_value_t = Color::Auto, global = true)]
    pub(crate) color: Color,
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Color {
    Auto,
    Always,
    Never,
}

#[derive(Subcommand)]
pub(crate) enum Command {
    /// Serve an example with two tenants; nothing to install or to configure.
    #[command(after_help = "Examples:\n  partywall demo\n  partywall demo --port 0 --json --dir /tmp/demo")]
    Demo(Demo),
    /// Serve the tools of a configuration file.
    #[command(
        after_help = "Examples:\n  partywall serve --config partywall.toml\n  partywall serve --config partywall.toml --check\n\nSignals:\n  SIGHUP           reads the configuration again; one that is not good changes nothing\n  SIGINT, SIGTERM  lets open calls end, then exits; a second one exits at once"
    )]
    Serve(Serve),
    /// Add, list, suspend and remove tenants.
    #[command(
        after_help = "Examples:\n  partywall tenant add acme\n  partywall tenant suspend acme\n  partywall tenant remove acme --yes"
    )]
    Tenant(Tenant),
    /// Set, list and remove the secrets of a tenant.
    #[command(
        after_help = "Examples:\n  partywall secret set acme crm_api_key < key.txt\n  partywall secret list acme"
    )]
    Secret(Secret),
    /// Print a token of the development issuer.
    #[command(after_help = "Example:\n  partywall token --tenant acme --subject alice --ttl 1h")]
    Token(Token),
    /// Read the audit log, or check that nothing in it was changed or cut off.
    #[command(
        after_help = "Examples:\n  partywall audit tail --tenant acme\n  partywall audit tail --follow\n  partywall audit verify\n\nverify ends with status 1 when a log is damaged."
    )]
    Audit(Audit),
    /// Find isolation failures in the source of MCP servers.
    #[command(
        after_help = "Examples:\n  partywall scan\n  partywall scan path/to/server --fail-on medium\n  partywall scan --format sarif=out.sarif --format html=report.html\n  partywall scan --write-baseline partywall-baseline.json\n  partywall scan --mcp path/to/server\n\nExit status: 0 nothing at or above --fail-on, 1 findings, 2 could not run."
    )]
    Scan(ScanArguments),
    /// Attack a running MCP server as two tenants, and show whether they can meet.
    #[command(
        after_help = "Examples:\n  partywall probe http://127.0.0.1:8787/mcp --tenant acme=@acme.token --tenant globex=env:GLOBEX_TOKEN\n  partywall probe URL --tenant a=@a --tenant b=@b --quick\n  partywall probe URL --tenant a=@a --tenant b=@b --seed seeds.toml --format html=probe.html\n\nIt reads only, unless --allow-writes: it calls tools that say so (readOnlyHint) or whose names begin with a verb that reads,\nand sends reading statements to tools that take SQL and do not say that they write. Tokens are sent to the target and shown nowhere.\n\nExit status: 0 nothing leaked, 1 something leaked, 2 could not run."
    )]
    Probe(ProbeArguments),
    /// Check whether a PostgreSQL database, or a configuration, keeps tenants apart.
    #[command(
        after_help = "Examples:\n  partywall check --database env:DATABASE_URL --role app\n  partywall check --database env:DATABASE_URL --role app --fix\n  partywall check --config partywall.toml\n\nExit status: 0 nothing at or above --fail-on, 1 findings, 2 could not run."
    )]
    Check(CheckArguments),
    /// Print a migration that makes a PostgreSQL table keep tenants apart.
    #[command(
        after_help = "Examples:\n  partywall rls --table orders --tenant-column tenant_id > migration.sql\n  partywall rls --table shop.orders --tenant-column org_id --database env:DATABASE_URL"
    )]
    Rls(RlsArguments),
    /// Print the page of a rule or probe.
    #[command(after_help = "Example:\n  partywall explain rls-not-enabled")]
    Explain(Explain),
    /// List the rules of the scanner.
    #[command(after_help = "Examples:\n  partywall rules\n  partywall rules --format json")]
    Rules(RulesArguments),
    /// List the probes and their techniques.
    #[command(after_help = "Examples:\n  partywall probes\n  partywall probes --format json")]
    Probes(ProbesArguments),
    /// Merge what scan, probe, check and audit said into one bundle of evidence.
    #[command(
        after_help = "Examples:\n  partywall report --demo\n  partywall report scan.json probe.json check.json --commit $(git rev-parse HEAD)\n  partywall report probe.json --output evidence.html\n\nExit status: 0 nothing found, 1 something found or leaked, or an audit log is damaged, 2 could not run, or a run was not complete."
    )]
    Report(ReportArguments),
    /// Print what each face has for each layer.
    #[command(after_help = "Example:\n  partywall matrix")]
    Matrix,
    /// Print the JSON Schema of a document.
    #[command(after_help = "Example:\n  partywall schema config > partywall.schema.json")]
    Schema {
        /// Which document.
        document: Document,
    },
    /// Print a completion script for a shell.
    #[command(after_help = "Example:\n  partywall completions bash > /etc/bash_completion.d/partywall")]
    Completions {
        /// The shell.
        shell: Shell,
    },
}

#[derive(Clone, Copy, ValueEnum)]
pub(crate) enum Document {
    /// `partywall.toml`
    Config,
    /// What scan and check print with `--format json`
    Findings,
    /// What probe prints with `--format json`
    Verdicts,
    /// What report writes as JSON
    Report,
}

#[derive(Args)]
pub(crate) struct Demo {
    /// The port; 0 takes a free one.
    #[arg(long, default_value_t = 8787)]
    pub(crate) port: u16,
    /// The folder for the demo's files; used again if it is there.
    #[arg(long, default_value = "partywall-demo")]
    pub(crate) dir: PathBuf,
    /// Print one line of JSON when ready, and nothing else.
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Args)]
pub(crate) struct ConfigFile {
    /// The configuration file.
    #[arg(long, default_value = "partywall.toml")]
    pub(crate) config: PathBuf,
}

#[derive(Args)]
pub(crate) struct Serve {
    #[command(flatten)]
    pub(crate) file: ConfigFile,
    /// Load and check everything, then exit.
    #[arg(long)]
    pub(crate) check: bool,
    /// Serve one tenant on standard input and output instead of a port.
    #[arg(long, requires = "tenant", conflicts_with = "check")]
    pub(crate) stdio: bool,
    /// The tenant, with --stdio.
    #[arg(long, requires = "stdio")]
    pub(crate) tenant: Option<String>,
}

#[derive(Args)]
pub(crate) struct Tenant {
    #[command(subcommand)]
    pub(crate) action: TenantAction,
    #[command(flatten)]
    pub(crate) file: GlobalConfigFile,
}

#[derive(Args)]
pub(crate) struct GlobalConfigFile {
    /// The configuration file, which says where the data is.
    #[arg(long, default_value = "partywall.toml", global = true)]
    pub(crate) config: PathBuf,
}

#[derive(Subcommand)]
pub(crate) enum TenantAction {
    /// Add a tenant, or many: all of them or none.
    #[command(
        after_help = "Examples:\n  partywall tenant add acme globex\n  cut -d, -f1 customers.csv | partywall tenant add -"
    )]
    Add {
        /// 1 to 64 of A-Z a-z 0-9 . _ -; a single `-` reads the ids from standard input, one a line
        #[arg(required = true)]
        ids: Vec<String>,
        /// With PostgreSQL: take an id that was removed before, whose rows were deleted or are to be the new tenant's.
        #[arg(long)]
        reuse_rows: bool,
    },
    /// List the tenants.
    #[command(after_help = "Examples:\n  partywall tenant list\n  partywall tenant list --json")]
    List {
        /// Print JSON, one tenant a line.
        #[arg(long)]
        json: bool,
    },
    /// Show one tenant.
    #[command(after_help = "Example:\n  partywall tenant show acme")]
    Show {
        /// The tenant.
        id: String,
    },
    /// Refuse a tenant's requests from the next one on.
    #[command(after_help = "Example:\n  partywall tenant suspend acme")]
    Suspend {
        /// The tenant.
        id: String,
    },
    /// Serve a suspended tenant again.
    #[command(after_help = "Example:\n  partywall tenant resume acme")]
    Resume {
        /// The tenant.
        id: String,
    },
    /// Delete a tenant with its data and secrets; the audit log stays.
    #[command(
        after_help = "Examples:\n  partywall tenant remove acme\n  partywall tenant remove acme --yes\n\nWithout --yes it asks, at a terminal; elsewhere --yes is needed."
    )]
    Remove {
        /// The tenant.
        id: String,
        /// Do it without asking: there is no way back.
        #[arg(long)]
        yes: bool,
    },
}

#[derive(Args)]
pub(crate) struct Secret {
    #[command(subcommand)]
    pub(crate) action: SecretAction,
    #[command(flatten)]
    pub(crate) file: GlobalConfigFile,
}

#[derive(Subcommand)]
pub(crate) enum SecretAction {
    /// Set a secret; the value is read from standard input, and one line break at its end is left out.
    #[command(
        override_usage = "partywall secret set [OPTIONS] <TENANT> <NAME>",
        after_help = "Example:\n  partywall secret set acme crm_api_key < key.txt"
    )]
    Set {
        /// The tenant.
        tenant: String,
        /// The secret's name, as tools use it: secret:NAME
        name: String,
        /// A value that was given by mistake, so that it is not shown.
        #[arg(hide = true, allow_hyphen_values = true)]
        value: Vec<String>,
    },
    /// List the names of a tenant's secrets.
    #[command(after_help = "Example:\n  partywall secret list acme")]
    List {
        /// The tenant.
        tenant: String,
    },
    /// Give a tenant a new key and seal its secrets anew.
    #[command(after_help = "Example:\n  partywall secret rotate acme")]
    Rotate {
        /// The tenant.
        tenant: String,
    },
    /// Remove a secret.
    #[command(after_help = "Example:\n  partywall secret remove acme crm_api_key")]
    Remove {
        /// The tenant.
        tenant: String,
        /// The secret's name.
        name: String,
    },
}

#[derive(Args)]
pub(crate) struct Audit {
    #[command(subcommand)]
    pub(crate) action: AuditAction,
    #[command(flatten)]
    pub(crate) file: GlobalConfigFile,
}

#[derive(Subcommand)]
pub(crate) enum AuditAction {
    /// Print the last lines.
    #[command(
        after_help = "Examples:\n  partywall audit tail --tenant acme -n 50\n  partywall audit tail --follow --json"
    )]
    Tail {
        /// One tenant's lines; requests without a tenant are under -unattributed.
        #[arg(long, allow_hyphen_values = true)]
        tenant: Option<String>,
        /// How many lines.
        #[arg(short = 'n', long, default_value_t = 20, value_parser = clap::value_parser!(u32).range(0..=100_000))]
        lines: u32,
        /// Go on with lines as they are written, until Ctrl-C.
        #[arg(short, long)]
        follow: bool,
        /// Print the lines as they stand in the log.
        #[arg(long)]
        json: bool,
    },
    /// Check the chain of every line, and that the last one written is there.
    #[command(
        after_help = "Examples:\n  partywall audit verify\n  partywall audit verify --tenant acme --json > audit.json\n\nExit status: 0 whole, 1 damaged, 2 could not run."
    )]
    Verify {
        /// One tenant's log only.
        #[arg(long, allow_hyphen_values = true)]
        tenant: Option<String>,
        /// Print JSON, one log a line.
        #[arg(long)]
        json: bool,
    },
}

#[derive(Args)]
pub(crate) struct Token {
    #[command(flatten)]
    pub(crate) file: ConfigFile,
    /// The tenant; `-` reads tenants from standard input, one a line, and prints a token for each.
    #[arg(long)]
    pub(crate) tenant: String,
    /// The caller's name.
    #[arg(long)]
    pub(crate) subject: String,
    /// Scopes, separated by spaces.
    #[arg(long, default_value = "")]
    pub(crate) scope: String,
    /// How long the token is good, at most a day.
    #[arg(long, default_value = "1h", value_parser = duration)]
    pub(crate) ttl: Duration,
}

fn duration(text: &str) -> Result<Duration, String> {
    let ttl =
        humantime::parse_duration(text).map_err(|error| format!("{error}; write for example 1h or 30m"))?;
    if ttl.is_zero() || ttl > Duration::from_secs(86_400) {
        return Err("a token is good for at most a day (24h)".to_owned());
    }
    Ok(ttl)
}
