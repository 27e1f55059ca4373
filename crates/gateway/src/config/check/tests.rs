//! Bad configurations with what is said about them, and their good twins.

use std::path::Path;

use super::{names::names_tenant, *};

fn parse(text: &str) -> Result<Config, String> {
    Config::parse(text, "p.toml", Path::new(".")).map_err(|error| error.to_string())
}

/// Each bad text gives exactly one problem, which holds the fragment; each good one none.
fn judge(cases: &[(&str, &str)], good: &[&str]) {
    for (text, fragment) in cases {
        let error = parse(text).expect_err(text);
        assert!(error.contains(fragment), "{text}\n{error}");
        assert_eq!(error.lines().count(), 1, "{text}\n{error}");
    }
    for text in good {
        assert_eq!(parse(text).map(drop), Ok(()), "{text}");
    }
}

/// A SQL tool with the given lines.
fn sql_tool(lines: &str) -> String {
    format!(
        "[data.desk]\ndriver = \"sqlite\"\n[[tool]]\nname = \"t\"\nsource = \"desk\"\nsql = \"SELECT 1\"\n{lines}\n"
    )
}

/// An HTTP tool with the given lines.
fn http_tool(lines: &str) -> String {
    format!("[[tool]]\nname = \"t\"\nhttp = {{ url = \"https://crm.example.com/\" }}\n{lines}\n")
}

fn judge_tools(wrap: impl Fn(&str) -> String, cases: &[(&str, &str)], good: &[&str]) {
    for (lines, fragment) in cases {
        judge(&[(&wrap(lines), fragment)], &[]);
    }
    for lines in good {
        judge(&[], &[&wrap(lines)]);
    }
}

#[test]
fn servers() {
    judge(
        &[
            ("[server]\nlisten = \"0.0.0.0:80\"", "`server.public_url`: is missing"),
            ("[server]\npublic_url = \"mcp.example.com/mcp\"", "absolute URL"),
            ("[server]\npublic_url = \"http://mcp.example.com/mcp\"", "must be `https`"),
            ("[server]\npublic_url = \"ftp://mcp.example.com/mcp\"", "`https` URL"),
            ("[server]\npublic_url = \"https://mcp.example.com/mcp?x=1\"", "no query"),
            ("[server]\npublic_url = \"https://mcp.example.com/mcp#x\"", "no query and no fragment"),
            ("[server]\npublic_url = \"https://u:p@mcp.example.com/mcp\"", "no user name"),
            ("[server]\nadmin_listen = \"127.0.0.1:8787\"", "`server.admin_listen`: must differ"),
            ("[server]\nallowed_origins = [\"https://app.example.com/\"]", "is no origin"),
            ("[server]\nallowed_origins = [\"*\"]", "`*` is no origin"),
            ("[server]\nallowed_origins = [\"null\"]", "is no origin"),
            ("[server]\nallowed_hosts = [\"https://x\"]", "is no host"),
            ("[server]\nmax_body_bytes = 0", "`server.max_body_bytes`: must be from 1 to 67108864"),
            ("[server]\nmax_body_bytes = 100000000", "`server.max_body_bytes`"),
            ("[server]\nmax_connections = 0", "`server.max_connections`"),
            ("[server]\nconcurrent_requests = 0", "`server.concurrent_requests`"),
            (
                "[server]\nlisten = \"localhost:80\"",
                "`server.listen`: `localhost:80` is no address to listen on",
            ),
            ("[server]\nadmin_listen = \"8788\"", "`server.admin_listen`: `8788` is no address"),
            ("[audit]\nmax_file_bytes = 1", "`audit.max_file_bytes`: must be from 16384 to"),
            ("[server]\nrefusal_delay = \"6s\"", "`server.refusal_delay`: must be at most"),
            ("[server]\nread_timeout = \"0s\"", "`server.read_timeout`: must be more than 0"),
            ("[server]\ncall_timeout = \"2h\"", "`server.call_timeout`"),
            ("[server]\ndrain_timeout = \"2h\"", "`server.drain_timeout`"),
            ("[server]\nname = \"\"", "`server.name`"),
            ("[server]\ndata_dir = \"\"", "`server.data_dir`"),
        ],
        &[
            "",
            "[server]\nlisten = \"0.0.0.0:80\"\npublic_url = \"https://mcp.example.com/mcp\"",
            "[server]\npublic_url = \"http://localhost:8787/mcp\"",
            "[server]\npublic_url = \"http://[::1]:8787/mcp\"",
            "[server]\nadmin_listen = \"127.0.0.1:8788\"",
            "[server]\nlisten = \"127.0.0.1:0\"\nadmin_listen = \"127.0.0.1:0\"",
            "[server]\nallowed_origins = [\"https://app.example.com\", \"http://localhost:3000\"]",
            "[server]\nallowed_hosts = [\"mcp.internal\", \"mcp.internal:8443\", \"10.0.0.1\", \"[::1]:80\", \"::1\"]",
            "[server]\nmax_body_bytes = 67108864\ncall_timeout = \"1h\"",
        ],
    );
}

