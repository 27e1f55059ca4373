//! Attacks on parsing (catalogue section 15): a request means one thing, to the gateway and to whoever looked at it
//! before, or it means nothing.

mod http;

use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde_json::{Value, json};

use crate::support::{Answer, Ask, Conn, House, META};

fn regional(region: &str) -> Ask {
    Ask::modern_call("regional", &json!({ "region": region })).header("Mcp-Param-Region", region)
}

#[track_caller]
fn assert_mismatch(what: &str, answer: &Answer) {
    assert_eq!((answer.status, answer.code()), (400, -32020), "{what}: {answer:?}");
}

#[tokio::test]
async fn xp_01_headers_and_body_say_the_same() {
    let house = House::open().await;
    let mut acme = house.caller("acme");
    let good = || Ask::modern_call("whoami", &json!({}));
    let rows = [
        ("another method", good().set("Mcp-Method", "tools/list")),
        ("no method", good().without("Mcp-Method")),
        ("an empty method", good().set("Mcp-Method", "")),
        ("the method in capitals", good().set("Mcp-Method", "TOOLS/CALL")),
        ("two methods", good().header("Mcp-Method", "tools/list")),
        ("the method twice", good().header("Mcp-Method", "tools/call")),
        ("a list of methods", good().set("Mcp-Method", "tools/call, tools/list")),
        ("another tool", good().set("Mcp-Name", "get_ticket")),
        ("no tool", good().without("Mcp-Name")),
        ("two tools", good().header("Mcp-Name", "get_ticket")),
        ("the tool twice", good().header("Mcp-Name", "whoami")),
        ("the tool in capitals", good().set("Mcp-Name", "WHOAMI")),
        ("a foreign tool", good().set("Mcp-Name", "globex_admin")),
        ("no version", good().without("MCP-Protocol-Version")),
        ("an older version", good().set("MCP-Protocol-Version", "2025-11-25")),
        ("two versions", good().header("MCP-Protocol-Version", "2025-11-25")),
        ("the version twice", good().header("MCP-Protocol-Version", "2026-07-28")),
        ("an unknown version", good().set("MCP-Protocol-Version", "2099-01-01")),
        ("an empty version", good().set("MCP-Protocol-Version", "")),
    ];
    for (what, ask) in rows {
        assert_mismatch(what, &acme.ask(ask).await);
    }
    // The body is another one, the headers are the same.
    let call = Ask::call("get_ticket", &json!({ "id": 4 })).text();
    let list = Ask::legacy("tools/list", &json!({})).text();
    for text in [call, list] {
        let text =
            text.replace("\"params\":{", &format!("\"params\":{{\"_meta\":{META},")).replace(",}", "}");
        assert_mismatch(&text, &acme.ask(good().with_body(text.clone())).await);
    }
    // An old revision's request does not get by with a new revision's headers, or the reverse.
    let old = Ask::call("whoami", &json!({}))
        .header("MCP-Protocol-Version", "2026-07-28")
        .header("Mcp-Method", "tools/call");
    assert_eq!(acme.ask(old).await.code(), -32602, "what must be in _meta is missing");
    let unknown = Ask::call("whoami", &json!({})).header("MCP-Protocol-Version", "2024-11-05");
    assert_eq!(acme.ask(unknown).await.code(), -32022);
    assert!(acme.ask(good()).await.is_ok(), "the well-formed twin");
    // In the old revisions these headers say nothing and change nothing.
    for version in ["2025-11-25", "2025-06-18", "2025-03-26"] {
        let ask = Ask::call("whoami", &json!({})).header("MCP-Protocol-Version", version);
        let ask = ask.header("Mcp-Name", "get_ticket").header("Mcp-Method", "tools/list");
        assert_eq!(acme.ask(ask).await.content()["tenant"], "acme");
    }
}

