"""Changes that make a server leak, of every layer but the conditions of queries, which guards.py has.

Each function is given a file's text and whether it is Python, and yields what it changes: the kind, where, the changed text, what stood there.
They are made by the text alone and know nothing of types, so that a part of what they make is no leak.
"""

import functools
import re

from guards import PARTY, lines_of, pieces

REQUEST = r"(?:req|request|ctx|context|c|args|arguments|input|body|params|payload|data|dto|extra|info|session|user|current_user|event|interaction|socket|ws)"
SECRET = r"(?:token|api_?key|access_?token|credentials?|secret|password|bearer|auth_?header)"
TENANT = r"(?:tenant|org|organi[sz]ation|workspace|company|account|team)"
FIXED = re.compile(r"process\.env|os\.environ|os\.getenv|settings\b|[cC]onfig\b|\b[eE]nv\b|requireEnv|import\.meta|_SECRET\b")
CLIENT = re.compile(r"(?i)client|api\b|sdk|octokit|supabase|stripe|openai|anthropic|gmail|drive\b|calendar|service|session|connection|driver|connector|provider|gateway|graph|slack|notion|jira|github")
NO_CLIENT = re.compile(r"(?i)error|exception|response|request|record|command|hmac|params|user|credential|config|invitation|token\(|event|row\b")
SCRIPT_HEAD = re.compile(r"\)\s*(?::\s*[\w<>\[\]|&, .{}\"']{1,120}?)?\s*(?:=>)?\s*\{")
NO_FUNCTION = re.compile(r"\b(if|for|while|switch|catch|with)\s*$")
PYTHON_HEAD = re.compile(r"(?m)^([ \t]*)(async[ ]+)?def[ ]+(\w+)\(")


@functools.lru_cache(maxsize=4)
def functions(text, python):
    """The functions of a text: where each begins, its parameters, and where its body begins and ends."""
    return tuple(found_functions(text, python))


def found_functions(text, python):
    if python:
        for head in PYTHON_HEAD.finditer(text):
            _, close = pieces(text, head.end() - 1)
            colon = text.find(":", close) if close else -1
            begin = text.find("\n", colon) + 1 if colon > 0 else 0
            if not begin:
                continue
            after = re.compile(rf"(?m)^(?!{head.group(1)}[ \t])[ \t]*(?=\S)").search(text, begin)
            yield head.start(), text[head.end() : close], begin, after.start() if after else len(text)
        return
    for head in SCRIPT_HEAD.finditer(text):
        opening, depth = head.start(), 0
        for at in range(head.start(), max(-1, head.start() - 1500), -1):
            depth += (text[at] == ")") - (text[at] == "(")
            if depth == 0:
                opening = at
                break
        if opening == head.start() or NO_FUNCTION.search(text[max(0, opening - 12) : opening]):
            continue
        end = closing(text, head.end() - 1)
        if end:
            yield opening, text[opening + 1 : head.start()], head.end(), end


def closing(text, opening):
    """Where a brace of a script is closed, strings and remarks left out."""
    depth, at, quote = 0, opening, None
    while at < min(len(text), opening + 40_000):
        char = text[at]
        if quote:
            if char == "\\":
                at += 1
            elif char == quote:
                quote = None
        elif text.startswith("//", at) and text[at - 1] != ":":
            at = text.find("\n", at)
            if at < 0:
                return None
        elif char in "\"'`":
            quote = char
        elif char in "{}":
            depth += 1 if char == "{" else -1
            if depth == 0:
                return at
        at += 1
    return None


def asked(parameters, python):
    """Whether a function is given a request or what was sent with one."""
    names = REQUEST if python else rf"{REQUEST}|\{{"
    return re.search(rf"(^|[\s,({{])({names})\b", parameters) is not None


def is_module_name(text, name):
    return re.search(rf"(?m)^(export\s+)?(const|let|var|function|class|async def|def|import|from)\b[^\n=]*\b{name}\b|^{name}\s*[:=]", text) is not None