#[test]
fn tenants_columns_and_what_is_allowed_of_a_database() {
    let source = |lines: &str| format!("[data.d]\ndriver = \"postgres\"\nurl = \"env:DB\"\n{lines}\n");
    judge_tools(
        source,
        &[
            (
                "isolation = \"rls\"\ntenant_columns = [\"\"]",
                "`data.d.tenant_columns`: each is the name of a column",
            ),
            ("isolation = \"rls\"\ntenant_columns = [\"a\\nb\"]", "each is the name of a column"),
            (
                "isolation = \"schema\"\ntemplate = \"t\"\npassword = \"secret:p\"\ntenant_columns = [\"c\"]",
                "`data.d.tenant_columns`: is for `isolation = \"rls\"`",
            ),
            (
                "isolation = \"rls\"\nallow = [{ rule = \"tenant-table-without-rls\", object = \" \", reason = \"x\" }]",
                "leave it out",
            ),
        ],
        &[
            "isolation = \"rls\"\ntenant_columns = [\"company_id\", \"Firma\"]",
            "isolation = \"rls\"\nallow = [{ rule = \"tenant-table-without-rls\", object = \"public.t\", reason = \"x\" }]",
        ],
    );
    judge(
        &[("[data.d]\ndriver = \"sqlite\"\ntenant_columns = [\"c\"]", "is for `driver = \"postgres\"`")],
        &[],
    );
}

#[test]
fn issuers() {
    let issuer = |lines: &str| format!("[[identity.issuer]]\nissuer = \"https://a.example\"\n{lines}\n");
    judge_tools(
        issuer,
        &[
            ("", "`identity.issuer[0].tenant_claim`: is missing"),
            ("tenant_claim = \"org\"\ntenant = \"acme\"", "keep one"),
            ("tenant_claim = \" \"", "must not be empty"),
            ("tenant = \"a/b\"", "`a/b` is no tenant"),
            ("tenant = \"acme\"\ntenant_map = { x = \"acme\" }", "remove it"),
            ("tenant = \"acme\"\ntenant_map = {}", "remove it"),
            ("tenant_claim = \"org\"\ntenant_map = { x = \"..\" }", "`identity.issuer[0].tenant_map.x`"),
            ("tenant_claim = \"org\"\nalgorithms = []", "at least one"),
            ("tenant_claim = \"org\"\nalgorithms = [\"HS256\"]", "`HS256` is not accepted"),
            ("tenant_claim = \"org\"\nalgorithms = [\"none\"]", "`none` is not accepted"),
            ("tenant_claim = \"org\"\njwks = \"http://a.example/jwks\"", "must be an `https` URL"),
            (
                "tenant_claim = \"org\"\n[[identity.issuer]]\nissuer = \"https://a.example\"\ntenant = \"a\"",
                "`identity.issuer[1].issuer`: `https://a.example` is given twice",
            ),
        ],
        &[
            "tenant_claim = \"org\"",
            "tenant = \"acme\"\nalgorithms = [\"RS256\", \"EdDSA\"]",
            "tenant_claim = \"org\"\ntenant_map = { \"o/1\" = \"acme\" }",
            "tenant_claim = \"org\"\njwks = \"keys/jwks.json\"",
            "tenant_claim = \"org\"\njwks = \"http://127.0.0.1:9/jwks\"",
            "tenant_claim = \"org\"\n[[identity.issuer]]\nissuer = \"https://b.example\"\ntenant = \"a\"",
        ],
    );
    judge(
        &[
            (
                "[server]\nlisten = \"0.0.0.0:80\"\npublic_url = \"https://m.example/mcp\"\n[identity]\ndevelopment = true",
                "loopback only",
            ),
            ("[identity]\nleeway = \"61s\"", "`identity.leeway`"),
        ],
        &["[identity]\ndevelopment = true\nleeway = \"60s\""],
    );
}

