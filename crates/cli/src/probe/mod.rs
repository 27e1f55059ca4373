//! `partywall probe` and `probes`: the prober on the command line.

mod arguments;
mod replay;

use std::{collections::BTreeMap, fs, io::IsTerminal as _, net::IpAddr, path::Path, process::ExitCode};

use anyhow::{Context as _, anyhow, bail, ensure};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use partywall_model::{Layer, Outcome, Verdict, Verdicts};
use partywall_prober::{Credential, Errands, Plan, Progress};
use partywall_report::{Style, VerdictReport};
use secrecy::SecretString;
use tokio::sync::watch;
use url::{Host, Url};

use arguments::FailOn;
pub(crate) use arguments::{ProbeArguments, ProbesArguments};

use crate::{
    args::Arguments,
    output,
    scan::{Listing, Outputs},
};

/// Runs `partywall probe`.
pub(crate) fn run(general: &Arguments, arguments: &ProbeArguments) -> anyhow::Result<ExitCode> {
    let outputs = Outputs::new(&arguments.format, arguments.output.as_deref())?;
    let plan = plan(arguments)?;
    ensure!(
        !(plan.quick && arguments.fail_on == FailOn::Inconclusive),
        "--quick calls nothing isolated, so that --fail-on inconclusive would always fail"
    );
    let mut bar = Bar::new(general);
    let runtime = crate::serve::runtime()?;
    let (stop, stopped) = watch::channel(false);
    let halted = stopped.clone();
    let verdicts = runtime.block_on(async {
        tokio::select! {
            verdicts = partywall_prober::run(&plan, &mut bar, stopped) => Ok(verdicts),
            () = interrupts(&stop) => Err(anyhow!("stopped at once: what was found is lost, and sessions may be open or a tenant suspended")),
        }
    });
    bar.0.finish_and_clear();
    let verdicts = verdicts??;
    // A line that is piped stays whole, for what reads it.
    let width = output::width().unwrap_or(usize::MAX);
    let style = Style { colour: output::colour(general), verbose: general.verbose > 0, width };
    let pages = partywall_prober::pages();
    outputs.write_each(style.colour, |format, colour| {
        let style = Style { colour, ..style };
        Ok(VerdictReport { verdicts: &verdicts, pages: &pages, style }.render(format)?)
    })?;
    let open = verdicts.summary.inconclusive;
    Ok(if verdicts.summary.leaked > 0 || (open > 0 && arguments.fail_on == FailOn::Inconclusive) {
        ExitCode::from(1)
    } else if *halted.borrow() {
        // What was not tried is no pass.
        ExitCode::from(2)
    } else if let Some(why) = verdicts.incomplete.first() {
        output::note(&format!("the run was not complete, which is no pass: {why}"));
        ExitCode::from(2)
    } else if !judged(&verdicts, plan.quick) {
        output::note("nothing could be judged: that is no pass");
        ExitCode::from(2)
    } else {
        if open > 0 && !plan.quick {
            output::note(&format!(
                "{open} of the techniques could not judge what they tried, which is no pass of theirs and does not change the \
                 exit status; --fail-on inconclusive makes it 1"
            ));
        }
        ExitCode::SUCCESS
    })
}

/// Whether anything was tried and came to a verdict. The quick profile calls nothing isolated.
const fn judged(verdicts: &Verdicts, quick: bool) -> bool {
    let summary = &verdicts.summary;
    summary.leaked + summary.isolated > 0 || (quick && summary.inconclusive > 0)
}

/// Stops the run at the first interrupt, or when the process is asked to end; ends at the second, which does not wait for the
/// target.
async fn interrupts(stop: &watch::Sender<bool>) {
    for said in [false, true] {
        if !interrupted().await {
            std::future::pending::<()>().await;
        }
        if !said {
            output::note("stopping: what was found so far follows");
            stop.send_replace(true);
        }
    }
}

/// Waits for Ctrl-C, or for what a cancelled job and `timeout` send; false where neither can be waited for.
#[cfg(unix)]
async fn interrupted() -> bool {
    use tokio::signal::unix::{SignalKind, signal};
    let Ok(mut terminated) = signal(SignalKind::terminate()) else {
        return tokio::signal::ctrl_c().await.is_ok();
    };
    tokio::select! {
        interrupted = tokio::signal::ctrl_c() => interrupted.is_ok(),
        asked = terminated.recv() => asked.is_some(),
    }
}

#[cfg(not(unix))]
async fn interrupted() -> bool {
    tokio::signal::ctrl_c().await.is_ok()
}

/// Runs `partywall probes`.
pub(crate) fn list(arguments: &ProbesArguments) -> anyhow::Result<()> {
    let pages = partywall_prober::pages();
    match arguments.format {
        Listing::Json => output::print(&serde_json::to_string_pretty(&pages)?),
        Listing::Text => {
            let width = pages.iter().map(|page| page.check.id.len()).max().unwrap_or(0);
            let mut lines = Vec::new();
            for probe in partywall_prober::probes() {
                let check = probe.page.check;
                lines.push(format!("{:<width$}  {:<11}  {}", check.id, check.layer.name(), check.summary));
                for technique in probe.techniques {
                    lines.push(format!(
                        "  {:<6} {:<6}  {}",
                        technique.id,
                        technique.severity.name(),
                        technique.name
                    ));
                }
            }
            output::print(&lines.join("\n"))
        }
    }
}

