//! The plainest leaks between the callers of a Python server: every framework in which a handler is written, every way to keep or ask
//! for something. Each leaky form must be found, and its mended twin must have nothing.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

#[path = "python/entries.rs"]
mod entries;

use std::fs;

use partywall_model::Severity;
use partywall_scanner::{Options, scan};

/// A framework: what stands before the handlers, a handler with `NAME`, `ID` and `BODY`, what stands after them, and who calls.
struct Framework {
    before: &'static str,
    handler: &'static str,
    after: &'static str,
    caller: &'static str,
}

const FRAMEWORKS: &[(&str, Framework)] = &[
    (
        "FastAPI",
        Framework {
            before: "from fastapi import Depends, FastAPI\nfrom .auth import get_current_user\napp = FastAPI()\n",
            handler: "@app.post(\"/NAME/{ID}\")\nasync def NAME(ID: str, user=Depends(get_current_user)):\n    BODY\n",
            after: "",
            caller: "user.id",
        },
    ),
    (
        "FastAPI, middleware",
        Framework {
            before: "from fastapi import FastAPI, Request\napp = FastAPI()\n",
            handler: "@app.post(\"/NAME/{ID}\")\nasync def NAME(ID: str, request: Request):\n    BODY\n",
            after: "",
            caller: "request.state.user.id",
        },
    ),
    (
        "FastAPI, class of routes",
        Framework {
            before: "from fastapi import APIRouter, Depends\nfrom .auth import get_current_user\nrouter = APIRouter()\n@cbv(router)\nclass Things:\n    user = Depends(get_current_user)\n",
            handler: "    @router.post(\"/NAME/{ID}\")\n    async def NAME(self, ID: str):\n        BODY\n",
            after: "",
            caller: "self.user.id",
        },
    ),
    (
        "fastmcp",
        Framework {
            before: "from fastmcp import FastMCP\nfrom fastmcp.server.dependencies import get_access_token\nmcp = FastMCP(\"things\")\n",
            handler: "@mcp.tool\nasync def NAME(ID: str) -> dict:\n    BODY\n",
            after: "mcp.run(transport=\"http\")\n",
            caller: "get_access_token().claims['sub']",
        },
    ),
    (
        "fastmcp, state of the context",
        Framework {
            before: "from fastmcp import Context, FastMCP\nmcp = FastMCP(\"things\")\n",
            handler: "@mcp.tool\nasync def NAME(ID: str, ctx: Context) -> dict:\n    BODY\n",
            after: "app = mcp.http_app()\n",
            caller: "ctx.get_state('user').id",
        },
    ),
    (
        "the SDK's FastMCP",
        Framework {
            before: "from mcp.server.fastmcp import Context, FastMCP\nmcp = FastMCP(\"things\")\n",
            handler: "@mcp.tool()\nasync def NAME(ID: str, ctx: Context) -> dict:\n    BODY\n",
            after: "mcp.run(transport=\"streamable-http\")\n",
            caller: "ctx.request_context.request.state.user.id",
        },
    ),
    (
        "the SDK's low level",
        Framework {
            before: "from mcp.server.lowlevel import Server\nfrom mcp.server.streamable_http_manager import StreamableHTTPSessionManager\nserver = Server(\"things\")\n@server.call_tool()\nasync def call_tool(name: str, arguments: dict):\n",
            handler: "    if name == \"NAME\":\n        ID = arguments[\"ID\"]\n        BODY\n",
            after: "    raise ValueError(name)\nmanager = StreamableHTTPSessionManager(app=server)\n",
            caller: "server.request_context.request.user.identity",
        },
    ),
    (
        "Starlette",
        Framework {
            before: "from starlette.requests import Request\nfrom starlette.routing import Route\n",
            handler: "async def NAME(request: Request):\n    ID = request.path_params[\"ID\"]\n    BODY\nroute_of_NAME = Route(\"/NAME/{ID}\", NAME)\n",
            after: "",
            caller: "request.user.id",
        },
    ),
    (
        "Flask",
        Framework {
            before: "from flask import Flask, g\napp = Flask(__name__)\n",
            handler: "@app.route(\"/NAME/<ID>\")\ndef NAME(ID):\n    BODY\n",
            after: "",
            caller: "g.current_user['id']",
        },
    ),
    (
        "Flask-Login",
        Framework {
            before: "from flask import Blueprint\nfrom flask_login import current_user, login_required\napp = Blueprint(\"things\", __name__)\n",
            handler: "@app.route(\"/NAME/<ID>\")\n@login_required\ndef NAME(ID):\n    BODY\n",
            after: "",
            caller: "current_user.id",
        },
    ),
    (
        "Django",
        Framework {
            before: "from django.contrib.auth.decorators import login_required\nfrom django.urls import path\n",
            handler: "@login_required\ndef NAME(request, ID):\n    BODY\npath_of_NAME = path(\"NAME/<str:ID>\", NAME)\n",
            after: "",
            caller: "request.user.id",
        },
    ),
    (
        "Django REST framework",
        Framework {
            before: "from rest_framework.decorators import action\nfrom rest_framework.viewsets import ViewSet\nclass Things(ViewSet):\n",
            handler: "    @action(detail=False)\n    def NAME(self, request):\n        ID = request.data[\"ID\"]\n        BODY\n",
            after: "",
            caller: "self.request.user.id",
        },
    ),
    (
        "aiohttp",
        Framework {
            before: "from aiohttp import web\nroutes = web.RouteTableDef()\n",
            handler: "@routes.post(\"/NAME/{ID}\")\nasync def NAME(request: web.Request):\n    ID = request.match_info[\"ID\"]\n    BODY\n",
            after: "",
            caller: "request[\"user\"].id",
        },
    ),
    (
        "Litestar",
        Framework {
            before: "from litestar import Litestar, Request, post\n",
            handler: "@post(\"/NAME/{ID:str}\")\nasync def NAME(ID: str, request: Request) -> dict:\n    BODY\n",
            after: "",
            caller: "request.user.id",
        },
    ),
    (
        "Sanic",
        Framework {
            before: "from sanic import Sanic\napp = Sanic(\"things\")\n",
            handler: "@app.post(\"/NAME/<ID:str>\")\nasync def NAME(request, ID):\n    BODY\n",
            after: "",
            caller: "request.ctx.user.id",
        },
    ),
    (
        "Tornado",
        Framework {
            before: "import tornado.web\n",
            handler: "class NAMEHandler(tornado.web.RequestHandler):\n    async def get(self, ID):\n        BODY\n",
            after: "",
            caller: "self.current_user.id",
        },
    ),
];