#[test]
fn limits() {
    judge(
        &[
            (
                "[capacity]\nrequests_per_second = 0",
                "`capacity.requests_per_second`: must be from 1 to 1000000",
            ),
            ("[capacity]\nburst = 0", "`capacity.burst`"),
            ("[capacity]\nconcurrent_requests = 0", "`capacity.concurrent_requests`"),
            ("[capacity]\nqueued_requests = 10001", "`capacity.queued_requests`"),
            ("[capacity]\nqueue_timeout = \"61s\"", "`capacity.queue_timeout`"),
            ("[capacity]\nconnections = 0", "`capacity.connections`"),
            ("[capacity]\nidle = \"0s\"", "`capacity.idle`"),
            ("[capacity.tenant.acme]\ncall_timeout = \"2h\"", "`capacity.tenant.acme.call_timeout`"),
            ("[capacity.tenant.acme]\nqueue_timeout = \"61s\"", "`capacity.tenant.acme.queue_timeout`"),
            ("[capacity]\nreply_bytes = 0", "`capacity.reply_bytes`"),
            ("[capacity]\nreply_bytes = \"65MiB\"", "`capacity.reply_bytes`"),
            ("[capacity]\ncache_bytes = \"2GiB\"", "`capacity.cache_bytes`"),
            ("[capacity]\nresident_tenants = 0", "`capacity.resident_tenants`"),
            ("[capacity.tenant.acme]\nburst = 0", "`capacity.tenant.acme.burst`"),
            ("[capacity.tenant.\"a b\"]\nburst = 1", "`a b` is no tenant"),
            ("[capacity.tenant.null]\nburst = 1", "`null` is no tenant"),
            ("[http]\nmax_reply_bytes = 0", "`http.max_reply_bytes`"),
            ("[http]\nconnect_timeout = \"0s\"", "`http.connect_timeout`"),
            ("[http]\nallow_private = [\"http://x\"]", "`http.allow_private`: `http://x` is no host"),
            ("[data.Desk]\ndriver = \"sqlite\"", "`data.Desk`: a source's name"),
            ("[data.\"../x\"]\ndriver = \"sqlite\"", "a source's name"),
            ("[data.d]\ndriver = \"sqlite\"\nmax_open_files = 0", "`data.d.max_open_files`"),
            ("[data.d]\ndriver = \"sqlite\"\nmax_file_bytes = 1", "`data.d.max_file_bytes`"),
        ],
        &[
            "[capacity]\nrequests_per_second = 1\nburst = 1\nconcurrent_requests = 1\nreply_bytes = 1\ncache_bytes = 0",
            "[capacity.tenant.acme]\nburst = 1000\nreply_bytes = \"64MiB\"",
            "[http]\nallow_private = [\"crm.internal:8443\"]\nmax_reply_bytes = \"4MiB\"\nconnect_timeout = \"2s\"",
            "[data.desk-2]\ndriver = \"sqlite\"\nmax_open_files = 1",
        ],
    );
}

#[test]
fn shared_limits() {
    let with = |lines: &str| format!("[shared]\nreplicas = 3\n{lines}");
    let url = |url: &str| with(&format!("redis = \"{url}\""));
    let cases = [
        (url("redis://:hush@localhost"), "`shared.redis`: must not hold a password"),
        (url("http://localhost"), "`shared.redis`: a URL begins with `redis://`"),
        (url("redis://localhost?protocol=resp3"), "`shared.redis`: a URL has no `?` and no `#`"),
        (url("rediss://localhost/#insecure"), "`shared.redis`: a URL has no `?` and no `#`"),
        (url("redis://localhost/one"), "`shared.redis`: a URL ends with the database's number"),
        (url("redis://a,redis://b"), "`shared.redis`: several nodes are a cluster"),
        (url("redis://a/1\"\ncluster = true #"), "`shared.redis`: a cluster has no numbered databases"),
        (url("redis://a,rediss://b\"\ncluster = true #"), "`shared.redis`: the nodes of a cluster"),
        (url("env:URL\"\nprefix = \"{a}"), "`shared.prefix`"),
        (url("env:URL\"\nprefix = \""), "`shared.prefix`"),
        (url("env:URL\"\ntimeout = \"2s"), "`shared.timeout`"),
        (url("env:URL\"\ntimeout = \"0s"), "`shared.timeout`"),
        ("[shared]\nredis = \"env:URL\"\nreplicas = 0".to_owned(), "`shared.replicas`"),
        ("[shared]\nredis = \"env:URL\"".to_owned(), "missing field `replicas`"),
        (with("cluster = true"), "missing field `redis`"),
    ];
    for (text, fragment) in &cases {
        judge(&[(text, fragment)], &[]);
        assert!(!parse(text).unwrap_err().contains("hush"), "{text}");
    }
    let good = [
        url("env:URL"),
        url("file:url.txt"),
        url("redis://localhost:6379/3"),
        url("rediss://limits@[::1]:6379\"\nca_file = \"ca.pem"),
        url("redis://a:1,redis://b:2\"\ncluster = true\nprefix = \"one:two.three-4_5\"\ntimeout = \"5ms"),
    ];
    for text in &good {
        judge(&[], &[text]);
    }
}

