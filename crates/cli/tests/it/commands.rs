//! The commands that set up a server: what they do, and what they say when it cannot be done.

use std::{
    fs,
    io::{BufRead as _, BufReader, Write as _},
    path::Path,
    process::{Child, ChildStdin, ChildStdout, Stdio},
};

use crate::support::{Running, fails, ok, partywall, run};

const CONFIG: &str = r#"
[server]
listen = "127.0.0.1:0"
public_url = "http://127.0.0.1:9/mcp"
[identity]
development = true
[[tool]]
name = "whoami"
native = "whoami"
"#;

fn folder() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("partywall.toml"), CONFIG).unwrap();
    folder
}

#[test]
fn a_tenant_lives_from_add_to_remove() {
    let folder = folder();
    let here = folder.path();
    ok(here, &["tenant", "add", "acme"], "");
    ok(here, &["tenant", "add", "globex"], "");
    ok(here, &["tenant", "suspend", "globex"], "");
    let list = ok(here, &["tenant", "list"], "");
    assert!(list.lines().any(|line| line.starts_with("acme") && line.ends_with("active")), "{list}");
    assert!(list.lines().any(|line| line.starts_with("globex") && line.ends_with("suspended")), "{list}");
    let quiet = run(here, &["-q", "tenant", "resume", "globex"], "");
    assert!(quiet.status.success() && quiet.stderr.is_empty());
    assert!(ok(here, &["tenant", "show", "globex"], "").contains("active"));
    assert!(fails(here, &["tenant", "remove", "globex"], "").contains("--yes"));
    ok(here, &["tenant", "remove", "globex", "--yes"], "");
    assert!(!ok(here, &["tenant", "list", "--json"], "").contains("globex"));
    assert!(fails(here, &["tenant", "show", "globex"], "").contains("partywall tenant add globex"));
    assert!(fails(here, &["tenant", "add", "acme"], "").contains("acme"));
    assert!(fails(here, &["tenant", "add", "../x"], "").contains("A-Z a-z 0-9"));
    assert!(fails(here, &["tenant", "add", "one", "two", "one"], "").contains("`one` stands there twice"));
    assert!(!ok(here, &["tenant", "list"], "").contains("one"));
}

/// A database keeps the rows of a tenant that was removed; its id is given out again only when that is said to be meant.
#[test]
fn an_id_whose_rows_may_be_left_is_taken_again_only_when_asked() {
    let folder = folder();
    let here = folder.path();
    ok(here, &["tenant", "add", "acme"], "");
    ok(here, &["tenant", "remove", "acme", "--yes"], "");
    ok(here, &["tenant", "add", "acme"], "");
    let source = "\n[data.desk]\ndriver = \"postgres\"\nisolation = \"rls\"\nurl = \"env:DB\"\n";
    fs::write(here.join("partywall.toml"), format!("{CONFIG}{source}")).unwrap();
    let removed = run(here, &["tenant", "remove", "acme", "--yes"], "");
    assert!(removed.status.success());
    assert!(String::from_utf8_lossy(&removed.stderr).contains("rows of acme in the database of `desk`"));
    let refused = fails(here, &["tenant", "add", "globex", "acme"], "");
    assert!(refused.contains("--reuse-rows") && refused.contains("`desk`"), "{refused}");
    ok(here, &["tenant", "add", "globex"], "");
    ok(here, &["tenant", "add", "acme", "--reuse-rows"], "");
}

/// It would stand in the terminal and in whatever keeps what commands print.
#[test]
fn a_secret_that_is_given_as_an_argument_is_not_repeated() {
    let folder = folder();
    let here = folder.path();
    ok(here, &["tenant", "add", "acme"], "");
    for more in [&["hush-hush"][..], &["--hush-hush"], &["hush-hush", "more"]] {
        let told = fails(here, &[&["secret", "set", "acme", "key"][..], more].concat(), "");
        assert!(told.contains("standard input") && !told.contains("hush"), "{told}");
    }
    assert_eq!(ok(here, &["secret", "list", "acme"], ""), "");
}

