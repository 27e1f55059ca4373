//! What libraries do, as data: one TOML file a library, in `crates/scanner/libraries/` or from the user.
//!
//! ```toml
//! library = "pg"
//! language = "javascript"
//! packages = ["pg", "pg-pool"]            # import specifiers; what lies below (`pg/lib`, `a.b`) counts too
//!
//! [[call]]
//! names = ["Pool.query", "Client.query"]  # path from the import; `*.query`: any receiver that is not known better
//! role = "query"
//! sql = "0"                               # a place, see `Place`
//! values = "1"
//!
//! [[member]]
//! names = ["extra.authInfo", "req.user"]  # the end of a dotted path below a request or context object
//! is = "principal"
//! ```
//!
//! A path leaves out calls and `new`: `new Pool().query` is `Pool.query`, `(await pool.connect()).query` is
//! `Pool.connect.query` unless `returns` renames it. A default import is `default` (`default.get` for `import Redis from
//! "ioredis"; new Redis().get`), and so is a `require`d or imported package that is itself called; below it, `default.Pool` is
//! also just `Pool`. A file that names no packages speaks of globals and of any receiver; `*.query` with packages is also
//! used for receivers of which nothing is known.

mod load;

use std::sync::Arc;

use serde::Deserialize;

pub use load::{Libraries, LibraryError};

use crate::ir::Language;

/// One library.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Library {
    /// Its name in messages.
    pub library: String,
    /// The language of the code that uses it; none for both.
    #[serde(default)]
    pub language: Option<LanguageName>,
    /// What it is imported as.
    #[serde(default)]
    pub packages: Vec<String>,
    /// What its calls do.
    #[serde(default)]
    pub call: Vec<Arc<CallDef>>,
    /// What members of its objects are.
    #[serde(default)]
    pub member: Vec<MemberDef>,
    /// Classes that are tools, handlers or models by what they extend.
    #[serde(default)]
    pub base: Vec<Arc<BaseDef>>,
}

/// A language in a library file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LanguageName {
    /// JavaScript and TypeScript.
    Javascript,
    /// Python.
    Python,
}

impl LanguageName {
    /// The program form's name of it.
    #[must_use]
    pub const fn language(self) -> Language {
        match self {
            Self::Javascript => Language::JavaScript,
            Self::Python => Language::Python,
        }
    }
}

/// What a call, or the use of a decorator, does.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, default, rename_all = "kebab-case")]
pub struct CallDef {
    /// Paths of callees: `Class.method`, `function`, `*.method`.
    pub names: Vec<String>,
    /// What it does.
    pub role: Role,
    /// What its value is, or for [`Role::Value`] all that it does.
    pub is: Option<Origin>,
    /// The path that its value has from then on: `returns = "Pool"`.
    pub returns: Option<String>,
    /// For an entry: what is registered. For a transport: `stdio` or `http`. For a client: what it is for, `llm` and `telemetry`
    /// need no tenant's credential. For a query: `read`, `write` or `delete`.
    pub kind: Option<String>,
    /// For an entry: where the handler is; `decorated` for a decorator.
    pub handler: Option<Place>,
    /// For an entry: the handler's parameters that the caller of the server fills, by number. None: all but `context`.
    pub input: Option<Vec<u32>>,
    /// For an entry: the handler's parameters that carry the request, by number.
    pub context: Vec<u32>,
    /// For an entry: where the input's schema is.
    pub schema: Option<Place>,
    /// For a query: where SQL text is.
    pub sql: Option<Place>,
    /// For a query: where the values of SQL parameters are.
    pub values: Option<Place>,
    /// For a query: where its filter is.
    pub filter: Option<Place>,
    /// For a query: where the table or model is; `receiver` is the last name before the method (`prisma.user.findMany`).
    pub table: Option<Place>,
    /// For a query: where the written record is.
    pub data: Option<Place>,
    /// For a cache, map, limiter: where the key is.
    pub key: Option<Place>,
    /// For a cache or map: where the stored value is, or the function that makes it.
    pub value: Option<Place>,
    /// For a client: where credentials are.
    pub credential: Vec<Place>,
    /// For what runs later or elsewhere (a timer, a queue, a thread, `Store.run`): where the function is.
    pub function: Option<Place>,
}

