//! `tenant`, `secret` and `token`: what is done to the stores from outside a server.

use std::{
    collections::HashSet,
    io::{BufRead as _, IsTerminal as _, Read},
    path::Path,
};

use anyhow::{Context, bail, ensure};
use partywall_gateway::{
    Stores,
    clock::Clock,
    config::{Config, Driver},
    guards::{credentials::SecretName, identity::DevelopmentIssuer},
    tenants::{Registry, TenantRecord, TenantState, remove_tenant},
};
use partywall_model::TenantId;
use secrecy::{ExposeSecret, SecretString};

use crate::{
    args::{Secret, SecretAction, Tenant, TenantAction, Token},
    output::{ask, note, print},
    serve::environment,
};

fn load(path: &Path) -> anyhow::Result<Config> {
    Ok(Config::load(path)?)
}

fn parse(id: &str) -> anyhow::Result<TenantId> {
    TenantId::parse(id).with_context(|| format!("`{id}` is no tenant id"))
}

/// What was typed, or the lines of standard input if that was `-`.
fn listed(ids: &[String]) -> anyhow::Result<Vec<String>> {
    if !matches!(ids, [one] if one == "-") {
        return Ok(ids.to_vec());
    }
    let lines = std::io::stdin().lines().collect::<Result<Vec<String>, _>>();
    lines.context("the ids are read from standard input, one a line, because of `-`")
}

fn find(registry: &Registry, id: &str) -> anyhow::Result<TenantRecord> {
    let id = parse(id)?;
    registry
        .get(&id)?
        .with_context(|| format!("there is no tenant `{id}`; add it with: partywall tenant add {id}"))
}

fn stores(config: &Config) -> anyhow::Result<Stores> {
    Ok(Stores::open(config, &environment(), None)?)
}

pub(crate) fn tenant(command: &Tenant) -> anyhow::Result<()> {
    let config = load(&command.file.config)?;
    let data_dir = config.data_dir();
    let Stores { registry, vault, .. } = stores(&config)?;
    match &command.action {
        TenantAction::Add { ids, reuse_rows } => {
            let ids: Vec<TenantId> = listed(ids)?.iter().map(|id| parse(id)).collect::<Result<_, _>>()?;
            let mut seen = HashSet::with_capacity(ids.len());
            if let Some(twice) = ids.iter().find(|id| !seen.insert(*id)) {
                bail!("adding tenants: `{twice}` stands there twice; nothing was added");
            }
            match reuse_rows {
                true => registry.add_many(&ids)?,
                false => registry.add_new(&config, &ids)?,
            };
            match ids.as_slice() {
                [id] => note(&format!("added {id}")),
                _ => note(&format!("added {} tenants", ids.len())),
            }
        }
        TenantAction::List { json } => {
            let mut text = String::new();
            for record in registry.list()? {
                text.push_str(&line(&record, *json));
            }
            if !text.is_empty() {
                print(&text)?;
            }
        }
        TenantAction::Show { id } => {
            let record = find(&registry, id)?;
            let secrets = vault.list(&record)?;
            let names: Vec<String> = secrets.iter().map(|secret| secret.name.to_string()).collect();
            let names = if names.is_empty() { "none".to_owned() } else { names.join(", ") };
            print(&format!("{}secrets: {names}", line(&record, false)))?;
        }
        TenantAction::Suspend { id } => {
            registry.suspend(&find(&registry, id)?.id)?;
            note(&format!("suspended {id}: its requests are refused from the next one on"));
        }
        TenantAction::Resume { id } => {
            registry.resume(&find(&registry, id)?.id)?;
            note(&format!("resumed {id}"));
        }
        TenantAction::Remove { id, yes } => {
            let record = find(&registry, id)?;
            ensure!(
                *yes || is_wanted(id)?,
                "this deletes all data and secrets of `{id}` for ever; add --yes to do it"
            );
            remove_tenant(&registry, &vault, &data_dir, &record.id)?;
            note(&format!("removed {id} with its data and secrets; its audit log stays"));
            for (source, _) in config.data.iter().filter(|(_, source)| source.driver == Driver::Postgres) {
                note(&format!(
                    "the rows of {id} in the database of `{source}` are still there: delete them as the owner of its tables"
                ));
            }
        }
    }
    Ok(())
}