def hoisted(text, python):
    """State: a variable of a handler becomes one of the module."""
    pattern = (
        rf"(?m)^[ \t]+(\w+) = ([^\n]*\b{REQUEST}\b[.\[(][^\n]*[^\n,(\[{{\\])$"
        if python
        else rf"(?m)^[ \t]+(?:const|let) (\w+)(?::[^\n=]+)? = ([^\n]*\b{REQUEST}\b[.\[(!?][^\n]*);[ \t]*$"
    )
    for _, parameters, begin, end in functions(text, python):
        if not asked(parameters, python):
            continue
        for found in re.finditer(pattern, text[begin:end]):
            name, rest = found.group(1), text[begin + found.end() : end]
            waits = re.search(r"\bawait\b", rest)
            if not waits or not re.search(rf"\b{name}\b", rest[waits.end() :]) or is_module_name(text, name) or "=>" in found.group(2):
                continue
            start, said = begin + found.start(), found.group()
            blank = said[: len(said) - len(said.lstrip())]
            put = f"{blank}global {name}; {said.strip()}" if python else f"{blank}{name} = {found.group(2)};"
            kept = f"\n{name} = None\n" if python else f"\nlet {name}: any;\n"
            yield "hoisted", start, text[:start] + put + text[begin + found.end() :] + kept, said.strip()


def kept(text, python):
    """Credentials: a client that is made with the caller's is kept from the first on."""
    pattern = (
        r"(?m)^[ \t]+(\w+)(?:: \w+)? = (?:await )?(?:\w+\.)*[A-Z]\w*\("
        if python
        else r"(?m)^[ \t]+(?:const|let) (\w+)(?::[^\n=]+)? = (?:await )?(?:new [A-Z][\w.]*|create\w*|\w+\.create\w*)\("
    )
    for _, parameters, begin, end in functions(text, python):
        if not parameters.strip():
            continue
        for found in re.finditer(pattern, text[begin:end]):
            parts, close = pieces(text, begin + found.end() - 1)
            given = text[begin + found.end() : close] if close else ""
            secret = re.search(rf"\b(\w*{SECRET}\w*)\b", given, re.I)
            if not secret or FIXED.search(given) or not parts or not CLIENT.search(found.group()) or NO_CLIENT.search(found.group()):
                continue
            own = text[begin : begin + found.start()]
            source = re.search(rf"\b{secret.group(1)}\b\s*(?::[^\n=]+)?=([^\n=][^\n]*)", own)
            if FIXED.search(source.group(1)) if source else not re.search(rf"\b{secret.group(1)}\b", parameters + given):
                continue
            name, start = found.group(1), begin + found.start()
            said = text[start : close + 1]
            value = said[said.index("=") + 1 :].strip() if ":" not in said.split("=")[0] else said[said.index(" = ") + 3 :].strip()
            blank = said[: len(said) - len(said.lstrip())]
            if python:
                put, more = f"{blank}global _kept_{name}; _kept_{name} = _kept_{name} or {value}; {name} = _kept_{name}", f"\n_kept_{name} = None\n"
            else:
                put, more = f"{blank}const {name} = (kept{name} ??= {value})", f"\nlet kept{name}: any;\n"
            yield "kept", start, text[:start] + put + text[close + 1 :] + more, said.strip()


def keys(text, python):
    """Cache: the owner is left out of a key."""
    owner = rf"[\w.]*(?:{PARTY}(?:_?[iI]d)?)(?:\.id|\.pk)?"
    literal = r"f([\"'])([^\"'\n]*)\1" if python else r"(`)([^`\n]*)`"
    hole = rf"\{{\s*{owner}\s*\}}" if python else rf"\$\{{\s*{owner}\s*\}}"
    before = re.compile(r"(\w*[kK]ey\w*\s*(?::\s*\w+)?\s*=\s*|\b\w*(?:cache|redis|kv|memo|lru)\w*\)?\.\w+\(\s*|\b\w*[cC]ache_?[kK]ey\w*\([^()]*\)[^{}]{0,60}\{\s*return\s*)$", re.I)
    for found in re.finditer(literal, text):
        holes = list(re.finditer(hole, found.group(2)))
        if not holes or not before.search(text[max(0, found.start() - 120) : found.start()]) or not re.search(r"cache|redis|kv|memo|lru", text, re.I):
            continue
        bare = found.group()
        for one in reversed(holes):
            offset = found.start(2) - found.start()
            bare = bare[: offset + one.start()] + bare[offset + one.end() :]
        yield "key", found.start(), text.replace(found.group(), bare), found.group()


