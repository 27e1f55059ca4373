//! Calls against upstreams on loopback.

mod credentials;
mod limits;
mod reach;
mod requests;
mod upstream;

use std::{path::Path, time::Duration};

use secrecy::SecretString;
use serde_json::{Map, Value};
use upstream::Upstream;

use super::*;
use crate::config::Config;

/// Compiles the first tool of a configuration that is not checked otherwise.
fn compile(text: &str) -> Result<(HttpTool, HttpShared), HttpToolError> {
    let config: Config = toml::from_str(text).expect("valid TOML");
    let tool = config.tools[0].get_ref();
    Ok((HttpTool::compile(tool, &config.http)?, HttpShared::new(&config.http)?))
}

/// The configuration of a tool `t` with the given lines, which may reach loopback.
fn config(tool: &str) -> String {
    format!("[http]\nallow_private = [\"127.0.0.1\", \"localhost\"]\n\n[[tool]]\nname = \"t\"\n{tool}\n")
}

/// One tool, compiled, with the client of one tenant.
struct Bench {
    tool: HttpTool,
    client: TenantClient,
    tenant: &'static str,
    secrets: Vec<(&'static str, SecretString)>,
    limits: CallLimits,
}

impl Bench {
    fn new(tool: &str) -> Self {
        let (tool, shared) = compile(&config(tool)).expect("a good tool");
        Self {
            tool,
            client: TenantClient::new(&shared),
            tenant: "acme",
            secrets: Vec::new(),
            limits: CallLimits { time: Duration::from_secs(5), reply_bytes: 1 << 20 },
        }
    }

    fn with_secret(mut self, name: &'static str, value: &str) -> Self {
        self.secrets.push((name, SecretString::from(value)));
        self
    }

    async fn call(&self, args: Value) -> Result<String, HttpToolError> {
        let permit = Permit::for_test(self.tenant, 1);
        let args: Map<String, Value> = serde_json::from_value(args).expect("an object");
        let secrets: Vec<(&str, &SecretString)> =
            self.secrets.iter().map(|(name, value)| (*name, value)).collect();
        let reply = self.tool.call(&permit, &self.client, &args, &secrets, self.limits).await?;
        Ok(reply.body)
    }
}

/// The message of a tool that does not compile.
fn compile_error(tool: &str) -> String {
    compile(&config(tool)).expect_err(tool).to_string()
}

/// A tool with one string argument `id` in the path, besides the given lines.
fn by_id(upstream: &Upstream, more: &str) -> String {
    format!(
        "http = {{ url = \"{}/v1/items/{{id}}\" }}\nargs.id = {{ type = \"string\" }}\n{more}",
        upstream.url()
    )
}

#[test]
fn calls_can_be_moved_between_threads() {
    fn is_send<T: Send>(_: &T) {}
    let bench = Bench::new("http = { url = \"https://example.com/\" }");
    is_send(&bench.call(Value::Object(Map::new())));
}

#[test]
fn the_configuration_in_the_contract_compiles() {
    let text = r#"
        [[tool]]
        name = "customer_profile"
        http = { method = "GET", url = "https://crm.example.com/v1/customers/{customer_id}" }
        auth = { bearer = "secret:crm_api_key" }
        owner = { pointer = "/organization_id", equals = "tenant" }
        args.customer_id = { type = "string" }
    "#;
    let config = Config::parse(text, "p.toml", Path::new(".")).expect("a good file");
    let tool = HttpTool::compile(config.tools[0].get_ref(), &config.http).expect("a good tool");
    assert_eq!(tool.secrets(), ["crm_api_key"]);
}

/// Making a client is on the path of a tenant's first call. Shared parts keep it cheap.
#[test]
fn clients_are_cheap_to_make() {
    let shared = HttpShared::new(&Http::default()).expect("shared parts");
    TenantClient::new(&shared);
    let rounds = 20;
    let start = std::time::Instant::now();
    for _ in 0..rounds {
        TenantClient::new(&shared);
    }
    println!("{:?} a client", start.elapsed() / rounds);
}