#[test]
fn a_check_asks_the_server_of_the_shared_limits() {
    let folder = folder();
    let here = folder.path();
    // A port that was free a moment ago.
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let shared = format!("\n[shared]\nredis = \"redis://127.0.0.1:{port}\"\nreplicas = 2\n");
    fs::write(here.join("partywall.toml"), format!("{CONFIG}{shared}")).unwrap();
    let checked = run(here, &["serve", "--check"], "");
    let told = String::from_utf8_lossy(&checked.stderr);
    assert!(checked.status.success() && told.contains("warning: the server of shared.redis"), "{told}");
}

#[test]
fn a_check_says_what_of_the_existing_servers_is_not_there() {
    let folder = folder();
    let here = folder.path();
    let upstreams = "\n[[upstream]]\nname = \"a\"\ncommand = [\"no-such-program\"]\nread = [\"none\"]\n\
                     \n[[upstream]]\nname = \"b\"\nurl = \"https://mcp.example.com/mcp\"\n";
    fs::write(here.join("partywall.toml"), format!("{CONFIG}{upstreams}")).unwrap();
    let checked = run(here, &["serve", "--check"], "");
    let told = String::from_utf8_lossy(&checked.stderr);
    assert!(checked.status.success(), "{told}");
    for said in
        ["there is no program `no-such-program`", "`read`: there is no ", "which tenant calls", "2 upstreams"]
    {
        assert!(told.contains(said), "{said}: {told}");
    }
}

/// A token is its tenant's, and not that of whoever has the id later.
#[test]
fn a_token_ends_with_its_tenant() {
    let folder = folder();
    let here = folder.path();
    ok(here, &["tenant", "add", "acme"], "");
    let token = |here: &Path| ok(here, &["token", "--tenant", "acme", "--subject", "ann"], "");
    let claims = |token: &str| {
        let letters: String = ('A'..='Z').chain('a'..='z').chain('0'..='9').chain(['-', '_']).collect();
        let (mut bits, mut held, mut bytes) = (0_u32, 0, Vec::new());
        for letter in token.trim().split('.').nth(1).unwrap().chars() {
            bits = (bits << 6) | letters.find(letter).unwrap() as u32;
            held += 6;
            if held >= 8 {
                held -= 8;
                bytes.push((bits >> held) as u8);
                bits &= (1 << held) - 1;
            }
        }
        serde_json::from_slice::<serde_json::Value>(&bytes).unwrap()
    };
    let first = claims(&token(here));
    ok(here, &["tenant", "remove", "acme", "--yes"], "");
    ok(here, &["tenant", "add", "acme"], "");
    let second = claims(&token(here));
    assert!(first["life"].as_u64().unwrap() < second["life"].as_u64().unwrap(), "{first} {second}");
}

#[test]
fn a_secret_goes_in_and_never_comes_out() {
    let folder = folder();
    let here = folder.path();
    ok(here, &["tenant", "add", "acme"], "");
    ok(here, &["secret", "set", "acme", "crm"], "s3cret-value\n");
    assert_eq!(ok(here, &["secret", "list", "acme"], ""), "crm\n");
    assert!(ok(here, &["tenant", "show", "acme"], "").contains("secrets: crm"));
    assert!(fails(here, &["secret", "set", "acme", "crm"], "").contains("empty"));
    assert!(fails(here, &["secret", "set", "nobody", "crm"], "x").contains("nobody"));
    let too_long = "x".repeat(70_000);
    assert!(fails(here, &["secret", "set", "acme", "crm"], &too_long).contains("64 KiB"));
    for entry in fs::read_dir(here.join("data")).unwrap() {
        let path = entry.unwrap().path();
        if path.is_file() {
            let bytes = fs::read(&path).unwrap();
            assert!(!bytes.windows(6).any(|window| window == b"s3cret"), "{}", path.display());
        }
    }
    ok(here, &["secret", "remove", "acme", "crm"], "");
    assert!(fails(here, &["secret", "remove", "acme", "crm"], "").contains("partywall secret list acme"));
}

