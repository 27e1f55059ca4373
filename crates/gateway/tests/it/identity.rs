//! Attacks on identity, over real HTTP (catalogue section 1): whoever comes, however dressed, is who the one verified
//! token says, or nobody.

mod claims;

use serde_json::{Value, json};

use crate::support::{Answer, Ask, Caller, Conn, House};

const ATTACKS: &str = "X-Tenant-Id X-Tenant X-Tenant-ID X_Tenant_Id X-Org X-Org-Id X-Organization-Id X-User X-User-Id \
    X-Forwarded-User X-Forwarded-Email X-Forwarded-Preferred-Username X-Forwarded-Host X-Original-URL X-Rewrite-URL \
    Forwarded X-Real-IP X-Forwarded-For X-MS-CLIENT-PRINCIPAL X-MS-CLIENT-PRINCIPAL-ID X-Auth-Request-User Remote-User \
    X-Amzn-Oidc-Identity X-Goog-Authenticated-User-Email X-Api-Key Api-Key X-Auth-Token X-Access-Token Cookie";

/// A refusal of somebody unknown: the status, the challenge, and nothing about why.
#[track_caller]
fn assert_refused(technique: &str, answer: &Answer) {
    assert_eq!(answer.status, 401, "{technique}: {answer:?}");
    let challenge = answer.header("www-authenticate").unwrap_or_default();
    assert!(challenge.starts_with("Bearer resource_metadata=\"http"), "{technique}: {challenge}");
    if !answer.body.is_empty() {
        assert_eq!(answer.code(), 401, "{technique}: {answer:?}");
        let told = answer.json()["error"].as_object().unwrap().len();
        assert_eq!(told, 2, "{technique}: code and message, and no more: {answer:?}");
    }
}

async fn assert_is_acme(technique: &str, caller: &mut Caller, ask: Ask) {
    let answer = caller.ask(ask).await;
    assert_eq!(answer.content()["tenant"], "acme", "{technique}: {answer:?}");
}

#[tokio::test]
async fn id_01_without_a_token_nothing_is_answered() {
    let house = House::open().await;
    let (mut nobody, mut acme) = (house.stranger(), house.caller("acme"));
    let none = json!({});
    let methods = [
        "server/discover",
        "initialize",
        "ping",
        "tools/list",
        "tools/call",
        "resources/list",
        "prompts/list",
        "subscriptions/listen",
        "tasks/list",
        "logging/setLevel",
        "notifications/initialized",
        "no/such/method",
    ];
    let mut first: Option<String> = None;
    for method in methods {
        for ask in [Ask::legacy(method, &none), Ask::modern(method, &none)] {
            let answer = nobody.ask(ask).await;
            assert_refused(method, &answer);
            let seen = first.get_or_insert_with(|| answer.comparable());
            assert_eq!(*seen, answer.comparable(), "{method}: every refusal is the same");
        }
    }
    for method in ["GET", "DELETE", "OPTIONS", "PUT", "PATCH", "HEAD", "TRACE"] {
        assert_refused(method, &nobody.ask(Ask::new(method, "/mcp")).await);
        // The owner is told what is wrong with the method.
        let owner = acme.ask(Ask::new(method, "/mcp")).await;
        assert_eq!((owner.status, owner.header("allow")), (405, Some("POST")), "{method}");
    }
    assert_eq!(acme.whoami().await["tenant"], "acme");
    // Where to get a token may be known by everybody, and says nothing about tenants.
    let metadata = nobody.ask(Ask::new("GET", "/.well-known/oauth-protected-resource/mcp")).await;
    assert_eq!(metadata.json()["resource"], house.resource());
    let text = metadata.text();
    assert!(!text.contains("acme") && !text.contains("globex"), "{text}");
}