/// A leak: what the module has, what a handler leaves for its caller, what another one gives without looking whose it is, and what
/// mends these three.
type Leak = [&'static str; 6];

const LEAKS: &[(&str, Leak)] = &[
    (
        "a row by its id, SQLAlchemy",
        [
            "from sqlalchemy import select\n",
            "return (await session.execute(select(Note).where(Note.user_id == WHO))).all()",
            "return (await session.execute(select(Note).where(Note.id == ID))).one()",
            "from sqlalchemy import select\n",
            "return (await session.execute(select(Note).where(Note.user_id == WHO))).all()",
            "return (await session.execute(select(Note).where(Note.id == ID, Note.user_id == WHO))).one()",
        ],
    ),
    (
        "a row by its id, SQL",
        [
            "import asyncpg\npool: asyncpg.Pool = make_pool()\n",
            "return await pool.fetch(\"SELECT * FROM notes WHERE account_id = $1\", WHO)",
            "return await pool.fetchrow(\"SELECT * FROM notes WHERE id = $1\", ID)",
            "import asyncpg\npool: asyncpg.Pool = make_pool()\n",
            "return await pool.fetch(\"SELECT * FROM notes WHERE account_id = $1\", WHO)",
            "return await pool.fetchrow(\"SELECT * FROM notes WHERE id = $1 AND account_id = $2\", ID, WHO)",
        ],
    ),
    (
        "rows whose answer has a part taken out",
        [
            "from supabase import create_client\nsupabase = create_client(URL, KEY)\n",
            "return supabase.table(\"notes\").select(\"*\").eq(\"user_email\", WHO).execute().data",
            "return supabase.table(\"notes\").select(\"*\").eq(\"id\", ID).execute().data",
            "from supabase import create_client\nsupabase = create_client(URL, KEY)\n",
            "return supabase.table(\"notes\").select(\"*\").eq(\"user_email\", WHO).execute().data",
            "return supabase.table(\"notes\").select(\"*\").eq(\"id\", ID).eq(\"user_email\", WHO).execute().data",
        ],
    ),
    (
        "documents of a collection of vectors",
        [
            "import chromadb\nchunks = chromadb.HttpClient().get_or_create_collection(\"chunks\")\n",
            "return chunks.get(where={\"team_id\": WHO})",
            "return chunks.query(query_texts=[ID], n_results=5)",
            "import chromadb\nchunks = chromadb.HttpClient().get_or_create_collection(\"chunks\")\n",
            "return chunks.get(where={\"team_id\": WHO})",
            "return chunks.query(query_texts=[ID], n_results=5, where={\"team_id\": WHO})",
        ],
    ),
    (
        "items of DynamoDB",
        [
            "import boto3\nfrom boto3.dynamodb.conditions import Key\nrows = boto3.resource(\"dynamodb\").Table(\"runs\")\n",
            "return rows.query(KeyConditionExpression=Key(\"customer_id\").eq(WHO))[\"Items\"]",
            "return rows.get_item(Key={\"id\": ID})[\"Item\"]",
            "import boto3\nfrom boto3.dynamodb.conditions import Key\nrows = boto3.resource(\"dynamodb\").Table(\"runs\")\n",
            "return rows.query(KeyConditionExpression=Key(\"customer_id\").eq(WHO))[\"Items\"]",
            "return rows.get_item(Key={\"customer_id\": WHO, \"id\": ID})[\"Item\"]",
        ],
    ),
    (
        "values under a key",
        [
            "import redis\nr = redis.from_url(URL)\n",
            "owner = WHO\n    return r.lrange(f\"tickets:{owner}\", 0, -1)",
            "return r.get(f\"ticket:{ID}\")",
            "import redis\nr = redis.from_url(URL)\n",
            "owner = WHO\n    return r.lrange(f\"tickets:{owner}\", 0, -1)",
            "owner = WHO\n    return r.get(f\"ticket:{owner}:{ID}\")",
        ],
    ),
    (
        "files below a folder",
        [
            "from pathlib import Path\nROOT = Path(\"/var/lib/things\")\n",
            "return (ROOT / WHO / ID).write_text(\"\")",
            "return (ROOT / ID).read_text()",
            "from pathlib import Path\nROOT = Path(\"/var/lib/things\")\n",
            "return (ROOT / WHO / ID).write_text(\"\")",
            "return (ROOT / WHO / ID).read_text()",
        ],
    ),
    (
        "a condition that is left out",
        [
            "import asyncpg\npool: asyncpg.Pool = make_pool()\n",
            "return None",
            "owner = WHO\n    query = \"SELECT * FROM orders\"\n    if owner:\n        query += \" WHERE owner = $1\"\n    return await pool.fetch(query, owner)",
            "import asyncpg\npool: asyncpg.Pool = make_pool()\n",
            "return None",
            "owner = WHO\n    query = \"SELECT * FROM orders WHERE owner = $1\"\n    return await pool.fetch(query, owner)",
        ],
    ),
    (
        "a value under a fixed key",
        [
            "LAST = {}\n",
            "LAST[\"note\"] = ID\n    return None",
            "return LAST.get(\"note\")",
            "LAST = {}\n",
            "LAST[WHO] = ID\n    return None",
            "return LAST.get(WHO)",
        ],
    ),
    (
        "a list",
        [
            "HISTORY = []\n",
            "HISTORY.append(ID)\n    return None",
            "return list(HISTORY)",
            "HISTORY = {}\n",
            "HISTORY.setdefault(WHO, []).append(ID)\n    return None",
            "return list(HISTORY.get(WHO, []))",
        ],
    ),
    (
        "a context that a thread does not have",
        [
            "from concurrent.futures import ThreadPoolExecutor\nfrom contextvars import ContextVar\nwho = ContextVar(\"who\", default=\"public\")\npool = ThreadPoolExecutor(4)\ndef export():\n    return dump_rows(who.get())\n",
            "return None",
            "who.set(WHO)\n    return pool.submit(export).result()",
            "from concurrent.futures import ThreadPoolExecutor\npool = ThreadPoolExecutor(4)\ndef export(owner):\n    return dump_rows(owner)\n",
            "return None",
            "return pool.submit(export, WHO).result()",
        ],
    ),
];

fn server(framework: &Framework, module: &str, kept: &str, given: &str) -> String {
    let mut text = format!("{module}{}", framework.before);
    for (name, body) in [("keep_it", kept), ("give_it", given)] {
        let indent = framework.handler.lines().find(|line| line.trim() == "BODY").unwrap_or("").len() - 4;
        let body =
            body.replace("WHO", framework.caller).replace("\n    ", &format!("\n{}", " ".repeat(indent)));
        let sync = !framework.handler.contains("async def");
        let body =
            if sync && !framework.before.contains("async def") { body.replace("await ", "") } else { body };
        text += &framework.handler.replace("BODY", &body).replace("NAME", name).replace("ID", "thing_id");
    }
    text + framework.after
}

/// What is found in a server that is above low; with `all` also what is low.
fn found(source: &str, all: bool) -> Vec<String> {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("server.py"), source).unwrap();
    let mut options = Options::default();
    options.selection.targets = vec![folder.path().to_owned()];
    let findings = scan(&options, &()).unwrap().document.findings.into_iter();
    let findings = findings.filter(|finding| all || finding.severity != Severity::Low);
    findings.map(|finding| format!("{}:{}", finding.rule, finding.line)).collect()
}