def told(text, python):
    """Identity: who acts is what the request says, instead of who was verified."""
    if python:
        signature = re.compile(r"(\w+)\s*:\s*[\w.\[\], |]+\s*=\s*Depends\(\s*\w*(?:user|auth|principal)\w*\s*\)|(\w+)\s*:\s*(?:CurrentUser\w*|Annotated\[[^\]]*user[^\]]*\])(?=\s*[,)\n])")
        for start, parameters, begin, end in functions(text, python):
            found = signature.search(parameters)
            if not found:
                continue
            name, body = found.group(1) or found.group(2), text[begin:end]
            used = re.findall(rf"\b{name}\b(\.\w+|\[[^\]]*\])?", body)
            if not used or any(one not in (".id", ".user_id", ".uid", '["id"]', '["user_id"]', '["sub"]', ".tenant_id", ".organization_id") for one in used):
                continue
            tenant = any("tenant" in one or "org" in one for one in used)
            new = "tenant_id" if tenant else "user_id"
            if re.search(rf"\b{new}\b\s*[:=]", parameters):
                continue
            at = text.index(parameters, start) + found.start()
            body = re.sub(rf"\b{name}\b(\.\w+|\[[^\]]*\])", new, body)
            yield "told", begin, text[:at] + f"{new}: str = Query(...)" + text[at + len(found.group()) : begin] + body + text[end:], found.group()
        for start, parameters, begin, end in functions(text, python):
            if re.search(r"\brequest\b", parameters) and re.search(r"\brequest\.user\b(?!\.)", text[begin:end]):
                body = re.sub(r"\brequest\.user\b(\.(?:id|pk))?", 'request.data["user_id"]', text[begin:end])
                yield "told", begin, text[:begin] + body + text[end:], "request.user"
        return
    path = re.compile(r"\b(req|request)\.(?:user|auth|session)(?:!|\?)?\.(?:user\.)?(id|_id|userId|sub|tenantId|organizationId|orgId|companyId)\b|\b(req|request)\.(userId|tenantId|orgId)\b")
    for _, parameters, begin, end in functions(text, python):
        found = path.search(text[begin:end]) if re.search(r"\b(req|request)\b", parameters) else None
        if found and not re.search(r"\bnext\b", parameters):
            name = found.group(2) or found.group(4)
            new = name if name.endswith("Id") else "userId"
            where = found.group(1) or found.group(3)
            body = path.sub(f"{where}.body.{new}", text[begin:end])
            yield "told", begin, text[:begin] + body + text[end:], found.group()
    nest = re.compile(r"@(?:CurrentUser|GetUser|AuthUser|User|ActiveUser)\(\)\s*(\w+)\s*:\s*[\w.<>]+")
    for start, parameters, begin, end in functions(text, python):
        found = nest.search(parameters)
        used = re.findall(rf"\b{found.group(1)}\b(\.\w+)?", text[begin:end]) if found else []
        if used and all(one in (".id", ".sub", ".userId", ".tenantId", ".organizationId") for one in used):
            new = "tenantId" if any(one in (".tenantId", ".organizationId") for one in used) else "userId"
            at = text.index(parameters, start) + found.start()
            body = re.sub(rf"\b{found.group(1)}\b\.\w+", new, text[begin:end])
            yield "told", begin, text[:at] + f"@Query('{new}') {new}: string" + text[at + len(found.group()) : begin] + body + text[end:], found.group()