#[test]
fn kinds_of_tools() {
    let http = http_tool;
    judge(
        &[
            ("[[tool]]\nname = \"t\"", "tool `t`: `sql`: is missing; write `source` and `sql`, or `http`"),
            ("[[tool]]\nname = \"t\"\nsql = \"SELECT 1\"", "tool `t`: `source`: is missing"),
            ("[[tool]]\nname = \"t\"\nsource = \"d\"\nsql = \"SELECT 1\"", "add `[data.d]`"),
            ("[data.d]\ndriver = \"sqlite\"\n[[tool]]\nname = \"t\"\nsource = \"d\"", "`sql`: is missing"),
            (
                "[data.d]\ndriver = \"sqlite\"\n[[tool]]\nname = \"t\"\nsource = \"d\"\nsql = \" \"",
                "one statement",
            ),
            (&http("sql = \"SELECT 1\""), "keep one of them"),
            (&format!("{}{}", http(""), http("")), "names are unique"),
            (&http("").replace("\"t\"", "\"a b\""), "`name`: must have 1 to 64"),
            (&http("").replace("\"t\"", "\"\""), "`name`: must have 1 to 64"),
            (&http("").replace("https:", "http:"), "tool `t`: `http.url`: must start with `https://`"),
        ],
        &[&sql_tool(""), &http(""), &format!("{}{}", http(""), http("").replace("\"t\"", "\"t-2\""))],
    );
}

#[test]
fn keys_of_http_and_sql_tools() {
    judge_tools(
        http_tool,
        &[
            ("writes = true", "`writes`: is for SQL tools"),
            ("rows = \"one\"", "`rows`: is for SQL tools"),
            ("max_rows = 5", "`max_rows`: is for SQL tools"),
            ("auth = { bearer = \"sk-1\" }", "`auth.bearer`: must be `secret:NAME`"),
            ("owner = { pointer = \"x\", equals = \"tenant\" }", "`owner.pointer`"),
            ("owner = { pointer = \"/x\", equals = \"acme\" }", "`owner.equals`"),
            ("cache = { ttl = \"0s\" }", "`cache.ttl`"),
            ("cache = { ttl = \"1m\", max_bytes = 0 }", "`cache.max_bytes`"),
            (
                "cache = { ttl = \"1m\" }\nowner = { pointer = \"/x\", equals = \"subject\" }",
                "`cache.per`: must be \"subject\"",
            ),
            ("timeout = \"0s\"", "`timeout`"),
            ("scope = \"a b\"", "`scope`"),
        ],
        &[
            "auth = { bearer = \"secret:k\" }\nowner = { pointer = \"/x\", equals = \"tenant\" }\ncache = { ttl = \"1m\" }",
            "cache = { ttl = \"1m\", per = \"subject\" }\nowner = { pointer = \"/x\", equals = \"subject\" }",
            "timeout = \"5s\"\nscope = \"crm:read\"",
        ],
    );
    judge_tools(
        sql_tool,
        &[
            ("auth = { bearer = \"secret:k\" }", "`auth`: is for HTTP tools"),
            ("owner = { pointer = \"/x\", equals = \"tenant\" }", "`owner`: is for HTTP tools"),
            ("writes = true\ncache = { ttl = \"1m\" }", "cannot be cached"),
            ("max_rows = 0", "`max_rows`"),
        ],
        &["writes = true", "cache = { ttl = \"1m\" }\nrows = \"one\"\nmax_rows = 10"],
    );
    let post = "[[tool]]\nname = \"t\"\nhttp = { method = \"POST\", url = \"https://a.example/\" }\n";
    judge(&[(&format!("{post}cache = {{ ttl = \"1m\" }}"), "cannot be cached")], &[post]);
}