/// Every tool, with every name that an argument for a tenant could have, declared or not.
#[tokio::test]
async fn id_17_no_argument_names_a_tenant() {
    let house = House::open().await;
    let mut acme = house.caller("acme");
    let names = [
        "tenant",
        "tenant_id",
        "tenantId",
        "TENANT_ID",
        "org",
        "org_id",
        "organization_id",
        "account",
        "account_id",
        "workspace",
        "workspace_id",
        "user_id",
        "owner",
        "on_behalf_of",
        "x-tenant-id",
    ];
    let tools = [
        ("whoami", json!({})),
        ("list_tickets", json!({})),
        ("get_ticket", json!({ "id": 4 })),
        ("search_tickets", json!({ "query": "cnry" })),
        ("customer_profile", json!({ "customer_id": "cus_1001" })),
        ("totals", json!({})),
        ("remember", json!({})),
        ("cached_note", json!({ "key": "k" })),
        ("acme_notes", json!({})),
    ];
    for (tool, good) in tools {
        let twin = acme.call(tool, good.clone()).await;
        assert!(twin.is_ok(), "the twin without the argument: {tool}: {twin:?}");
        for name in names {
            for value in [json!("globex"), json!(["globex"]), json!({ "id": "globex" })] {
                let mut arguments = good.clone();
                arguments[name] = value;
                let answer = acme.call(tool, arguments).await;
                let said = answer.tool_error();
                assert!(said.starts_with("There is no argument"), "{tool} {name}: {answer:?}");
            }
        }
    }
}

#[tokio::test]
async fn id_18_no_nested_argument_names_a_tenant() {
    let house = House::open().await;
    let mut acme = house.caller("acme");
    let nested = [
        json!({ "filter": { "tenant": "globex" } }),
        json!({ "where": { "tenant_id": { "$eq": "globex" } } }),
        json!({ "options": { "tenant": "globex" } }),
        json!({ "__proto__": { "tenant": "globex" } }),
        json!({ "constructor": { "prototype": { "tenant": "globex" } } }),
        json!({ "status": { "tenant": "globex" } }),
        json!({ "status": ["open", { "tenant": "globex" }] }),
        json!({ "limit": { "tenant": "globex" } }),
    ];
    for arguments in nested {
        let answer = acme.call("list_tickets", arguments.clone()).await;
        assert!(!answer.is_ok(), "{arguments}: {answer:?}");
        answer.tool_error();
    }
    // A text that looks like an object is a text.
    let query = json!({ "tenant": "globex" }).to_string();
    let answer = acme.call("search_tickets", json!({ "query": query })).await;
    assert_eq!(answer.content()["rows"], json!([]));
    let own = house.canaries.text_of("acme");
    let answer = acme.call("search_tickets", json!({ "query": own })).await;
    assert_eq!(answer.content()["rows"].as_array().unwrap().len(), 10, "the owner finds its own");
    // Arguments that are no object are no arguments.
    for arguments in [json!([{ "tenant": "globex" }]), json!("{\"tenant\":\"globex\"}"), json!(7)] {
        let ask = Ask::legacy("tools/call", &json!({ "name": "whoami", "arguments": arguments }));
        assert_eq!(acme.ask(ask).await.code(), -32602, "{arguments}");
    }
}

#[tokio::test]
async fn id_19_meta_and_client_names_say_nothing_about_the_caller() {
    let house = House::open().await;
    let mut acme = house.caller("acme");
    let mut meta: Value = serde_json::from_str(crate::support::META).unwrap();
    for key in
        ["tenant", "tenant_id", "user", "io.modelcontextprotocol/tenant", "com.example/tenant", "org_id"]
    {
        meta[key] = json!("globex");
    }
    meta["io.modelcontextprotocol/clientInfo"] =
        json!({ "name": "globex", "version": "1", "tenant": "globex" });
    let params =
        json!({ "name": "whoami", "arguments": {}, "_meta": meta, "tenant": "globex", "auth": "globex" });
    assert_is_acme("ID-19 legacy", &mut acme, {
        let mut legacy = params.clone();
        let map = legacy["_meta"].as_object_mut().unwrap();
        map.retain(|key, _| !key.starts_with("io.modelcontextprotocol/p"));
        Ask::legacy("tools/call", &legacy)
    })
    .await;
    let body =
        json!({ "jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": params, "tenant": "globex" });
    assert_is_acme(
        "ID-19 modern",
        &mut acme,
        Ask::modern_call("whoami", &json!({})).with_body(body.to_string()),
    )
    .await;
    let hello = json!({
        "protocolVersion": "2025-11-25", "capabilities": { "experimental": { "tenant": "globex" } },
        "clientInfo": { "name": "globex", "version": "1" },
    });
    assert!(acme.ask(Ask::legacy("initialize", &hello)).await.is_ok());
    assert_eq!(acme.whoami().await["tenant"], "acme");
}