def defaults(text, python):
    """Context: where there is no tenant, there is a default one."""
    place = r"(?:current_user|request\.state|g|user|ctx|context|claims|payload)" if python else r"(?:req(?:uest)?(?:\.(?:user|auth))?[!?]?|ctx|context|session\.user|user|claims|payload|auth)"
    name = rf"{TENANT}(?:_?[iI]d)"
    seen = set()
    for found in re.finditer(rf"(=\s*|:\s*|\(\s*|,\s*)({place}\.{name})\b(?!\s*(?:[=?|&.!(\]]|or\b|and\b|is\b))", text):
        line = text[text.rfind("\n", 0, found.start()) + 1 : text.find("\n", found.end())]
        around = next((fun for fun in functions(text, python) if fun[2] <= found.start() < fun[3]), None)
        if not around or around[2] in seen or re.search(r"\b(if|log\w*|console|print|raise|throw|while)\b", line):
            continue
        seen.add(around[2])
        new = f'({found.group(2)} or "default")' if python else f'({found.group(2)} ?? "default")'
        yield "default", found.start(), text[: found.start(2)] + new + text[found.end(2) :], found.group(2)


def broadcast(text, python):
    """Routing: what is for one goes to all."""
    if python:
        for found in re.finditer(r"\b(?:sio|socketio)\.emit\(|\bemit\(", text):
            parts, close = pieces(text, found.end() - 1)
            for number, (start, end) in enumerate(parts):
                if re.match(r"\s*(room|to)\s*=", text[start:end]) and number:
                    bare = text[: parts[number - 1][1]] + lines_of(text[parts[number - 1][1] : end]) + text[end:]
                    yield "broadcast", found.start(), bare, text[start:end].strip()
        return
    for found in re.finditer(r"\b(?:io|server|namespace|nsp)\.(?:to|in)\(", text):
        _, close = pieces(text, found.end() - 1)
        if close and text[close + 1 :].lstrip().startswith(".emit("):
            cut = text.index(".", found.start())
            yield "broadcast", found.start(), text[:cut] + lines_of(text[cut : close + 1]) + text[close + 1 :], text[found.start() : close + 1]


def unverified(text, python):
    """Identity: a token is read and not verified, or meant for anybody."""
    for found in re.finditer(r"\bjwt\.decode\(" if python else r"\b(?:jwt|jsonwebtoken)\.verify\(", text):
        parts, close = pieces(text, found.end() - 1)
        if not close or len(parts) < 2 or (not python and re.search(r"\berr", text[found.start() : close + 200])):
            continue
        first = text[parts[0][0] : parts[0][1]].strip()
        bare = f'jwt.decode({first}, options={{"verify_signature": False}})' if python else f"jwt.decode({first})"
        said = text[found.start() : close + 1]
        if "verify_signature" not in said:
            yield "unverified", found.start(), text[: found.start()] + bare + lines_of(said) + text[close + 1 :], said
    for found in re.finditer(r"\bjwt\.decode\(|\bjwtVerify\(|\bjwt\.verify\(", text):
        parts, close = pieces(text, found.end() - 1)
        for start, end in parts:
            inner = re.search(r"audience\s*[:=]\s*[\w.\[\]\"'()]+\s*,?", text[start:end])
            if inner:
                yield "audience", found.start(), text[: start + inner.start()] + lines_of(inner.group()) + text[start + inner.end() :], inner.group()


def policies(text, _python):
    """Data: policies of PostgreSQL that are gone, or let everybody."""
    for found in re.finditer(r"(?i)ALTER\s+TABLE\s+(?:IF\s+EXISTS\s+)?(?:ONLY\s+)?([\w.\"]+)\s+ENABLE\s+ROW\s+LEVEL\s+SECURITY\s*;", text):
        yield "rls-off", found.start(), text[: found.start()] + lines_of(found.group()) + text[found.end() :], found.group()
    for found in re.finditer(r"(?i)\bUSING\s*\(", text):
        _, close = pieces(text, found.end() - 1)
        inner = text[found.end() : close] if close else ""
        policy = text.rfind(";", 0, found.start())
        if re.search(r"(?i)auth\.uid|current_setting|auth\.jwt|current_tenant|get_user|is_member", inner) and re.search(r"(?i)create\s+policy", text[policy + 1 : found.start()]):
            yield "rls-open", found.start(), text[: found.end()] + "true" + lines_of(inner) + text[close:], inner