#[tokio::test]
async fn xp_02_mirrored_arguments_agree_with_their_headers() {
    let house = House::open().await;
    let mut acme = house.caller("acme");
    let without = || Ask::modern_call("regional", &json!({ "region": "eu" }));
    let both = |floor: Value| {
        Ask::modern_call("regional", &json!({ "region": "eu", "floor": floor }))
            .header("Mcp-Param-Region", "eu")
    };
    let rows = [
        ("no header", without()),
        ("another value", without().header("Mcp-Param-Region", "us")),
        ("another case", without().header("Mcp-Param-Region", "EU")),
        ("an empty one", without().header("Mcp-Param-Region", "")),
        ("two", regional("eu").header("Mcp-Param-Region", "us")),
        ("twice", regional("eu").header("Mcp-Param-Region", "eu")),
        ("a list", without().header("Mcp-Param-Region", "eu, us")),
        ("a header without its argument", regional("eu").header("Mcp-Param-Floor", "3")),
        ("another number", both(json!(3)).header("Mcp-Param-Floor", "4")),
        ("no number", both(json!(3)).header("Mcp-Param-Floor", "three")),
        ("a number without its header", both(json!(3))),
        ("infinity", both(json!(3)).header("Mcp-Param-Floor", "inf")),
        ("an argument of another type", both(json!([3])).header("Mcp-Param-Floor", "3")),
    ];
    for (what, ask) in rows {
        assert_mismatch(what, &acme.ask(ask).await);
    }
    assert_eq!(acme.ask(regional("eu")).await.content()["region"], "eu");
    for floor in ["3", "3.0", "3e0"] {
        let answer = acme.ask(both(json!(3)).header("Mcp-Param-Floor", floor)).await;
        assert_eq!(answer.content()["floor"], 3, "equal as numbers: {floor}");
    }
    let null = both(json!(null));
    assert!(acme.ask(null).await.is_ok(), "what is left out has no header");
    // A header of no argument says nothing, also where a tenant would stand in it.
    let answer = acme.ask(regional("eu").header("Mcp-Param-Tenant", "globex")).await;
    assert!(answer.is_ok(), "{answer:?}");
    // The old revisions have no such headers.
    let old = Ask::call("regional", &json!({ "region": "eu" })).header("Mcp-Param-Region", "us");
    assert_eq!(acme.ask(old).await.content()["region"], "eu");
}

#[tokio::test]
async fn xp_03_the_base64_form_is_undone_once() {
    let house = House::open().await;
    let mut acme = house.caller("acme");
    let wrap = |text: &str| format!("=?base64?{}?=", STANDARD.encode(text));
    let ask = |region: &str, header: &str| {
        Ask::modern_call("regional", &json!({ "region": region })).header("Mcp-Param-Region", header)
    };
    for region in ["eu", "zürich", "", "a\nb", " eu ", "=?base64?x?=", "日本"] {
        let answer = acme.ask(ask(region, &wrap(region))).await;
        assert_eq!(answer.content()["region"], region, "{answer:?}");
    }
    let named = Ask::modern_call("whoami", &json!({})).set("Mcp-Name", &wrap("whoami"));
    assert!(acme.ask(named).await.is_ok());
    let encoded = STANDARD.encode("eu");
    let bad = [
        format!("=?BASE64?{encoded}?="),
        format!("=?base64?{}?=", encoded.trim_end_matches('=')),
        format!("=?base64?{encoded}"),
        format!("=?base64?{encoded}=?="),
        "=?base64?ZXV?=".to_owned(),
        // Stray bits at the end, a line break, the other alphabet, no UTF-8.
        "=?base64?ZXX=?=".to_owned(),
        "=?base64?ZX V=?=".to_owned(),
        "=?base64?__-_?=".to_owned(),
        "=?base64?/w==?=".to_owned(),
        "=?base64??=".to_owned(),
        wrap(&wrap("eu")),
        format!("=?utf-8?b?{encoded}?="),
        format!("x=?base64?{encoded}?="),
    ];
    for header in bad {
        assert_mismatch(&header, &acme.ask(ask("eu", &header)).await);
    }
    // A name that is hidden is hidden in this form too.
    let plain = acme.ask(Ask::modern_call("no_such_tool", &json!({}))).await;
    for name in ["globex_admin", "globex_regional"] {
        let hidden = Ask::modern_call(name, &json!({})).set("Mcp-Name", &wrap(name));
        assert_eq!(acme.ask(hidden).await.comparable(), plain.comparable());
    }
}

/// Adds headers to a request.
type Shape = fn(Ask) -> Ask;