#[tokio::test]
async fn id_20_forwarding_headers_name_nobody() {
    let house = House::open().await;
    let (mut acme, mut nobody) = (house.caller("acme"), house.stranger());
    let whoami = || Ask::call("whoami", &json!({}));
    for name in ATTACKS.split_whitespace() {
        for value in ["globex", "user@globex.example", "eyJzdWIiOiJnbG9iZXgifQ==", ""] {
            let once = whoami().header(name, value);
            let repeated = once.clone().header(name, "globex");
            assert_is_acme(name, &mut acme, once.clone()).await;
            assert_is_acme(name, &mut acme, repeated).await;
            // ID-22: what a proxy might have checked is no credential here, and neither is its absence.
            assert_refused(name, &nobody.ask(once).await);
        }
    }
}

#[tokio::test]
async fn id_21_two_credentials_are_no_credential() {
    let house = House::open().await;
    let (a, b) = (house.token("acme", "ann", ""), house.token("globex", "bob", ""));
    let mut acme = house.caller_with("acme", a.clone());
    let mut nobody = house.stranger();
    let whoami = || Ask::call("whoami", &json!({}));
    for (first, second) in [(&a, &b), (&b, &a), (&a, &a)] {
        assert_refused("ID-21 two headers", &nobody.ask(whoami().bearer(first).bearer(second)).await);
        let listed = whoami().header("Authorization", &format!("Bearer {first}, Bearer {second}"));
        assert_refused("ID-21 one list", &nobody.ask(listed).await);
    }
    let other = whoami().bearer(&a).header("Authorization", "Basic Z2xvYmV4Omdsb2JleA==");
    assert_refused("ID-21 two schemes", &nobody.ask(other).await);
    for (name, value) in [
        ("X-Api-Key", b.clone()),
        ("Cookie", format!("session={b}; access_token={b}; Authorization=Bearer {b}")),
        ("X-Access-Token", b.clone()),
        ("Proxy-Authorization", format!("Bearer {b}")),
        ("X-Authorization", format!("Bearer {b}")),
        ("Authorization_", format!("Bearer {b}")),
    ] {
        assert_is_acme(name, &mut acme, whoami().header(name, &value).bearer(&a)).await;
        assert_is_acme(name, &mut acme, whoami().bearer(&a).header(name, &value)).await;
        assert_refused(name, &nobody.ask(whoami().header(name, &value)).await);
    }
}

#[tokio::test]
async fn id_22_and_28_a_token_is_exactly_one_token() {
    let house = House::open().await;
    let token = house.token("acme", "ann", "");
    let (mut acme, mut nobody) = (house.caller("acme"), house.stranger());
    let (head, signature) = token.rsplit_once('.').unwrap();
    let long = format!("Bearer {}.{}.{}", "a".repeat(9000), "b", "c");
    let bad = [
        String::new(),
        " ".to_owned(),
        "Bearer".to_owned(),
        "Bearer ".to_owned(),
        "Bearer 0".to_owned(),
        "Bearer false".to_owned(),
        "Bearer null".to_owned(),
        "Bearer undefined".to_owned(),
        format!("Bearer  {token}"),
        format!("Bearer\t{token}"),
        format!("Bearer {token}x"),
        format!("Bearer {token}="),
        format!("Bearer {token}."),
        format!("Bearer {token}.e30"),
        format!("Bearer {token} x"),
        format!("Bearer {token},"),
        format!("Bearer \"{token}\""),
        format!("Bearer {}", token.split_at(token.len() - 1).0),
        format!("Bearer {head}."),
        format!("Bearer {head}"),
        format!("Bearer .{signature}"),
        format!("Basic {token}"),
        format!("DPoP {token}"),
        format!("Token {token}"),
        token.clone(),
        // Five parts: an encrypted token.
        "Bearer eyJhbGciOiJkaXIiLCJlbmMiOiJBMjU2R0NNIn0..YWJj.ZGVm.Z2hp".to_owned(),
        long,
    ];
    for value in bad {
        let ask = Ask::call("whoami", &json!({})).header("Authorization", &value);
        assert_refused(&value, &nobody.ask(ask).await);
    }
    // The scheme's name may be written in any case (RFC 9110); the whitespace around a header's value is none of it.
    for value in [format!("bearer {token}"), format!("BEARER {token}"), format!("  Bearer {token}  ")] {
        let ask = Ask::call("whoami", &json!({})).header("Authorization", &value);
        assert_is_acme(&value, &mut acme, ask).await;
    }
}