/// What a call does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Role {
    /// Nothing but give a value.
    #[default]
    Value,
    /// Registers a handler that callers of the server reach.
    Entry,
    /// Makes an MCP server object.
    Server,
    /// Makes or starts a transport of an MCP server.
    Transport,
    /// Connects a server to a transport.
    Connect,
    /// Listens for HTTP: the process has more than one caller.
    Listen,
    /// Reads or writes a database.
    Query,
    /// Reads a cache or map of several requests.
    CacheGet,
    /// Writes one.
    CacheSet,
    /// Makes a cache or map.
    CacheNew,
    /// Remembers the results of a function by its arguments.
    Memoize,
    /// Tells an HTTP or MCP client, or a proxy, how long to keep an answer.
    CacheControl,
    /// Makes a client of another service.
    Client,
    /// Calls another service.
    Fetch,
    /// Makes a store for a value that travels with a request.
    ContextNew,
    /// Runs a function with such a value.
    ContextRun,
    /// Sets such a value from here on.
    ContextSet,
    /// Reads such a value.
    ContextGet,
    /// Runs a function later, or where the request's context does not reach.
    Detach,
    /// Sends to one or several clients.
    Send,
    /// Writes a log.
    Log,
    /// Makes a limiter.
    Limiter,
    /// Takes from a limiter.
    Limit,
    /// Verifies a token.
    Verify,
    /// Reads a token without verifying it.
    Decode,
    /// Ends the request with an error when something does not hold: `abort`, `assert`, `invariant`.
    Require,
}

/// Where a value comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Origin {
    /// The verified caller, or a part of it.
    Principal,
    /// A credential of the verified caller.
    Secret,
    /// What the caller or its model chose: arguments, query, body, path.
    Input,
    /// A header, a token that nobody verified, `_meta`.
    Unverified,
    /// The id of a session, which a client sends.
    SessionId,
    /// The environment of the process.
    Env,
    /// A request or context object, whose members are told apart by [`MemberDef`]s.
    Request,
    /// Nothing that depends on the caller.
    Constant,
}

/// What a member of an object is.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MemberDef {
    /// Ends of dotted paths: `authInfo`, `req.user`, `request.state.user`. The first part of a longer one matches the name
    /// of the object or its type.
    pub names: Vec<String>,
    /// What it is.
    pub is: Origin,
    /// Ends of the names of files in which it is something else: `this.props` in a page's component.
    #[serde(default)]
    pub except: Vec<String>,
}

/// What a class is by what it extends.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct BaseDef {
    /// Paths of base classes.
    pub names: Vec<String>,
    /// Methods that callers of the server reach; `*` for all that are public.
    pub methods: Vec<String>,
    /// What they are: as [`CallDef::kind`] of an entry.
    pub kind: Option<String>,
    /// The methods' parameters that carry the request.
    pub context: Vec<u32>,
    /// Whether objects live only as long as a request or session, so that their fields are no shared state.
    pub per_request: bool,
    /// Whether one object works for all requests, where none is seen to be made for one.
    pub one_for_all: bool,
}

/// Where something is in a call: `0` a positional argument, `last`, `decorated`, `receiver`, `name` a keyword argument,
/// `0.where` a property of an argument, `*` all arguments. Several are tried in order: `"0.where|where"`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct Place(pub Vec<PlacePath>);

/// One alternative of a [`Place`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PlacePath {
    /// Which argument.
    pub arg: PlaceArg,
    /// Which property of it, and of that.
    pub properties: Vec<String>,
}

/// Which argument of a call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PlaceArg {
    /// By number.
    Number(usize),
    /// The last one.
    Last,
    /// By name.
    Keyword(String),
    /// All.
    All,
    /// What the method is called on.
    Receiver,
    /// What the decorator stands on.
    Decorated,
}

impl TryFrom<String> for Place {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        let path = |text: &str| -> Result<PlacePath, String> {
            let mut parts = text.trim().split('.');
            let arg = match parts.next() {
                None | Some("") => {
                    return Err(format!("`{text}` names no argument; write a number, a name or `last`"));
                }
                Some("last") => PlaceArg::Last,
                Some("*") => PlaceArg::All,
                Some("receiver") => PlaceArg::Receiver,
                Some("decorated") => PlaceArg::Decorated,
                Some(word) => {
                    word.parse().map_or_else(|_| PlaceArg::Keyword(word.to_owned()), PlaceArg::Number)
                }
            };
            Ok(PlacePath { arg, properties: parts.map(str::to_owned).collect() })
        };
        text.split('|').map(path).collect::<Result<_, _>>().map(Place)
    }
}