fn plan(arguments: &ProbeArguments) -> anyhow::Result<Plan> {
    let url = Url::parse(&arguments.url)
        .with_context(|| format!("{:?} is no URL; write it as http://127.0.0.1:8787/mcp", arguments.url))?;
    ensure!(matches!(url.scheme(), "http" | "https"), "{}: only http and https can be probed", url.scheme());
    if !loopback(&url) && !arguments.i_own_this_target {
        bail!(
            "{} is not on this machine; --i-own-this-target attacks it all the same, if it is yours to attack",
            url.host_str().unwrap_or("the target")
        );
    }
    let mut plan = Plan::new(url, credentials("--tenant", &arguments.tenant)?);
    plan.users = credentials("--user", &arguments.user)?;
    plan.seeds = arguments.seed.as_deref().map(seeds).transpose()?.unwrap_or_default();
    plan.allow_writes = arguments.allow_writes;
    plan.layers.clone_from(&arguments.layer);
    plan.probes.clone_from(&arguments.probe);
    plan.protocol = arguments.protocol;
    plan.duration = arguments.duration;
    plan.concurrency = usize::from(arguments.concurrency);
    plan.rate = arguments.rate;
    plan.token_header.clone_from(&arguments.token_header);
    plan.seed_run = arguments.seed_run;
    plan.quick = arguments.quick;
    plan.errands = Errands {
        suspend: arguments.suspend.clone(),
        resume: arguments.resume.clone(),
        recreate: arguments.recreate.clone(),
    };
    // The races of a run take about a third of it.
    let most = std::time::Duration::from_secs(if arguments.quick { 2 } else { 10 });
    plan.racing = (arguments.duration / 15).clamp(std::time::Duration::from_secs(1), most);
    plan.issuer_key = arguments.issuer_key.as_deref().map(file).transpose()?.map(SecretString::from);
    plan.authority = arguments.ca.as_deref().map(file).transpose()?.map(String::into_bytes);
    for header in &arguments.header {
        let Some((name, value)) = header.split_once(':') else {
            // It may be a secret, so it is not repeated.
            bail!("a --header has no colon; write 'Name: value'");
        };
        plan.headers.push((name.trim().to_owned(), secret("--header", value.trim())?));
    }
    if let Some(path) = &arguments.replay {
        replay::apply(&mut plan, path)?;
    }
    Ok(plan)
}

fn loopback(url: &Url) -> bool {
    match url.host() {
        Some(Host::Ipv4(address)) => IpAddr::from(address).is_loopback(),
        Some(Host::Ipv6(address)) => IpAddr::from(address).is_loopback(),
        Some(Host::Domain(name)) => name == "localhost" || name.ends_with(".localhost"),
        None => false,
    }
}

fn credentials(flag: &str, words: &[String]) -> anyhow::Result<Vec<Credential>> {
    words
        .iter()
        .map(|word| {
            // The word may hold a token: it is not repeated in the error.
            let Some((name, token)) =
                word.split_once('=').filter(|(name, token)| !name.is_empty() && !token.is_empty())
            else {
                bail!("{flag} takes NAME=TOKEN, where TOKEN is @FILE, env:VARIABLE or the token itself");
            };
            Ok(Credential { tenant: name.to_owned(), token: secret(&format!("{flag} {name}"), token)? })
        })
        .collect()
}

/// A secret from a file, the environment or the word itself.
fn secret(what: &str, word: &str) -> anyhow::Result<SecretString> {
    let text = if let Some(path) = word.strip_prefix('@') {
        file(Path::new(path)).with_context(|| what.to_owned())?
    } else if let Some(name) = word.strip_prefix("env:") {
        #[expect(clippy::disallowed_methods, reason = "this is the command")]
        let value = std::env::var(name);
        value.with_context(|| format!("{what}: the environment has no {name}"))?
    } else {
        word.to_owned()
    };
    let text = text.trim();
    ensure!(!text.is_empty(), "{what}: the token is empty");
    Ok(SecretString::from(text.to_owned()))
}

fn file(path: &Path) -> anyhow::Result<String> {
    fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))
}

fn seeds(path: &Path) -> anyhow::Result<BTreeMap<String, Vec<String>>> {
    toml::from_str(&file(path)?).with_context(|| {
        format!("{} is not a list of texts for each tenant: acme = [\"text\"]", path.display())
    })
}

/// Progress on a terminal, and nothing elsewhere.
struct Bar(ProgressBar);

impl Bar {
    fn new(general: &Arguments) -> Self {
        let shown = !general.quiet && std::io::stderr().is_terminal();
        let target = if shown { ProgressDrawTarget::stderr() } else { ProgressDrawTarget::hidden() };
        let bar = ProgressBar::with_draw_target(None, target);
        if let Ok(style) = ProgressStyle::with_template("{spinner} {prefix} {wide_msg}") {
            bar.set_style(style);
        }
        bar.enable_steady_tick(std::time::Duration::from_millis(120));
        Self(bar)
    }
}

impl Progress for Bar {
    fn planned(&mut self, techniques: usize) {
        self.0.set_length(u64::try_from(techniques).unwrap_or(u64::MAX));
    }

    fn begins(&mut self, layer: Option<Layer>, what: &str) {
        let prefix = match (layer, self.0.length()) {
            (Some(layer), Some(all)) => format!("{}/{all} {:<11}", self.0.position() + 1, layer.name()),
            _ => "survey".to_owned(),
        };
        self.0.set_prefix(prefix);
        self.0.set_message(what.to_owned());
    }

    fn verdict(&mut self, verdict: &Verdict) {
        self.0.inc(1);
        if verdict.verdict == Outcome::Leaked {
            self.0.suspend(|| output::note(&format!("leaked: {} {}", verdict.technique, verdict.name)));
        }
    }
}