#[test]
fn tokens_are_for_development_on_loopback() {
    let folder = folder();
    let here = folder.path();
    ok(here, &["tenant", "add", "acme"], "");
    let token = ok(here, &["token", "--tenant", "acme", "--subject", "alice"], "");
    assert_eq!(token.trim().split('.').count(), 3);
    assert!(fails(here, &["token", "--tenant", "nobody", "--subject", "a"], "").contains("nobody"));
    assert!(
        fails(here, &["token", "--tenant", "acme", "--subject", "a", "--ttl", "48h"], "").contains("24h")
    );
    fs::write(here.join("partywall.toml"), CONFIG.replace("development = true", "development = false"))
        .unwrap();
    assert!(
        fails(here, &["token", "--tenant", "acme", "--subject", "a"], "").contains("identity.development")
    );
    let public = CONFIG.replace("listen = \"127.0.0.1:0\"", "listen = \"0.0.0.0:8787\"");
    fs::write(here.join("partywall.toml"), public).unwrap();
    assert!(fails(here, &["token", "--tenant", "acme", "--subject", "a"], "").contains("loopback"));
    assert!(fails(here, &["serve", "--check"], "").contains("loopback"));
}

#[test]
fn a_wrong_configuration_is_named_by_file_line_and_key() {
    let folder = folder();
    let here = folder.path();
    ok(here, &["serve", "--check"], "");
    let cases = [
        ("[server]\nlisten = \"nowhere\"\n", "partywall.toml:2: "),
        ("[server]\nlistne = \"127.0.0.1:1\"\n", "listne"),
        (
            "[identity]\ndevelopment = true\n[[tool]]\nname = \"x\"\nnative = \"whoami\"\nargs.tenant_id = { type = \"string\" }\n",
            "partywall.toml:3: ",
        ),
        ("[identity]\ndevelopment = true\n\n[capacity]\nburst = 0\n", "partywall.toml:5: `capacity.burst`"),
        (
            "[server]\nmax_body_bytes = \"1MiB\"\n",
            "partywall.toml:2: `max_body_bytes`: invalid type: string \"1MiB\", expected a whole number",
        ),
        (
            "[[identity.issuer]]\nissuer = \"https://a.example\"\n[[identity.issuer]]\nissuer = \"nowhere\"\n",
            "partywall.toml:3: `identity.issuer[1].tenant_claim`",
        ),
        ("[identity]\ndevelopment = true\n[[upstream]]\nname = \"files\"\n", "`command`: is missing"),
        ("", "identity"),
    ];
    for (text, expected) in cases {
        fs::write(here.join("partywall.toml"), text).unwrap();
        let error = fails(here, &["serve", "--check"], "");
        assert!(error.contains(expected), "{text:?}: {error}");
    }
    let error = fails(here, &["serve", "--config", "missing.toml"], "");
    assert!(error.contains("missing.toml") && error.contains("--config"), "{error}");
}

#[test]
fn serve_listens_and_stops_when_asked() {
    let folder = folder();
    let running = Running::start(folder.path(), &["serve"]);
    let (status, errors) = wait_and_stop(running);
    assert_eq!(status, Some(0), "{errors}");
    assert!(errors.contains("MCP at http://127.0.0.1:"), "{errors}");
}

#[test]
fn sighup_reads_the_configuration_again() {
    let folder = folder();
    let file = folder.path().join("partywall.toml");
    let mut running = Running::start(folder.path(), &["serve"]);
    assert!(running.error_line().contains("MCP at"));
    running.signal("-HUP");
    assert!(running.error_line().contains("partywall.toml was read again: 1 tools"));
    fs::write(&file, format!("{CONFIG}\n[capacity]\nburst = 0\n")).unwrap();
    running.signal("-HUP");
    let said = running.error_line();
    assert!(said.contains("partywall.toml:12: `capacity.burst`"), "{said}");
    fs::write(&file, CONFIG.replace("listen = \"127.0.0.1:0\"", "listen = \"127.0.0.1:1\"")).unwrap();
    running.signal("-HUP");
    let said = running.error_line();
    assert!(said.contains("`server.listen`") && said.contains("restart"), "{said}");
    fs::write(&file, CONFIG).unwrap();
    // A storm of them counts as a few; the last one is heard.
    for _ in 0..50 {
        running.signal("-HUP");
    }
    assert!(running.error_line().contains("was read again"));
    assert_eq!(running.stop("-TERM").0, Some(0));
    assert!(ok(folder.path(), &["serve", "--help"], "").contains("SIGHUP"));
}