def settings(text, _python):
    """Data: a setting of a transaction that stays on the connection."""
    for found in re.finditer(r"(?i)set_config\([^()]*,[^()]*,\s*true\s*\)|\bSET\s+LOCAL\s+(?=[\w.]*(?:tenant|user|org|app|rls))", text):
        new = re.sub(r"(?i)true(\s*\))$", r"false\1", found.group()) if "set_config" in found.group().lower() else "SET "
        yield "setting", found.start(), text[: found.start()] + new + text[found.end() :], found.group()


def logged(text, python):
    """Disclosure: a credential is logged."""
    pattern = rf"(?m)^([ \t]+)(\w*{SECRET}) = ([^\n]*\([^\n]*\))$" if python else rf"(?mi)^([ \t]+)(?:const|let) (\w*(?:token|apiKey|secret)) = ([^\n]*\([^\n]*\));$"
    for _, _, begin, end in functions(text, python):
        for found in re.finditer(pattern, text[begin:end]):
            name, at = found.group(2), begin + found.end()
            if not FIXED.search(found.group(3)) and not re.search(r"\.set\(|csrf|per_token", found.group(), re.I):
                yield "logged", begin + found.start(), text[:at] + (f"; print({name})" if python else f' console.log("got", {name});') + text[at:], found.group().strip()


def spread(text, python):
    """Identity: what was sent is spread over the owner."""
    for found in re.finditer(r"\{(?=[^{}]*(\*\*|\.\.\.))", text):
        parts, close = pieces(text, found.start())
        spreads = [n for n, (start, end) in enumerate(parts) if re.match(rf"\s*(\*\*|\.\.\.)\s*(req(uest)?\.body|body|data|input|dto|payload|\w*(Dto|Data|Input|Body))\b", text[start:end])]
        owners = [n for n, (start, end) in enumerate(parts) if re.match(rf"\s*[\"']?(userId|user_id|tenantId|tenant_id|organizationId|organization_id|ownerId|owner_id|workspaceId|companyId)[\"']?\s*:", text[start:end])]
        if len(spreads) == 1 and owners and spreads[0] < owners[-1]:
            own = text[parts[spreads[0]][0] : parts[spreads[0]][1]]
            rest = [text[start:end] for n, (start, end) in enumerate(parts) if n != spreads[0]]
            bare = ",".join(rest + [own])
            tail = text[parts[-1][1] : close]
            yield "spread", found.start(), text[: found.start() + 1] + bare + tail + text[close:], own.strip()


def helpers(text, python):
    """Data: the call that checks whose a thing is is gone, or nobody waits for it."""
    name = r"\b(?:\w+\.)*_?(?:assert|require|ensure|check|verify|validate|authorize)_?\w*(?:[oO]wn|[aA]ccess|[mM]ember|[tT]enant|[bB]elong|[oO]rg|[wW]orkspace|[pP]roject|[pP]ermission)\w*\("
    for found in re.finditer(rf"(?m)^[ \t]+(await )?({name})", text):
        parts, close = pieces(text, found.end() - 1)
        line_end = text.find("\n", close) if close else -1
        if len(parts) < 2 or text[close + 1 : line_end].strip() not in ("", ";"):
            continue
        start = found.start() + len(found.group()) - len(found.group().lstrip())
        said = text[start : close + 1]
        yield "helper", start, text[:start] + ("pass" if python else "") + lines_of(said) + text[close + 1 :], said
        if found.group(1):
            yield "unawaited", start, text[:start] + text[start + len("await ") :], said


def servers(text, python):
    """Routing: one server or transport for all."""
    if python:
        return
    made = r"(?m)^[ \t]+const (\w+)(?::[^\n=]+)? = (?:await )?(?:new (?:\w+\.)?(?:McpServer|Server|FastMCP)|\w*[cC]reate\w*Server|build\w*Server|make\w*Server|getServer|new (?:StreamableHTTP|SSE)ServerTransport)\("
    for _, parameters, begin, end in functions(text, python):
        if not asked(parameters, python) or ".connect(" not in text[begin:end]:
            continue
        for found in re.finditer(made, text[begin:end]):
            _, close = pieces(text, begin + found.end() - 1)
            if not close:
                continue
            name, start = found.group(1), begin + found.start()
            said = text[start : close + 1]
            value = said[said.index(" = ") + 3 :]
            blank = said[: len(said) - len(said.lstrip())]
            yield "server", start, text[:start] + f"{blank}const {name} = (shared{name} ??= {value})" + text[close + 1 :] + f"\nlet shared{name}: any;\n", said.strip()


