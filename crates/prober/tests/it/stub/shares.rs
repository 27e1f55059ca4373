//! Places that callers share, or that each tenant has of its own, and upstreams that are called for tenants.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

use super::{
    App,
    app::Call,
    tools::{failed, said, tool},
    wire::Asked,
};

const UPSTREAMS: [&str; 5] =
    ["last-credential", "warm-connection", "one-shell", "fetch-with-key", "fetch-with-token"];
const POOLS: [&str; 2] = ["one-pool", "pool-per-tenant"];

/// The tools of these families. The slow one is there only where a pool is.
pub(super) fn list(app: &App) -> Vec<Value> {
    let mut tools = Vec::new();
    let text = |name: &str| json!({name: {"type": "string"}});
    if app.defects.family(&UPSTREAMS) {
        tools.extend([
            tool("get_calendar", "The calendar at the upstream.", json!({}), &[], true),
            tool("fetch_page", "Fetches a page.", text("url"), &["url"], true),
            tool("change_directory", "Moves the shell.", text("path"), &["path"], false),
            tool("current_directory", "Where the shell is.", json!({}), &[], true),
        ]);
    }
    if POOLS.iter().any(|defect| app.defects.has(defect)) {
        tools.push(tool("slow_report", "Takes a while.", json!({}), &[], true));
    }
    tools
}

fn count(app: &App, key: &str) -> u64 {
    let mut shelf = app.shelf.lock().unwrap();
    let count = shelf.entry(key.to_owned()).or_insert(json!(0));
    *count = json!(count.as_u64().unwrap() + 1);
    count.as_u64().unwrap()
}

/// Calls a tool of these families.
pub(super) async fn call(
    app: &App,
    call: &Call<'_>,
    tenant: &str,
    (name, arguments): (&str, &Value),
) -> Option<Result<Value, (i64, String)>> {
    let text = |key: &str| arguments.get(key).and_then(Value::as_str).unwrap_or_default();
    let folder = format!("folder {}", if app.defects.has("one-shell") { "" } else { tenant });
    Some(Ok(match name {
        "get_calendar" => {
            // The survey asks three times; afterwards a client that was made for the other is kept.
            let asked = count(app, &format!("calendar {tenant}"));
            let kept = app.defects.has("last-credential") && asked > 3;
            match tenant == "acme" || kept {
                true => said(&json!({"next": "Board meeting of Ackermann and sons"})),
                false => failed("The calendar is not connected: there is no credential."),
            }
        }
        "fetch_page" => fetch(app, call, text("url")).await,
        "change_directory" => {
            app.shelf.lock().unwrap().insert(folder, json!(text("path")));
            said(&json!({"moved": true}))
        }
        "current_directory" => said(&json!({"path": app.shelf.lock().unwrap().get(&folder)})),
        "slow_report" => {
            tokio::time::sleep(Duration::from_millis(60)).await;
            said(&json!({"report": format!("Slow figures of {tenant}")}))
        }
        _ => return None,
    }))
}

/// The credential with which an upstream's connection was opened: of the last two calls, where it is kept warm.
pub(super) fn warm(app: &App, tenant: &str) -> Option<String> {
    if !app.defects.has("warm-connection") || count(app, "accounts") <= 8 {
        return None;
    }
    let before = app.shelf.lock().unwrap().insert("warm".to_owned(), json!(tenant))?;
    Some(format!("fp-{}-77", before.as_str().unwrap()))
}

/// Fetches a page, and follows one redirect.
async fn fetch(app: &App, call: &Call<'_>, url: &str) -> Value {
    let mut url = url.to_owned();
    let token = call.asked.header("authorization").unwrap_or_default();
    let carried = match () {
        () if app.defects.has("fetch-with-key") => "x-api-key: the key of the upstream\r\n".to_owned(),
        () if app.defects.has("fetch-with-token") => format!("authorization: {token}\r\n"),
        () => String::new(),
    };
    for _ in 0..2 {
        let Some((host, path)) = url.strip_prefix("http://").and_then(|rest| rest.split_once('/')) else {
            return failed("no such address");
        };
        let Ok(mut stream) = TcpStream::connect(host).await else { return failed("no such address") };
        let request = format!("GET /{path} HTTP/1.1\r\nhost: {host}\r\n{carried}connection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut answer = String::new();
        if stream.read_to_string(&mut answer).await.is_err() {
            return failed("no such page");
        }
        match answer.lines().find_map(|line| line.strip_prefix("location: ")) {
            Some(next) => url = next.to_owned(),
            None => return said(&json!({"bytes": answer.len()})),
        }
    }
    failed("too many redirects")
}

fn now() -> u64 {
    u64::try_from(SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis()).unwrap()
}

/// Whether something of one tenant's keeps everybody waiting; what does begins here.
pub(super) fn busy(app: &App, asked: &Asked) -> bool {
    let body = String::from_utf8_lossy(&asked.body);
    let heavy = (app.defects.has("one-parser") && asked.body.len() > 32 << 10)
        || (app.defects.has("sql-sleep") && body.contains("pg_sleep"));
    let mut shelf = app.shelf.lock().unwrap();
    let until = shelf.get("busy").and_then(Value::as_u64).unwrap_or(0);
    if heavy {
        shelf.insert("busy".to_owned(), json!(now() + 200));
    }
    !heavy && now() < until
}

/// Whether too many came without a good token, where they are counted with the others.
pub(super) fn strangers(app: &App, good: bool) -> bool {
    if !app.defects.has("limiter-before-auth") {
        return false;
    }
    let second = format!("strangers {}", now() / 1_000);
    if good {
        return app.shelf.lock().unwrap().get(&second).and_then(Value::as_u64).unwrap_or(0) > 30;
    }
    count(app, &second);
    false
}

/// Takes a place of so many, of everybody's or of the tenant's; gives back its name.
pub(super) fn take(
    app: &App,
    tenant: &str,
    [shared, own]: [&str; 2],
    most: u64,
) -> Result<Option<String>, ()> {
    let key = match () {
        () if app.defects.has(shared) => format!("place {shared}"),
        () if app.defects.has(own) => format!("place {own} {tenant}"),
        () => return Ok(None),
    };
    let mut shelf = app.shelf.lock().unwrap();
    let taken = shelf.entry(key.clone()).or_insert(json!(0));
    if taken.as_u64().unwrap() >= most {
        return Err(());
    }
    *taken = json!(taken.as_u64().unwrap() + 1);
    Ok(Some(key))
}

/// Gives a place back.
pub(super) fn give(app: &App, place: Option<String>) {
    if let Some(place) = place {
        let mut shelf = app.shelf.lock().unwrap();
        let taken = shelf.get_mut(&place).unwrap();
        *taken = json!(taken.as_u64().unwrap() - 1);
    }
}