/// With and without the headers that its schema asks for, a hidden tool is an unknown one (ERR-03).
#[tokio::test]
async fn a_hidden_tool_has_no_schema() {
    let house = House::open().await;
    let (mut acme, mut globex) = (house.caller("acme"), house.caller("globex"));
    let shapes: [(&str, Shape); 4] = [
        ("no header", |ask| ask),
        ("the right one", |ask| ask.header("Mcp-Param-Region", "eu")),
        ("a wrong one", |ask| ask.header("Mcp-Param-Region", "us")),
        ("more", |ask| ask.header("Mcp-Param-Region", "eu").header("Mcp-Param-Floor", "1")),
    ];
    for (caller, hidden) in [(&mut acme, "globex_regional"), (&mut globex, "acme_notes")] {
        for arguments in [json!({ "region": "eu" }), json!({}), json!({ "region": 1 }), json!([])] {
            for (what, shape) in shapes {
                let hidden = caller.ask(shape(Ask::modern_call(hidden, &arguments))).await;
                let unknown = caller.ask(shape(Ask::modern_call("no_such_tool", &arguments))).await;
                assert_eq!(hidden.comparable(), unknown.comparable(), "{what} {arguments}");
                assert_eq!((hidden.status, hidden.code()), (200, -32602));
            }
        }
    }
    // The owner is told what is wrong.
    let answer = globex.ask(Ask::modern_call("globex_regional", &json!({ "region": "eu" }))).await;
    assert_mismatch("the owner", &answer);
    let good =
        Ask::modern_call("globex_regional", &json!({ "region": "eu" })).header("Mcp-Param-Region", "eu");
    assert!(globex.ask(good).await.is_ok());
}

const PING: &str = r#"{"jsonrpc":"2.0","id":1,"method":"ping"}"#;

/// Valid JSON that is no JSON-RPC request.
const NO_MESSAGE: [&str; 13] = [
    r#"{"jsonrpc":"2.0","id":1,"id":2,"method":"ping"}"#,
    r#"{"jsonrpc":"2.0","id":1,"method":"ping","method":"tools/list"}"#,
    r#"{"jsonrpc":"2.0","id":1,"method":"ping","m\u0065thod":"tools/list"}"#,
    r#"{"jsonrpc":"2.0","id":1,"Method":"ping"}"#,
    r#"{"jsonrpc":"2.0","id":1,"METHOD":"ping"}"#,
    r#"{"jsonrpc":"1.0","id":1,"method":"ping"}"#,
    r#"{"id":1,"method":"ping"}"#,
    r#"{"jsonrpc":"2.0","id":1,"method":7}"#,
    r#"{"jsonrpc":"2.0","id":1,"method":"ping","result":{}}"#,
    r#"{"jsonrpc":"2.0","id":1,"method":"ping","error":{"code":1}}"#,
    "7",
    "null",
    "\"ping\"",
];

/// No JSON; `PING` stands for a good message.
const NO_JSON: [&str; 15] = [
    "",
    "   ",
    "\u{feff}PING",
    "PINGx",
    "PINGPING",
    "PING\0",
    "/* x */PING",
    "PING// x",
    r#"{"jsonrpc":"2.0","id":1,"method":"ping",}"#,
    "{'jsonrpc':'2.0','id':1,'method':'ping'}",
    r#"{jsonrpc:"2.0",id:1,method:"ping"}"#,
    r#"{"jsonrpc":"2.0","id":1,"method":"ping","x":NaN}"#,
    r#"{"jsonrpc":"2.0","id":1,"method":"ping","x":Infinity}"#,
    r#"{"jsonrpc":"2.0","id":1,"method":"ping","x":01}"#,
    "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"pi\nng\"}",
];