/// Asks at the terminal whether a tenant is to be removed; where there is nobody to ask, it is not.
fn is_wanted(id: &str) -> anyhow::Result<bool> {
    if !std::io::stdin().is_terminal() || !std::io::stderr().is_terminal() {
        return Ok(false);
    }
    ask(&format!("This deletes all data and secrets of {id} for ever. Type its id to do it: "))?;
    let mut typed = String::new();
    std::io::stdin()
        .lock()
        .take(1024)
        .read_line(&mut typed)
        .context("the answer is read from the terminal")?;
    Ok(typed.trim() == id)
}

fn line(record: &TenantRecord, json: bool) -> String {
    let state = match record.state {
        TenantState::Active => "active",
        TenantState::Suspended => "suspended",
        TenantState::Removing => "removing",
    };
    if json {
        let value = serde_json::json!({ "id": record.id, "state": state, "created_at": record.created_at });
        format!("{value}\n")
    } else {
        format!("{:<24} {state}\n", record.id.as_str())
    }
}

pub(crate) fn secret(command: &Secret) -> anyhow::Result<()> {
    let config = load(&command.file.config)?;
    let Stores { registry, vault, .. } = stores(&config)?;
    match &command.action {
        SecretAction::Set { tenant, name, value } => {
            // It may be the secret itself, so it is not repeated.
            ensure!(
                value.is_empty(),
                "the value is read from standard input, and was given as an argument: it stands in the shell's history now, \
                 and others of this machine could see it; make a new one and run: partywall secret set {tenant} {name} < FILE"
            );
            let record = find(&registry, tenant)?;
            let name = SecretName::parse(name)?;
            vault.set(&record, &name, from_stdin()?)?;
            note(&format!("set {name} for {tenant}"));
        }
        SecretAction::List { tenant } => {
            let secrets = vault.list(&find(&registry, tenant)?)?;
            let text: String = secrets.iter().map(|secret| format!("{}\n", secret.name)).collect();
            if !text.is_empty() {
                print(&text)?;
            }
        }
        SecretAction::Rotate { tenant } => {
            vault.rotate_tenant(&find(&registry, tenant)?)?;
            note(&format!("{tenant} has a new key; its secrets are sealed with it"));
        }
        SecretAction::Remove { tenant, name } => {
            let removed = vault.remove(&find(&registry, tenant)?, &SecretName::parse(name)?)?;
            ensure!(
                removed,
                "{tenant} has no secret `{name}`; list them with: partywall secret list {tenant}"
            );
            note(&format!("removed {name} of {tenant}"));
        }
    }
    Ok(())
}

/// A secret from standard input, without the line break that `echo` and editors add.
fn from_stdin() -> anyhow::Result<SecretString> {
    const MOST: u64 = 64 * 1024;
    let mut text = String::new();
    std::io::stdin()
        .lock()
        .take(MOST + 2)
        .read_to_string(&mut text)
        .context("the value of the secret is read from standard input")?;
    let value = text.strip_suffix('\n').unwrap_or(&text);
    let value = value.strip_suffix('\r').unwrap_or(value);
    if value.is_empty() {
        bail!(
            "the value is empty; give it on standard input, for example: partywall secret set acme key < key.txt"
        );
    }
    ensure!(value.len() as u64 <= MOST, "the value is longer than 64 KiB");
    Ok(SecretString::from(value))
}

pub(crate) fn token(command: &Token) -> anyhow::Result<()> {
    let config = load(&command.file.config)?;
    ensure!(
        config.identity.development,
        "the development issuer is off; set identity.development = true in {} (loopback only)",
        command.file.config.display()
    );
    ensure!(
        config.server.listen.ip().is_loopback(),
        "the development issuer works only while server.listen is a loopback address; it is {}",
        config.server.listen
    );
    let Stores { registry, .. } = stores(&config)?;
    let issuer = DevelopmentIssuer::open_or_create(&config.data_dir(), &config.resource())?;
    let mut text = String::new();
    for tenant in listed(std::slice::from_ref(&command.tenant))? {
        let record = find(&registry, &tenant)?;
        let token =
            issuer.mint_for(&record, &command.subject, &command.scope, command.ttl, &Clock::system())?;
        text.push_str(token.expose_secret());
        text.push('\n');
    }
    print(text.trim_end())
}