#[test]
fn the_plainest_leaks_are_found_in_every_framework_and_their_mended_twins_are_silent() {
    let mut wrong = Vec::new();
    for (framework, of) in FRAMEWORKS {
        for (leak, [module, kept, given, own_module, own_kept, own_given]) in LEAKS {
            let leaky = server(of, module, kept, given);
            if found(&leaky, true).is_empty() {
                wrong.push(format!("nothing is found: {leak}, {framework}\n{leaky}"));
            }
            let mended = server(of, own_module, own_kept, own_given);
            let loud = found(&mended, false);
            if !loud.is_empty() {
                wrong.push(format!("mended: {leak}, {framework}: {loud:?}\n{mended}"));
            }
        }
    }
    assert!(wrong.is_empty(), "{} are wrong:\n{}", wrong.len(), wrong.join("\n"));
}

/// What a module has, what its first handler does and what its second one does, and the same mended: forms that are one framework's as
/// another's. `user` is the caller, `body` what the client sends.
const FORMS: &[(&str, Leak)] = &[
    (
        "set by name",
        [
            "class S: pass\ns = S()\n",
            "setattr(s, \"text\", body[\"text\"])",
            "return getattr(s, \"text\", None)",
            "",
            "request.state.text = body[\"text\"]",
            "return None",
        ],
    ),
    (
        "a dict that takes what is sent",
        [
            "LAST = {}\n",
            "LAST.update(body)",
            "return LAST",
            "LAST = {}\n",
            "LAST[user.id] = body",
            "return LAST.get(user.id)",
        ],
    ),
    (
        "a list that grows",
        [
            "NOTES = []\n",
            "global NOTES\n    NOTES += [body]",
            "return NOTES",
            "NOTES = {}\n",
            "NOTES[user.id] = NOTES.get(user.id, []) + [body]",
            "return NOTES.get(user.id)",
        ],
    ),
    (
        "the one object of a getter",
        [
            "from functools import lru_cache\nclass Hub:\n    text = None\n@lru_cache\ndef get_hub():\n    return Hub()\n",
            "get_hub().text = body[\"text\"]",
            "return get_hub().text",
            "",
            "request.state.text = body[\"text\"]",
            "return None",
        ],
    ),
    (
        "a client that is signed in",
        [
            "from upstream import Upstream\nclient = Upstream()\n",
            "await client.login(body[\"login\"], body[\"password\"])",
            "return await client.list_items()",
            "from upstream import Upstream\n",
            "client = Upstream()\n    await client.login(body[\"login\"], body[\"password\"])",
            "return None",
        ],
    ),
    (
        "the environment's token in the caller's variable",
        [
            "import os\nasync def ask(token, text):\n    token = token or os.environ[\"API_TOKEN\"]\n    return await call(token, text)\n",
            "return await ask(request.headers.get(\"authorization\"), body[\"text\"])",
            "return None",
            "async def ask(token, text):\n    return await call(token, text)\n",
            "return await ask(request.headers.get(\"authorization\"), body[\"text\"])",
            "return None",
        ],
    ),
    (
        "what hangs on the application, found by a function, where there is one",
        [
            "def attached(server):\n    return server._app\n",
            "app = attached(request.scope)\n    context = None\n    if app is not None:\n        context = app.context\n        context.caller = user",
            "app = attached(request.scope)\n    return await tell(app.context.caller)",
            "def attached(server):\n    return server._app\n",
            "app = attached(request.scope)\n    context = None\n    if app is not None:\n        context = Context()\n        context.caller = user",
            "return await tell(user)",
        ],
    ),
    (
        "a check of the form",
        [
            "from .models import Note\n",
            "return session.query(Note).filter(Note.user_id == user.id).all()",
            "note_id = request.path_params[\"id\"]\n    validate_uuid(note_id)\n    return session.query(Note).filter(Note.id == note_id).one()",
            "from .models import Note\n",
            "return session.query(Note).filter(Note.user_id == user.id).all()",
            "note_id = request.path_params[\"id\"]\n    validate_uuid(note_id)\n    return session.query(Note).filter(Note.id == note_id, Note.user_id == user.id).one()",
        ],
    ),
];

#[test]
fn forms_of_leaks_are_found_and_mended_ones_are_silent() {
    let mut wrong = Vec::new();
    for (name, [module, first, second, own_module, own_first, own_second]) in FORMS {
        let server = |module: &str, first: &str, second: &str| {
            format!(
                "from fastapi import Depends, FastAPI, Request\nfrom .auth import get_current_user\n{module}app = FastAPI()\n\
                 @app.post(\"/one\")\nasync def one(body: dict, request: Request, user=Depends(get_current_user)):\n    {first}\n\
                 @app.get(\"/two/{{id}}\")\nasync def two(request: Request, user=Depends(get_current_user)):\n    {second}\n"
            )
        };
        if found(&server(module, first, second), true).is_empty() {
            wrong.push(format!("nothing is found: {name}"));
        }
        let loud = found(&server(own_module, own_first, own_second), false);
        if !loud.is_empty() {
            wrong.push(format!("mended: {name}: {loud:?}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