#[test]
fn a_subject_owns_something_where_one_issuer_alone_names_it() {
    let with = |issuers: &str| {
        let tool = http_tool("owner = { pointer = \"/o\", equals = \"subject\" }");
        let issuers = issuers.split(';').enumerate().map(|(n, lines)| {
            format!("[[identity.issuer]]\nissuer = \"https://{n}.example\"\n{}\n", lines.trim())
        });
        format!("{}{tool}", issuers.collect::<String>())
    };
    judge_tools(
        with,
        &[
            ("tenant_claim = \"org\"; tenant_claim = \"org\"", "`https://0.example` and `https://1.example`"),
            ("tenant_claim = \"org\"; tenant = \"acme\"", "`owner.equals`"),
            (
                "tenant = \"globex\"; tenant = \"acme\"; tenant = \"acme\"",
                "`https://1.example` and `https://2.",
            ),
            (
                "tenant_claim = \"o\"\ntenant_map = { a = \"acme\", b = \"globex\" }; tenant = \"globex\"",
                "give each issuer tenants of its own",
            ),
        ],
        &[
            "tenant_claim = \"org\"",
            "tenant = \"globex\"; tenant = \"acme\"",
            "tenant_claim = \"o\"\ntenant_map = { a = \"acme\" }; tenant = \"globex\"",
            "tenant_claim = \"o\"\ntenant_map = {}; tenant_claim = \"o\"",
        ],
    );
    // A server sees as little of issuers as a reply says.
    let pin = upstream("command = [\"s\"]\npin = { actor = \"subject\" }");
    let issuer = |n: u8| {
        format!("[[identity.issuer]]\nissuer = \"https://{n}.example\"\ntenant_claim = \"org\"\n{pin}")
    };
    let two = issuer(0).replace(&pin, "") + &issuer(1);
    judge(
        &[(&two, "upstream `files`: `pin.actor`: is `subject`, and `https://0.example` and")],
        &[&issuer(0)],
    );
    // The operator's own tokens say what the operator wants.
    let one = with("tenant_claim = \"org\"");
    judge(&[], &[&format!("[identity]\ndevelopment = true\n{one}")]);
}

#[test]
fn names_and_headers_of_arguments() {
    judge_tools(
        sql_tool,
        &[
            ("args.\"a-b\" = { type = \"string\" }", "`args.a-b`: an argument's name"),
            ("args.1a = { type = \"string\" }", "an argument's name"),
            (
                "args.tenant_id = { type = \"string\" }",
                "the tenant comes from the caller's token; remove the argument",
            ),
            ("args.orgId = { type = \"string\" }", "`args.orgId`: names a tenant"),
            ("args.a = { type = \"string\", header = \"Tenant\" }", "`args.a.header`: names a tenant"),
            ("args.a = { type = \"string\", header = \"a b\" }", "`args.a.header`"),
            ("args.a = { type = \"number\", header = \"A\" }", "no exact spelling"),
            (
                "args.a = { type = \"string\", header = \"A\" }\nargs.b = { type = \"string\", header = \"a\" }",
                "`args.b.header`: `a` is the header of another argument",
            ),
        ],
        &[
            "args.customer_id = { type = \"string\" }",
            "args.a = { type = \"integer\", header = \"Limit\" }\nargs.b = { type = \"string\", header = \"B\" }",
        ],
    );
}

