//! `demo`: the help desk with two tenants, sample data and a CRM to call.

mod crm;

use std::{
    fs,
    net::{Ipv4Addr, SocketAddr, TcpListener},
    path::Path,
    time::Duration,
};

use anyhow::{Context, ensure};
use partywall_gateway::{
    Gateway,
    clock::Clock,
    config::Config,
    guards::{credentials::SecretName, identity::DevelopmentIssuer},
};
use partywall_model::TenantId;
use secrecy::{ExposeSecret, SecretString};

use crate::{
    args::Demo,
    output::{note, print},
    serve::{runtime, serve},
};

const CONFIG: &str = include_str!("../../../../examples/helpdesk/partywall.toml");
const MIGRATION: &str = include_str!("../../../../examples/helpdesk/migrations/0001_tickets.sql");

/// A tenant of the demo: its id, a caller's name, the sample data.
struct Neighbour {
    id: &'static str,
    subject: &'static str,
    seed: &'static str,
}

const NEIGHBOURS: [Neighbour; 2] = [
    Neighbour {
        id: "acme",
        subject: "wile",
        seed: include_str!("../../../../examples/helpdesk/seed/acme.sql"),
    },
    Neighbour {
        id: "globex",
        subject: "hank",
        seed: include_str!("../../../../examples/helpdesk/seed/globex.sql"),
    },
];

pub(crate) fn run(command: &Demo) -> anyhow::Result<()> {
    let wanted = SocketAddr::from((Ipv4Addr::LOCALHOST, command.port));
    let listener = TcpListener::bind(wanted)
        .with_context(|| format!("cannot listen on {wanted}; try another port: partywall demo --port 0"))?;
    let address = listener.local_addr()?;
    let crm = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).context("cannot listen for the demo's CRM")?;
    let config = write_config(&command.dir, address, crm.local_addr()?)?;
    let gateway = Gateway::builder(config).open()?;
    let keys = furnish(&gateway)?;
    let tokens = tokens(&gateway)?;
    runtime()?.block_on(async {
        let server = gateway.serve_on(listener).await?;
        let crm = crm::Crm::start(crm, keys)?;
        let url = format!("http://{}/mcp", server.address());
        let text = if command.json { ready(&gateway, &url, &tokens)? } else { welcome(&url, &tokens) };
        let hung_up = async || note("the demo has nothing to read again; stop it with Ctrl-C");
        let served = serve(server, hung_up, || print(&text)).await;
        drop(crm);
        served
    })
}

/// Writes the demo's files. The configuration is written anew each time, since the ports may be others.
fn write_config(dir: &Path, address: SocketAddr, crm: SocketAddr) -> anyhow::Result<Config> {
    let file = dir.join("partywall.toml");
    if dir.is_dir() && fs::read_dir(dir)?.next().is_some() {
        let own = fs::read_to_string(&file).is_ok_and(|text| without_ports(&text) == without_ports(CONFIG));
        ensure!(
            own,
            "{} is not a folder of the demo, or its partywall.toml was changed, and the demo would write over it; choose \
             another folder with --dir, or serve what is there with `partywall serve --config {}`",
            dir.display(),
            file.display()
        );
    }
    let failed =
        || format!("cannot write the demo's files into {}; choose another folder with --dir", dir.display());
    fs::create_dir_all(dir.join("migrations")).with_context(failed)?;
    fs::write(dir.join("migrations/0001_tickets.sql"), MIGRATION).with_context(failed)?;
    // In two steps, since the one address may be what the other is in the example.
    let text = CONFIG
        .replace("127.0.0.1:8790", "<crm>")
        .replace("127.0.0.1:8787", &address.to_string())
        .replace("<crm>", &crm.to_string());
    fs::write(&file, text).with_context(failed)?;
    Ok(Config::load(&file)?)
}

/// The demo's configuration without what each start changes: the ports on loopback.
fn without_ports(text: &str) -> String {
    let mut parts = text.split("127.0.0.1:");
    let first = parts.next().unwrap_or_default().to_owned();
    parts.fold(first, |mut all, part| {
        all.push_str("127.0.0.1:");
        all.push_str(part.trim_start_matches(|char: char| char.is_ascii_digit()));
        all
    })
}

/// Makes the tenants, their data and their keys; what is there already stays.
fn furnish(gateway: &Gateway) -> anyhow::Result<Vec<crm::Key>> {
    let stores = gateway.administration();
    let name = SecretName::parse("crm_api_key")?;
    let mut keys = Vec::new();
    for neighbour in &NEIGHBOURS {
        let id = TenantId::parse(neighbour.id)?;
        let record = match stores.registry.get(&id)? {
            Some(record) => record,
            None => stores.registry.add(&id)?,
        };
        stores.sources.setup(&id, record.incarnation, "desk", neighbour.seed)?;
        let key = crm::Key::new(neighbour.id)?;
        stores.vault.set(&record, &name, SecretString::from(key.text()))?;
        keys.push(key);
    }
    Ok(keys)
}

/// The tokens, in the order of the tenants.
fn tokens(gateway: &Gateway) -> anyhow::Result<Vec<(&'static str, SecretString)>> {
    let config = gateway.config();
    let issuer = DevelopmentIssuer::open_or_create(&config.data_dir(), &config.resource())?;
    let day = Duration::from_secs(24 * 3600);
    let registry = &gateway.administration().registry;
    NEIGHBOURS
        .iter()
        .map(|neighbour| {
            let tenant = TenantId::parse(neighbour.id)?;
            let record = registry.get(&tenant)?.context("the demo's tenant is gone")?;
            Ok((neighbour.id, issuer.mint_for(&record, neighbour.subject, "", day, &Clock::system())?))
        })
        .collect()
}

/// The one line of `--json`.
fn ready(gateway: &Gateway, url: &str, tokens: &[(&str, SecretString)]) -> anyhow::Result<String> {
    let tools = gateway.tools_of(&TenantId::parse("acme")?);
    let tokens: serde_json::Map<String, serde_json::Value> =
        tokens.iter().map(|(id, token)| ((*id).to_owned(), token.expose_secret().into())).collect();
    Ok(serde_json::json!({ "url": url, "tokens": tokens, "tools": tools }).to_string())
}

fn welcome(url: &str, tokens: &[(&str, SecretString)]) -> String {
    let mut text = format!(
        "Two companies, one process. MCP at {url}\n\
         The ticket numbers are the same in both; nothing else is. Stop with Ctrl-C.\n"
    );
    for (id, token) in tokens {
        let token = token.expose_secret();
        text.push_str(&format!(
            "\n── {id} ──\ntoken:  {token}\n\ncurl -s {url} -H 'Authorization: Bearer {token}' \\\n  \
             -H 'Content-Type: application/json' -H 'Accept: application/json, text/event-stream' \\\n  \
             -d '{{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"tools/call\",\"params\":{{\"name\":\"get_ticket\",\"arguments\":{{\"id\":4}}}}}}'\n"
        ));
    }
    if let Some((id, token)) = tokens.first() {
        let client = serde_json::json!({ "mcpServers": { format!("helpdesk-{id}"): {
            "type": "http", "url": url, "headers": { "Authorization": format!("Bearer {}", token.expose_secret()) }
        } } });
        text.push_str(&format!(
            "\n── for an MCP client ──\n{}\n",
            serde_json::to_string_pretty(&client).unwrap_or_default()
        ));
    }
    let named: Vec<String> =
        tokens.iter().map(|(id, token)| format!("--tenant {id}={}", token.expose_secret())).collect();
    text.push_str(&format!("\n── to attack it ──\npartywall probe {url} {}\n", named.join(" ")));
    text
}