/// Parameters of `tools/call` that do not fit, and the status they are refused with.
const NO_PARAMS: [(&str, u16); 18] = [
    (r#"{"name":"whoami","name":"get_ticket","arguments":{"id":4}}"#, 400),
    (r#"{"name":"whoami","n\u0061me":"get_ticket"}"#, 400),
    (r#"{"name":"get_ticket","arguments":{"id":4},"arguments":{"id":5}}"#, 400),
    (r#"{"name":"get_ticket","arguments":{"id":4,"id":5}}"#, 200),
    (r#"{"name":"get_ticket","arguments":{"id":4,"\u0069d":5}}"#, 200),
    (r#"{"name":"search_tickets","arguments":{"query":"\ud800"}}"#, 200),
    (r#"{"name":"who\udc00ami"}"#, 400),
    (r#"{"name":["whoami"]}"#, 400),
    (r#"["whoami"]"#, 400),
    (r#""whoami""#, 400),
    (r#"{"paramſ":1}"#, 200),
    (r#"{"Name":"whoami"}"#, 200),
    (r#"{"name":"whoami","arguments":[]}"#, 200),
    (r#"{"name":"whoami","arguments":"{}"}"#, 200),
    (r#"{"name":"whoami","_meta":[]}"#, 400),
    (r#"{"name":"whoami","_meta":{"progressToken":1,"progressToken":2}}"#, 400),
    (r#"{"name":"whoami","_meta":{"progressToken":{}}}"#, 200),
    (r#"{"name":"whoami","_meta":{"progressToken":"\ud800"}}"#, 200),
];

#[tokio::test]
async fn xp_04_json_means_one_thing() {
    let house = House::open().await;
    let mut acme = house.caller("acme");
    let params =
        |params: &str| format!(r#"{{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{params}}}"#);
    let rows = NO_MESSAGE
        .iter()
        .map(|body| ((*body).to_owned(), 400, -32600))
        .chain(NO_JSON.iter().map(|body| (body.replace("PING", PING), 400, -32700)))
        .chain(NO_PARAMS.iter().map(|(body, status)| (params(body), *status, -32602)));
    for (body, status, code) in rows {
        let answer = acme.ask(Ask::post(body.clone())).await;
        assert_eq!((answer.status, answer.code()), (status, code), "{body}: {answer:?}");
    }
    let no_utf8 = [b"{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"pi\xff".as_slice(), b"ng\"}"].concat();
    assert_eq!(acme.ask(Ask::post(no_utf8)).await.code(), -32700);
    let utf16: Vec<u8> =
        r#"{"jsonrpc":"2.0","id":1,"method":"ping"}"#.encode_utf16().flat_map(u16::to_le_bytes).collect();
    assert!(!acme.ask(Ask::post(utf16)).await.is_ok());
    // The twins that are right, in any spelling that JSON has.
    for body in [
        PING,
        " \t\r\n{\"method\":\"pi\\u006eg\",\"id\":1,\"jsonrpc\":\"2.0\"}\r\n ",
        r#"{"jsonrpc":"2.0","id":1,"method":"ping","params":null}"#,
        r#"{"jsonrpc":"2.0","id":1,"method":"ping","params":{"_meta":null},"x":[1e400,{"a":1,"a":2}]}"#,
    ] {
        assert!(acme.ask(Ask::post(body)).await.is_ok(), "{body}");
    }
    // Numbers beyond what most readers keep exactly are refused where they would be used.
    for id in ["9007199254740993.0", "1e19", "18446744073709551616", "4.0000001", "-1e400"] {
        let body =
            Ask::call("get_ticket", &json!({ "id": 0 })).text().replace("\"id\":0", &format!("\"id\":{id}"));
        let answer = acme.ask(Ask::post(body)).await;
        assert!(!answer.is_ok(), "{id}: {answer:?}");
    }
    let body = Ask::call("get_ticket", &json!({ "id": 0 })).text().replace("\"id\":0", "\"id\":4.0");
    assert_eq!(acme.ask(Ask::post(body)).await.content()["id"], 4);
}

/// A notification is never a call, whatever its method.
#[tokio::test]
async fn a_message_without_an_id_does_nothing() {
    let house = House::open().await;
    let mut acme = house.caller("acme");
    let body = r#"{"jsonrpc":"2.0","method":"tools/call","params":{"name":"add_comment","arguments":{"ticket_id":4,"body":"x"}}}"#;
    let answer = acme.ask(Ask::post(body)).await;
    assert_eq!((answer.status, answer.body.len()), (202, 0));
    assert_eq!(acme.call("totals", json!({})).await.content()["comments"], 0);
}

/// Old and new revisions, `initialize` among them, from both on one connection (XP-10, SE-17).
#[tokio::test]
async fn xp_10_every_request_speaks_for_itself() {
    let house = House::open().await;
    let (acme, globex) = (house.caller("acme"), house.caller("globex"));
    let mut conn = Conn::open(house.address).await;
    let whoami = json!({});
    for round in 0..60 {
        let caller = if round % 2 == 0 { &acme } else { &globex };
        let wanted = &caller.tenant;
        let ask = match round % 5 {
            0 => Ask::legacy("initialize", &json!({ "protocolVersion": "2025-03-26" })),
            1 => Ask::modern_call("whoami", &whoami),
            2 => Ask::call("whoami", &whoami).header("MCP-Protocol-Version", "2025-06-18"),
            3 => Ask::modern("initialize", &json!({})),
            _ => Ask::call("whoami", &whoami),
        };
        let answer = conn.ask(&ask.bearer(&caller.token)).await;
        caller.assert_own(&answer.raw());
        match round % 5 {
            0 => assert_eq!(answer.result()["protocolVersion"], "2025-03-26"),
            3 => {
                assert_eq!((answer.status, answer.code()), (404, -32601), "the new revision has no handshake")
            }
            _ => assert_eq!(answer.content()["tenant"], *wanted),
        }
        // The new revision's results say what they are; the old one's have no such field.
        let modern = answer.text().contains("resultType");
        assert_eq!(modern, round % 5 == 1, "{answer:?}");
    }
}