#[test]
fn values_and_bounds_of_arguments() {
    judge_tools(
        sql_tool,
        &[
            (
                "args.a = { type = \"string\", enum = [\"x\", 1] }",
                "`args.a.enum`: 1 is not of the argument's `type`",
            ),
            ("args.a = { type = \"string\", enum = [] }", "at least one value"),
            ("args.a = { type = \"integer\", default = \"x\" }", "`args.a.default`: \"x\" is not of"),
            ("args.a = { type = \"integer\", default = 1.5 }", "is not of"),
            ("args.a = { type = \"integer\", default = 0, minimum = 1 }", "is below `minimum`"),
            ("args.a = { type = \"integer\", default = 9, maximum = 8 }", "is above `maximum`"),
            (
                "args.a = { type = \"integer\", minimum = 9, maximum = 8 }",
                "`args.a.minimum`: is above `maximum`",
            ),
            ("args.a = { type = \"number\", minimum = nan }", "finite"),
            ("args.a = { type = \"string\", minimum = 1 }", "is for `integer` and `number`"),
            ("args.a = { type = \"integer\", max_length = 1 }", "is for `string`"),
            ("args.a = { type = \"string\", min_length = 2, max_length = 1 }", "is above `max_length`"),
            ("args.a = { type = \"string\", min_length = 20000 }", "which is 10000"),
            ("args.a = { type = \"string\", max_length = 2000000 }", "at most 1000000"),
            ("args.a = { type = \"string\", default = \"xx\", max_length = 1 }", "is longer than"),
            (
                "args.a = { type = \"string\", default = \"c\", enum = [\"a\", \"b\"] }",
                "not among the values of `enum`",
            ),
        ],
        &[
            "args.a = { type = \"string\", enum = [\"open\", \"closed\"], optional = true }",
            "args.a = { type = \"integer\", minimum = 1, maximum = 100, default = 20, header = \"Limit\" }",
            "args.a = { type = \"number\", minimum = 0.5, default = 1 }",
            "args.a = { type = \"boolean\", default = false }\nargs.b = { type = \"string\", max_length = 20000 }",
        ],
    );
}

/// An upstream with the given lines.
fn upstream(lines: &str) -> String {
    format!("[[upstream]]\nname = \"files\"\n{lines}\n")
}

#[test]
fn upstreams() {
    let command = |lines: &str| upstream(&format!("command = [\"server\", \"{{tenant_dir}}\"]\n{lines}"));
    judge_tools(
        command,
        &[
            ("url = \"https://example.com/mcp\"", "`url`: an upstream has either"),
            ("env = { KEY = \"env:KEY\" }", "`env.KEY`: would be one value for all tenants"),
            ("env = { KEY = \"file:key\" }", "`env.KEY`: would be one value for all tenants"),
            ("env = { KEY = \"secret:a b\" }", "`env.KEY`: must be `secret:NAME`"),
            ("env = { HOME = \"/srv\" }", "`env.HOME`: is set by the gateway"),
            ("env = { \"A=B\" = \"x\" }", "is no variable's name"),
            ("env = { KEY = \"{subject}\" }", "`{subject}` stands for nothing"),
            ("auth = { bearer = \"secret:k\" }", "`auth`: is for `url`"),
            ("limits = { memory = \"1MiB\" }", "`limits.memory`: must be from"),
            ("limits = { processes = 0 }", "`limits.processes`: must be from 1 to 4096"),
            ("limits = { idle = \"2h\" }", "`limits.idle`: must be more than 0"),
            ("limits = { start = \"0s\" }", "`limits.start`: must be more than 0"),
            ("tools = [\"a.b\"]", "`a.b` cannot be offered"),
            ("tenants = [\"a b\"]", "is no tenant id"),
            ("scope = \"a b\"", "must be one scope"),
            ("timeout = \"0s\"", "`timeout`: must be more than 0"),
            ("pin = { project = \"nobody\" }", "`pin.project`: must be `tenant`, `subject`"),
            ("pin = { project = \"secret:\" }", "`pin.project`: must be `secret:NAME`"),
            ("pin = { project = \"text:Bearer secret:k\" }", "a secret cannot be a part of a text"),
            ("pin = { project = \"text:of-{tenant}\" }", "`{tenant}` stands for nothing in it"),
            ("env = { KEY = \"Bearer secret:k\" }", "`env.KEY`: a secret cannot be a part of a text"),
            ("env = { KEY = \"--key=env:KEY\" }", "`env.KEY`: would be one value for all tenants"),
            ("env = { KEY = \"--key=file:/run/key\" }", "`env.KEY`: would be one value for all tenants"),
            ("env = { KEY = \"{tenant-dir}\" }", "`{tenant-dir}` stands for nothing"),
            ("env = { KEY = \"{ tenant_dir }\" }", "`{ tenant_dir }` stands for nothing"),
            ("env = { PATH = \"secret:path\" }", "`env.PATH`: is the same for every tenant"),
        ],
        &[
            "env = { KEY = \"secret:k\", MODE = \"of {tenant} in {tenant_dir}\" }",
            "pin = { tenant_id = \"tenant\", who = \"subject\", key = \"secret:k\", region = \"text:eu\" }",
            "env = { NODE_ENV = \"my-env:prod\", SAID = \"the secret: none\", DB = \"file:{tenant_dir}/db\", AT = \"file:///srv\" }",
            "env = { QUERY = '{\"a\": {\"b\": 1}} {3} ${}' }",
            "limits = { memory = \"1GiB\", processes = 8, idle = \"1m\", start = \"1m\" }\ntools = [\"read_file\"]",
        ],
    );
}