/// A signal that comes before the server listens for it would end the process, so the first words are waited for.
fn wait_and_stop(mut running: Running) -> (Option<i32>, String) {
    let said = running.error_line();
    let (status, rest) = running.stop("-TERM");
    (status, said + &rest)
}

#[test]
fn one_tenant_can_be_served_on_standard_input() {
    let folder = folder();
    let here = folder.path();
    ok(here, &["tenant", "add", "acme"], "");
    let input = concat!(
        r#"{"jsonrpc":"2.0","id":1,"method":"initialize","params":{"protocolVersion":"2025-06-18","capabilities":{},"clientInfo":{"name":"t","version":"1"}}}"#,
        "\n",
        r#"{"jsonrpc":"2.0","method":"notifications/initialized"}"#,
        "\n",
        r#"{"jsonrpc":"2.0","id":2,"method":"tools/list"}"#,
        "\n",
        r#"{"jsonrpc":"2.0","id":3,"method":"tools/call","params":{"name":"whoami","arguments":{}}}"#,
        "\n",
        r#"{"jsonrpc":"2.0","id":4,"method":"tools/call","params":{"name":"unknown","arguments":{}}}"#,
        "\n",
    );
    let said = ok(here, &["serve", "--stdio", "--tenant", "acme"], input);
    let replies: Vec<serde_json::Value> =
        said.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let of = |id: u64| replies.iter().find(|reply| reply["id"] == id).unwrap();
    assert_eq!(of(2)["result"]["tools"][0]["name"], "whoami");
    assert_eq!(of(3)["result"]["structuredContent"]["tenant"], "acme");
    assert!(of(4)["error"]["message"].as_str().unwrap().contains("Unknown"), "{said}");
    // Every request has its line, also one that is refused.
    let log = fs::read_to_string(here.join("data/audit/acme.jsonl")).unwrap();
    let lines: Vec<serde_json::Value> = log.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let mut noted: Vec<_> =
        lines.iter().map(|line| (line["method"].as_str(), line["outcome"].as_str())).collect();
    noted.sort_unstable();
    let call = Some("tools/call");
    assert_eq!(noted, [(call, Some("error")), (call, Some("ok")), (Some("tools/list"), Some("ok"))], "{log}");
    ok(here, &["secret", "rotate", "acme"], "");
    ok(here, &["tenant", "suspend", "acme"], "");
    assert!(fails(here, &["serve", "--stdio", "--tenant", "acme"], input).contains("suspended"));
    assert!(
        fails(here, &["serve", "--stdio", "--tenant", "nobody"], input).contains("partywall tenant list")
    );
    assert_eq!(run(here, &["serve", "--stdio"], "").status.code(), Some(2));
}

/// A suspension holds from the next request on, and what is refused stands in the log of a tenant that there is.
#[test]
fn a_tenant_can_be_suspended_and_removed_while_it_is_served_on_standard_input() {
    let folder = folder();
    let here = folder.path();
    ok(here, &["tenant", "add", "acme"], "");
    let mut local = Local::start(here, "acme");
    let mut ask = |message: &str| local.ask(message);
    let initialized = r#"{"jsonrpc":"2.0","method":"notifications/initialized"}"#;
    let call = r#"{"jsonrpc":"2.0","id":2,"method":"tools/call","params":{"name":"whoami","arguments":{}}}"#;
    let first = ask(&format!("{initialized}\n{call}"));
    assert_eq!(first["result"]["structuredContent"]["tenant"], "acme");
    let refused = |answer: serde_json::Value| {
        let message = answer["error"]["message"].as_str().unwrap().to_owned();
        assert!(message.contains("not served") && !message.contains("token"), "{message}");
    };
    let audit = |name: &str| fs::read_to_string(here.join("data/audit").join(name)).unwrap_or_default();

    ok(here, &["tenant", "suspend", "acme"], "");
    refused(ask(call));
    assert!(audit("acme.jsonl").lines().last().unwrap().contains("suspended-tenant"));
    ok(here, &["tenant", "resume", "acme"], "");
    assert_eq!(ask(call)["result"]["structuredContent"]["tenant"], "acme");

    ok(here, &["tenant", "remove", "acme", "--yes"], "");
    let before = audit("acme.jsonl");
    refused(ask(call));
    assert_eq!(audit("acme.jsonl"), before, "a tenant that is gone has no log");
    assert!(audit("-unattributed.jsonl").contains("unknown-tenant"));
    local.end();
}