#[tokio::test]
async fn id_23_a_token_in_the_target_is_no_token() {
    let house = House::open().await;
    let (a, b) = (house.token("acme", "ann", ""), house.token("globex", "bob", ""));
    let (mut acme, mut nobody) = (house.caller_with("acme", a), house.stranger());
    for name in ["access_token", "token", "authorization", "bearer", "api_key", "tenant"] {
        let target = format!("/mcp?{name}={b}");
        let ask = Ask::call("whoami", &json!({})).to(&target);
        assert_refused(name, &nobody.ask(ask.clone()).await);
        assert_is_acme(name, &mut acme, ask).await;
    }
    let form = Ask::call("whoami", &json!({}))
        .set("Content-Type", "application/x-www-form-urlencoded")
        .with_body(format!("access_token={b}"));
    assert_refused("form body", &nobody.ask(form).await);
}

#[tokio::test]
async fn id_24_path_and_host_select_nobody() {
    let house = House::open().await;
    let mut acme = house.caller("acme");
    let whoami = || Ask::call("whoami", &json!({}));
    let address = house.address;
    for target in ["/globex/mcp", "/mcp/globex", "/tenants/globex/mcp", "/mcp/../globex", "/globex"] {
        let answer = acme.ask(whoami().to(target)).await;
        assert_eq!((answer.status, answer.body.len()), (404, 0), "{target}");
    }
    for host in
        ["globex.localhost", "globex.example", "globex", "localhost@globex.example", "localhost.globex"]
    {
        let answer = acme.ask(whoami().set("Host", host)).await;
        assert_eq!((answer.status, answer.code()), (403, 403), "{host}");
    }
    for (target, host) in [
        ("http://globex.example/mcp".to_owned(), "localhost"),
        ("http://localhost/mcp".to_owned(), "globex.example"),
        (format!("http://globex@{address}/mcp"), "localhost"),
    ] {
        let answer = acme.ask(whoami().to(&target).set("Host", host)).await;
        assert_eq!(answer.status, 403, "{target} {host}: {answer:?}");
    }
    // The absolute form of the right name is the same request (RFC 9112).
    assert_is_acme("absolute form", &mut acme, whoami().to("http://localhost/mcp")).await;
    for name in ["X-Forwarded-Host", "X-Host", "X-Original-Host", "Forwarded"] {
        assert_is_acme(name, &mut acme, whoami().header(name, "globex.example")).await;
    }
    let mut conn = Conn::open(address).await;
    let twice = whoami().bearer(&acme.token).header("Host", "globex.example");
    let answer = conn.ask(&twice).await;
    assert!(matches!(answer.status, 400 | 403), "two hosts: {answer:?}");
}

/// A tool of somebody else, one for which the scope is missing, and one that does not exist.
#[tokio::test]
async fn id_27_low_roles_reach_no_hidden_tool() {
    let house = House::open().await;
    let mut low = house.caller("acme");
    let mut admin = house.caller_with("acme", house.token("acme", "ann", "admin"));
    let mut their_admin = house.caller_with("globex", house.token("globex", "bob", "admin"));
    let mut their_low = house.caller("globex");
    for make in [Ask::call, Ask::modern_call] {
        for caller in [&mut low, &mut admin] {
            let unknown = caller.ask(make("no_such_tool", &json!({}))).await;
            assert_eq!(unknown.code(), -32602);
            for hidden in ["globex_admin", "globex_regional", "GLOBEX_ADMIN", "globex_admin.", "globex/admin"]
            {
                let answer = caller.ask(make(hidden, &json!({}))).await;
                assert_eq!(answer.comparable(), unknown.comparable(), "{hidden}");
            }
        }
        // The positive controls: the scope is what is missing, where the tool exists.
        assert!(their_admin.ask(make("globex_admin", &json!({}))).await.is_ok());
        let answer = their_low.ask(make("globex_admin", &json!({}))).await;
        assert_eq!((answer.status, answer.code()), (403, 403));
        let challenge = answer.header("www-authenticate").unwrap();
        assert!(
            challenge.contains("insufficient_scope") && challenge.contains("scope=\"admin\""),
            "{challenge}"
        );
        assert!(admin.ask(make("close_books", &json!({}))).await.is_ok());
        assert_eq!(low.ask(make("close_books", &json!({}))).await.status, 403);
    }
    // A scope in another claim's or client's words is none.
    for scopes in ["Admin", "administrator", "admin:read", "admins"] {
        let mut nearly = house.caller_with("acme", house.token("acme", "ann", scopes));
        assert_eq!(nearly.call("close_books", json!({})).await.status, 403, "{scopes}");
    }
}