#[test]
fn tables_of_upstreams() {
    judge(
        &[
            (&upstream(""), "`command`: is missing"),
            (&upstream("command = []"), "must begin with a program"),
            (&upstream("command = [\"{tenant}\"]"), "the program is the same"),
            (&upstream("command = [\"s\", \"secret:k\"]"), "a secret cannot be an argument"),
            (&upstream("command = [\"s\", \"--key=secret:k\"]"), "a secret cannot be an argument"),
            (&upstream("url = \"https://example.com/secret:k\""), "`url`: is the same for every tenant"),
            (
                &upstream("url = \"https://example.com/m\"\nlimits.memory = \"1GiB\""),
                "`limits.memory`: is for `command`",
            ),
            (
                &upstream("url = \"https://example.com/m\"\nlimits.processes = 2"),
                "`limits.processes`: is for `command`",
            ),
            (&upstream("command = [\"s\", \"{who}\"]"), "`{who}` stands for nothing"),
            (&upstream("url = \"https://example.com/mcp\"\nenv = { A = \"b\" }"), "`env`: is for `command`"),
            ("[[upstream]]\nname = \"A\"\ncommand = [\"s\"]", "`name`: must have 1 to 32"),
            (
                "[[upstream]]\nname = \"a\"\ncommand = [\"s\"]\n[[upstream]]\nname = \"a_b\"\ncommand = [\"s\"]",
                "upstream `a_b`: `name`: and that of `a` can begin the same tool's name",
            ),
            (
                &format!("{}{}", sql_tool("").replace("\"t\"", "\"files_t\""), upstream("command = [\"s\"]")),
                "begins the name of the tool `files_t` too",
            ),
        ],
        &[
            "[[upstream]]\nname = \"a\"\ncommand = [\"s\", '{\"a\": 1}']\n[[upstream]]\nname = \"ab\"\ncommand = [\"s\"]",
        ],
    );
}

#[test]
fn each_tool_problem_has_its_line() {
    let text = format!("{}\n[[tool]]\nname = \"u\"\nargs.org = {{ type = \"string\" }}\n", sql_tool(""));
    let error = parse(&text).expect_err("two problems");
    let lines: Vec<&str> = error.lines().collect();
    assert_eq!(lines.len(), 2, "{error}");
    assert!(lines.iter().all(|line| line.starts_with("p.toml:9: tool `u`: ")), "{error}");
}

#[test]
fn names_of_tenants_are_known_in_every_spelling() {
    let yes = "tenant Tenant TENANT_ID tenantId tenant-id tenant_name tenantSlug x-tenant X-Tenant-Id \
               target_tenant tenant_override asTenant subTenant tenants org org_id orgId orgID org_ids \
               organization organizationId organisation_id organization_slug workspace workspaceId \
               workspace_name account account_id accountId x-account-id customer_org customerOrgId \
               currentOrg act_as actAs impersonate impersonateUser on_behalf_of onBehalfOf run_as \
               runAsUser sudo sudo_user SUDO assume_role ACT_AS actasuser runasuser onbehalfofuser runASUser \
               actAsUserId assumeroleArn as_user asUser asAccount";
    for yes in yes.split_whitespace() {
        assert!(names_tenant(yes), "{yes}");
    }
    let no = "customer_id user_id owner id status limit query ticket_id lieutenant organizer orgchart \
               account_name accountant workspaces_count active forest force myid x action organic \
               storage_key namespace run_assertions act_assigned sudoku running_assets \
               company_id team as_of actassigned runassertions";
    for no in no.split_whitespace() {
        assert!(!names_tenant(no), "{no}");
    }
}