/// A client that goes on asking for a suspended tenant does not fill its log, and nothing is missing from it.
#[test]
fn refusals_on_standard_input_are_written_together() {
    let folder = folder();
    let here = folder.path();
    ok(here, &["tenant", "add", "acme"], "");
    let mut local = Local::start(here, "acme");
    ok(here, &["tenant", "suspend", "acme"], "");
    writeln!(local.input, r#"{{"jsonrpc":"2.0","method":"notifications/initialized"}}"#).unwrap();
    for _ in 0..200 {
        let answer = local.ask(
            r#"{"jsonrpc":"2.0","id":2,"method":"tools/call","params":{"name":"whoami","arguments":{}}}"#,
        );
        assert!(answer["error"]["message"].as_str().unwrap().contains("not served"), "{answer}");
    }
    local.end();
    let log = fs::read_to_string(here.join("data/audit/acme.jsonl")).unwrap();
    let lines: Vec<serde_json::Value> = log.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert!(lines.len() < 100 && lines.iter().all(|line| line["reason"] == "suspended-tenant"), "{log}");
    let times: u64 = lines.iter().map(|line| line["times"].as_u64().unwrap_or(1)).sum();
    assert_eq!(times, 200, "{log}");
}

/// One tenant's server on standard input and output, and its client.
struct Local {
    child: Child,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
}

impl Local {
    fn start(here: &Path, tenant: &str) -> Self {
        let mut child = partywall(&["serve", "--stdio", "--tenant", tenant])
            .current_dir(here)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let (input, output) = (child.stdin.take().unwrap(), BufReader::new(child.stdout.take().unwrap()));
        let mut local = Self { child, input, output };
        local.ask(
            r#"{"jsonrpc":"2.0","id":1,"method":"initialize","params":{"protocolVersion":"2025-06-18","capabilities":{},"clientInfo":{"name":"t","version":"1"}}}"#,
        );
        local
    }

    fn ask(&mut self, message: &str) -> serde_json::Value {
        writeln!(self.input, "{message}").unwrap();
        let mut line = String::new();
        self.output.read_line(&mut line).unwrap();
        serde_json::from_str(&line).unwrap()
    }

    fn end(self) {
        let Self { mut child, input, .. } = self;
        drop(input);
        assert!(child.wait().unwrap().success());
    }
}

/// Every default that a schema names is of the type that it names.
fn defaults_fit(part: &serde_json::Value) {
    if let (Some(default), Some(kind)) =
        (part.get("default"), part.get("type").and_then(|kind| kind.as_str()))
    {
        let fits = match kind {
            "string" => default.is_string(),
            "integer" | "number" => default.is_number(),
            "boolean" => default.is_boolean(),
            "array" => default.is_array(),
            _ => true,
        };
        assert!(fits, "{part}");
    }
    match part {
        serde_json::Value::Object(object) => object.values().for_each(defaults_fit),
        serde_json::Value::Array(items) => items.iter().for_each(defaults_fit),
        _ => {}
    }
}

/// All tenants' files are migrated from one folder: what was applied to one of them must still be there.
#[test]
fn a_migration_that_was_changed_is_found_before_the_tenants_find_it() {
    let folder = tempfile::tempdir().unwrap();
    let here = folder.path();
    let mut demo = Running::start(here, &["demo", "--port", "0", "--json", "--dir", "d"]);
    assert!(demo.line().contains("tokens"));
    assert_eq!(demo.stop("-INT").0, Some(0));
    let check = ["serve", "--check", "--config", "d/partywall.toml"];
    ok(here, &check, "");
    let file = here.join("d/migrations/0001_tickets.sql");
    let text = fs::read_to_string(&file).unwrap();
    fs::write(&file, format!("{text}\n-- another word\n")).unwrap();
    let error = fails(here, &check, "");
    assert!(error.contains("`0001_tickets` was changed after it had been applied"), "{error}");
    fs::write(&file, text).unwrap();
    ok(here, &check, "");
}

#[test]
fn completions_schema_and_help_are_printed() {
    let here = Path::new(".");
    for shell in ["bash", "zsh", "fish", "powershell", "elvish"] {
        assert!(ok(here, &["completions", shell], "").contains("partywall"), "{shell}");
    }
    let schema: serde_json::Value = serde_json::from_str(&ok(here, &["schema", "config"], "")).unwrap();
    assert!(schema["properties"]["tool"].is_object());
    defaults_fit(&schema);
    for command in ["demo", "serve", "tenant", "secret", "token", "completions"] {
        assert!(ok(here, &[command, "--help"], "").contains("Example"), "{command}");
    }
    assert_eq!(run(here, &["no-such-command"], "").status.code(), Some(2));
}

#[test]
fn the_environment_has_the_url_of_the_shared_limits() {
    let folder = folder();
    let shared = "[shared]\nredis = \"env:PARTYWALL_REDIS_OF_A_TEST\"\nreplicas = 3\n";
    fs::write(folder.path().join("partywall.toml"), format!("{CONFIG}{shared}")).unwrap();
    let said = fails(folder.path(), &["serve", "--check"], "");
    assert!(said.contains("PARTYWALL_REDIS_OF_A_TEST is not set"), "{said}");
    let check = |url: &str| {
        let mut command = crate::support::partywall(&["serve", "--check"]);
        let output =
            command.current_dir(folder.path()).env("PARTYWALL_REDIS_OF_A_TEST", url).output().unwrap();
        (output.status.success(), String::from_utf8(output.stderr).unwrap())
    };
    // Nobody has to be there: the server would start, and look for it.
    let (good, said) = check("redis://:hush@127.0.0.1:9");
    assert!(good, "{said}");
    let (good, said) = check("http://:hush@127.0.0.1:9");
    assert!(!good && said.contains("shared.redis: a URL begins with") && !said.contains("hush"), "{said}");
    ok(folder.path(), &["tenant", "add", "acme"], "");
}

/// What goes wrong at the start is told once, with its place and what to do.
#[test]
fn errors_at_the_start_say_where_and_what_to_do() {
    let folder = folder();
    let here = folder.path();
    let tool = "[data.desk]\ndriver = \"sqlite\"\nmigrations = \"migrations\"\n[[tool]]\nname = \"list\"\n\
                description = \"d\"\nsource = \"desk\"\nsql = \"SELECT id FROM notes\"\n";
    fs::write(here.join("partywall.toml"), format!("{CONFIG}{tool}")).unwrap();
    let said = fails(here, &["serve", "--check"], "");
    assert!(
        said.contains("No such file") && said.contains("make the folder, or correct `migrations`"),
        "{said}"
    );
    fs::create_dir(here.join("migrations")).unwrap();
    let said = fails(here, &["serve", "--check"], "");
    let line = format!("{CONFIG}{tool}").lines().position(|line| line == "name = \"list\"").unwrap();
    let place =
        format!("partywall.toml:{line}: tool `list`: `sql`: no such table: notes; the tables are those");
    assert!(said.contains(&place), "{said}");
    fs::write(here.join("migrations/001_notes.sql"), "CREATE TABLE notes (id INTEGER PRIMARY KEY)").unwrap();
    ok(here, &["serve", "--check"], "");
    // An address that somebody has.
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let listen = format!("listen = \"{}\"", taken.local_addr().unwrap());
    let text = CONFIG.replace("listen = \"127.0.0.1:0\"", &listen);
    fs::write(here.join("partywall.toml"), text).unwrap();
    let said = fails(here, &["serve"], "");
    assert!(said.contains("server.listen") && said.matches("os error").count() == 1, "{said}");
    let url = ["check", "--database", "postgres://a:hush@127.0.0.1:1/b"];
    let said = fails(here, &url, "");
    assert!(said.matches("the database's URL").count() == 1 && !said.contains("hush"), "{said}");
}