def memo(text, python):
    """Cache: what was found for one caller is kept for all."""
    owner = rf"\b(?:user|currentUser|current_user|session|auth|ctx|req|request|c)\b[!?]?\.?[\w.!?]*(?:{PARTY}_?[iI]d|\.id|\.sub)\b|\b(?:user|tenant|org|organization|workspace)_?[iI]d\b"
    pattern = r"(?m)^[ \t]+(\w+) = (await [^\n]*[^\n,(\[{\\])$" if python else r"(?m)^[ \t]+const (\w+)(?::[^\n=]+)? = (await [^\n]*);[ \t]*$"
    for _, parameters, begin, end in functions(text, python):
        for found in re.finditer(pattern, text[begin:end]):
            name, value = found.group(1), found.group(2)
            if not asked(parameters, python) or not re.search(owner, value) or is_module_name(text, name) or re.search(r"create|insert|update|delete|save|send|add\b|check|verify", value, re.I):
                continue
            start, said = begin + found.start(), found.group()
            blank = said[: len(said) - len(said.lstrip())]
            put = f"{blank}global _memo_{name}; _memo_{name} = _memo_{name} or {value}; {name} = _memo_{name}" if python else f"{blank}const {name} = (memo{name} ??= {value});"
            more = f"\n_memo_{name} = None\n" if python else f"\nlet memo{name}: any;\n"
            yield "memo", start, text[:start] + put + text[begin + found.end() :] + more, said.strip()


def headers(text, python):
    """Identity: the tenant is what a header says."""
    path = rf"\b(current_user|user)\.{TENANT}_id\b" if python else rf"\b(req|request)\.(?:user|auth)[!?]?\.{TENANT}Id\b|\b(req|request)\.{TENANT}Id\b"
    for _, parameters, begin, end in functions(text, python):
        if not re.search(r"\brequest\s*:\s*Request\b" if python else r"\b(req|request)\b", parameters):
            continue
        found = re.search(path, text[begin:end])
        if found and not re.search(r"\bnext\b", parameters):
            where = "request" if python else found.group(1) or found.group(2)
            new = 'request.headers.get("x-tenant-id")' if python else f'{where}.headers["x-tenant-id"]'
            yield "header", begin, text[:begin] + re.sub(path, new, text[begin:end]) + text[end:], found.group()


def operators_key(text, python):
    """Credentials: the process's own key instead of the caller's, or where there is none."""
    for kind, at, changed, said in kept(text, python):
        value = said[said.index("=") + 1 :].strip()
        secret = re.search(rf"\b(?:\w+[.?!]+)*\w*{SECRET}\w*\b(?!\s*[:=(])", value, re.I)
        if not secret or said not in text[at : at + len(said) + 80]:
            continue
        start = text.index(said, at)
        inner = start + said.index(value) + secret.start()
        own = 'os.environ["UPSTREAM_TOKEN"]' if python else "process.env.UPSTREAM_TOKEN"
        both = f"({secret.group()} or {own})" if python else f"({secret.group()} ?? {own})"
        before, rest = text[:inner], text[inner + len(secret.group()) :]
        # `{ apiKey }` names the property too, and in a text a name stands in braces of its own.
        short = not python and re.search(r"[{,]\s*$", before) and re.match(r"\s*[,}]", rest) and "{" in value[: secret.start()]
        if re.search(r"`[^`{]*$|[\"'][^\"'{]*$", value[: secret.start()]):
            continue
        name = f"{secret.group()}: " if short else ""
        yield "envkey", at, before + name + own + rest, said
        yield "fallback", at, before + name + both + rest, said


SCRIPTS = (hoisted, kept, keys, told, defaults, broadcast, unverified, settings, logged, spread, helpers, servers, memo, headers, operators_key)
TEXTS = (policies, settings)
