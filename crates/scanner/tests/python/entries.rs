//! What requests reach is known in every framework of Python in which a handler is written: data of one in a variable of the module is
//! found there, and the same in a variable of its own is not.

/// A framework: its name, what stands before a handler, the handler, and what stands after it.
const HANDLERS: &[(&str, &str, &str, &str)] = &[
    (
        "Starlette's table of routes",
        "from starlette.applications import Starlette\nfrom starlette.routing import Route\n",
        "async def h(request):\n    SET = request.headers['authorization']\n    await work()\n    return out(GET)\n",
        "app = Starlette(routes=[Route('/x', h)])\n",
    ),
    (
        "Starlette's endpoints",
        "from starlette.endpoints import HTTPEndpoint\n",
        "class H(HTTPEndpoint):\n    async def get(self, request):\n        SET = request.headers['authorization']\n        await work()\n        return out(GET)\n",
        "",
    ),
    (
        "aiohttp's router",
        "from aiohttp import web\n",
        "async def h(request):\n    SET = request.headers['authorization']\n    await work()\n    return out(GET)\n",
        "app = web.Application()\napp.router.add_get('/x', h)\n",
    ),
    (
        "aiohttp's table of routes",
        "from aiohttp import web\n",
        "async def h(request):\n    SET = request.headers['authorization']\n    await work()\n    return out(GET)\n",
        "app = web.Application()\napp.add_routes([web.get('/x', h)])\n",
    ),
    (
        "Sanic, handed over",
        "from sanic import Sanic\napp = Sanic('x')\n",
        "async def h(request):\n    SET = request.headers['authorization']\n    await work()\n    return out(GET)\n",
        "app.add_route(h, '/x')\n",
    ),
    (
        "Litestar",
        "from litestar import get, Request\n",
        "@get('/x')\nasync def h(request: Request) -> str:\n    SET = request.headers['authorization']\n    await work()\n    return out(GET)\n",
        "",
    ),
    (
        "Django REST, a set of views",
        "from rest_framework import viewsets\n",
        "class H(viewsets.ModelViewSet):\n    def list(self, request):\n        SET = request.user\n        work()\n        return out(GET)\n",
        "",
    ),
    (
        "Falcon",
        "import falcon\n",
        "class H:\n    async def on_get(self, req, resp):\n        SET = req.headers['authorization']\n        await work()\n        resp.media = out(GET)\n",
        "app = falcon.asgi.App()\napp.add_route('/x', H())\n",
    ),
    (
        "Tornado",
        "import tornado.web\n",
        "class H(tornado.web.RequestHandler):\n    async def get(self):\n        SET = self.request.headers['authorization']\n        await work()\n        self.write(out(GET))\n",
        "",
    ),
    (
        "Python's own server",
        "from http.server import BaseHTTPRequestHandler\n",
        "class H(BaseHTTPRequestHandler):\n    def do_POST(self):\n        SET = self.headers['authorization']\n        work()\n        self.wfile.write(out(GET))\n",
        "",
    ),
    (
        "Lambda",
        "import json\n",
        "def lambda_handler(event, context):\n    SET = event['headers']['authorization']\n    work()\n    return out(GET)\n",
        "",
    ),
    (
        "the low-level SDK",
        "from mcp.server import Server\nserver = Server('x')\n",
        "@server.call_tool()\nasync def h(name, arguments):\n    SET = arguments['project']\n    await work()\n    return out(GET)\n",
        "",
    ),
    (
        "a tool made of a function",
        "from fastmcp import FastMCP\nfrom fastmcp.tools import Tool\nmcp = FastMCP('x')\n",
        "async def h(project: str) -> str:\n    SET = project\n    await work()\n    return out(GET)\n",
        "mcp.add_tool(Tool.from_function(h))\n",
    ),
    (
        "OpenAI's agents",
        "from agents import function_tool\n",
        "@function_tool\nasync def h(project: str) -> str:\n    SET = project\n    await work()\n    return out(GET)\n",
        "",
    ),
    (
        "Semantic Kernel",
        "from semantic_kernel.functions import kernel_function\n",
        "class P:\n    @kernel_function(name='x')\n    async def h(self, project: str) -> str:\n        SET = project\n        await work()\n        return out(GET)\n",
        "",
    ),
    (
        "A2A",
        "from a2a.server.agent_execution import AgentExecutor, RequestContext\n",
        "class E(AgentExecutor):\n    async def execute(self, context: RequestContext, event_queue):\n        SET = context.message.metadata['user']\n        await work()\n        return out(GET)\n",
        "",
    ),
    (
        "Socket.IO",
        "import socketio\nsio = socketio.AsyncServer()\n",
        "@sio.on('ask')\nasync def h(sid, data):\n    SET = data['user']\n    await work()\n    await sio.emit('x', GET, to=sid)\n",
        "",
    ),
    (
        "Socket.IO, by name",
        "import socketio\nsio = socketio.AsyncServer()\n",
        "@sio.event\nasync def ask(sid, data):\n    SET = data['user']\n    await work()\n    await sio.emit('x', GET, to=sid)\n",
        "",
    ),
    (
        "Chainlit",
        "import chainlit as cl\n",
        "@cl.on_message\nasync def h(message: cl.Message):\n    SET = message.content\n    await work()\n    await cl.Message(content=GET).send()\n",
        "",
    ),
    (
        "Strawberry",
        "import strawberry\n",
        "@strawberry.type\nclass Query:\n    @strawberry.field\n    async def note(self, info, id: str) -> str:\n        SET = info.context['user']\n        await work()\n        return out(GET)\n",
        "",
    ),
    (
        "the package websockets",
        "import websockets\n",
        "async def h(websocket):\n    async for message in websocket:\n        SET = message\n        await work()\n        await websocket.send(GET)\n",
        "async def main():\n    async with websockets.serve(h, 'localhost', 1):\n        await run()\n",
    ),
    (
        "Quart's sockets",
        "from quart import Quart, websocket\napp = Quart('x')\n",
        "@app.websocket('/ws')\nasync def h():\n    SET = await websocket.receive()\n    await work()\n    await websocket.send(GET)\n",
        "",
    ),
    (
        "the low-level SDK 2",
        "from mcp.server import Server\n",
        "async def h(ctx, params):\n    SET = params.arguments['project']\n    await work()\n    return out(GET)\n",
        "server = Server('x', on_call_tool=h)\n",
    ),
    (
        "the low-level SDK's table",
        "import mcp.types as types\nfrom mcp.server.lowlevel import Server\nserver = Server('x')\n",
        "async def h(req: types.CallToolRequest):\n    SET = req.params.arguments['project']\n    await work()\n    return out(GET)\n",
        "server.request_handlers[types.CallToolRequest] = h\n# \"tools/call\"\n",
    ),
    (
        "tools of a constructor",
        "from fastmcp import FastMCP\n",
        "async def h(project: str) -> str:\n    SET = project\n    await work()\n    return out(GET)\n",
        "mcp = FastMCP('x', tools=[h])\n",
    ),
    (
        "tools of a loop",
        "from fastmcp import FastMCP\nmcp = FastMCP('x')\n",
        "async def h(project: str) -> str:\n    SET = project\n    await work()\n    return out(GET)\n",
        "for f in (h,):\n    mcp.add_tool(f)\n",
    ),
    (
        "tools of a table",
        "from fastmcp import FastMCP\nmcp = FastMCP('x')\n",
        "async def h(project: str) -> str:\n    SET = project\n    await work()\n    return out(GET)\n",
        "KNOWN = {'h': h}\nfor name, f in KNOWN.items():\n    mcp.tool(name=name)(f)\n",
    ),
    (
        "a registry of its own",
        "from mcp.server.fastmcp import FastMCP\nmcp = FastMCP('x')\nTOOLS = []\ndef tool(f):\n    TOOLS.append(f)\n    return f\n",
        "@tool\nasync def h(project: str) -> str:\n    SET = project\n    await work()\n    return out(GET)\n",
        "for f in TOOLS:\n    mcp.tool()(f)\n# \"tools/call\"\n",
    ),
    (
        "objects that a name picks",
        "from mcp.server.lowlevel import Server\nserver = Server('x')\nclass ToolHandler:\n    async def run(self, args):\n        raise NotImplementedError\n",
        "class H(ToolHandler):\n    async def run(self, args):\n        SET = args['project']\n        await work()\n        return out(GET)\n",
        "handlers = {'h': H()}\n@server.call_tool()\nasync def call_tool(name, arguments):\n    return await handlers[name].run(arguments)\n",
    ),
    (
        "a class of a tool",
        "from fastmcp.tools.tool import Tool\n",
        "class H(Tool):\n    async def run(self, arguments):\n        SET = arguments['project']\n        await work()\n        return out(GET)\n",
        "",
    ),
    (
        "FastMCP's mixin",
        "from fastmcp.contrib.mcp_mixin import MCPMixin, mcp_tool\n",
        "class H(MCPMixin):\n    @mcp_tool(name='h')\n    async def h(self, project: str) -> str:\n        SET = project\n        await work()\n        return out(GET)\n",
        "",
    ),
    (
        "EnrichMCP",
        "from enrichmcp import EnrichMCP\napp = EnrichMCP('x', 'y')\n",
        "@app.retrieve\nasync def h(project: str) -> str:\n    SET = project\n    await work()\n    return out(GET)\n",
        "",
    ),
    (
        "django-mcp-server",
        "from mcp_server import MCPToolset\n",
        "class H(MCPToolset):\n    async def h(self, project: str) -> str:\n        SET = project\n        await work()\n        return out(GET)\n",
        "",
    ),
    (
        "Gradio's interface",
        "import gradio as gr\n",
        "async def h(project: str) -> str:\n    SET = project\n    await work()\n    return out(GET)\n",
        "gr.Interface(fn=h).launch(mcp_server=True)\n",
    ),
    (
        "Gradio's button",
        "import gradio as gr\n",
        "async def h(project: str) -> str:\n    SET = project\n    await work()\n    return out(GET)\n",
        "with gr.Blocks() as demo:\n    gr.Button('Go').click(h)\ndemo.launch(mcp_server=True)\n",
    ),
    (
        "Chainlit's user",
        "import chainlit as cl\n",
        "@cl.on_message\nasync def h(message: cl.Message):\n    SET = cl.user_session.get('user')\n    await work()\n    await cl.Message(content=GET).send()\n",
        "",
    ),
    (
        "Falcon",
        "import falcon.asgi\napp = falcon.asgi.App()\n",
        "class H:\n    async def on_post(self, req, resp):\n        data = await req.get_media()\n        SET = data['project']\n        await work()\n        resp.media = out(GET)\n",
        "app.add_route('/x', H())\n",
    ),
    (
        "Tornado's arguments",
        "import tornado.web\n",
        "class H(tornado.web.RequestHandler):\n    async def get(self):\n        SET = self.get_argument('project')\n        await work()\n        self.write(out(GET))\n",
        "",
    ),
    (
        "Flask's hook as a call",
        "from flask import Flask, request\napp = Flask('x')\n",
        "def h():\n    SET = request.headers['authorization']\n    work()\n    use(out(GET))\n",
        "app.before_request(h)\n",
    ),
];

#[test]
fn what_requests_reach_is_known_in_every_framework() {
    let mut wrong = Vec::new();
    for (name, before, handler, after) in HANDLERS {
        let server = |handler: &str| {
            format!("{before}current = None\n{handler}def out(given):\n    return given\n{after}")
        };
        // `global` stands in front of the assignment, as deep as that one.
        let line = handler.lines().find(|line| line.contains("SET = ")).unwrap();
        let depth = " ".repeat(line.len() - line.trim_start().len());
        let shared = handler
            .replace(line, &format!("{depth}global current\n{line}"))
            .replace("SET", "current")
            .replace("GET", "current");
        let own = handler.replace("SET", "own").replace("GET", "own");
        let found = |handler: &str| {
            super::found(&server(handler), true)
                .iter()
                .any(|rule| rule.starts_with("request-in-shared-variable"))
        };
        if !found(&shared) {
            wrong.push(format!("nothing is found: {name}"));
        }
        if found(&own) {
            wrong.push(format!("its own variable: {name}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
