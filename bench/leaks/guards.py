"""Conditions that name an owner, taken out of queries, and of the `if` that refuses a foreign row."""


import re

PARTY = r"(?:user|tenant|org|organi[sz]ation|workspace|owner|account|company|team|customer|business|clinic|school)"
OWNER = rf"(?:{PARTY}_?[iI]d|{PARTY}|created_by(?:_id)?|createdBy(?:Id)?)"
COLUMN = rf'(?:\w+\.)?"?(?:{PARTY}_id|created_by|userId|tenantId)"?'
HOLE = r"(\$\d+|\?\d*|%s|%\(\w+\)s|:\w+|\$\{[^}]*\}|\{[^}]*\})"
PYTHON_QUERY = re.compile(
    r"\.(filter|filter_by|exclude|find_one|find|update_one|delete_one|count_documents|where)\(|\band_\(|get_object_or_404\("
    r"|\.objects\.(get|filter|exclude|aget)\("
)
SCRIPT_QUERY = re.compile(
    r"\b(where|filter)\s*:\s*\{|\band\(|\.(findOne|find|findOneBy|findBy|findMany|updateOne|deleteOne|findOneAndUpdate"
    r"|findOneAndDelete|countDocuments|updateMany|deleteMany|findFirst)\(\s*\{"
)
PYTHON_CHECK = re.compile(
    rf"\n([ \t]+)if [^\n]*\.{OWNER}\s*!=[^\n]*:\n\1[ \t]+(raise|return|abort)[^\n]*(\n\1[ \t]+[^\n]*)*"
)
SCRIPT_CHECK = re.compile(
    rf"\n[ \t]*if\s*\([^{{}};\n]*\.{OWNER}(\.toString\(\))?\s*!==?[^{{}};\n]*\)\s*(\{{[^{{}}]*(\{{[^{{}}]*\}}[^{{}}]*)?\}}|(throw|return)[^;\n]*;)"
)
STILL = re.compile(rf"(?<![A-Za-z]){PARTY}(_?[iI]d|s)?\b|[a-z](UserId|TenantId|OrgId|OwnerId)\b|current_user|req\.user", re.I)


def pieces(text, opening):
    """The parts of a bracket that opens at a place, and where it closes."""
    depth, quote, found, start = 0, None, [], opening + 1
    for at in range(opening, min(len(text), opening + 6000)):
        char = text[at]
        if quote:
            quote = None if char == quote and text[at - 1] != "\\" else quote
        elif char in "\"'`":
            quote = char
        elif char in "([{":
            depth += 1
        elif char in ")]}":
            depth -= 1
            if depth == 0:
                return found + ([(start, at)] if text[start:at].strip() else []), at
        elif char == "," and depth == 1:
            found.append((start, at))
            start = at + 1
    return [], None


def lines_of(text):
    return "\n" * text.count("\n")


def without(text, parts, number):
    """The text without one of the parts, and as many lines as before."""
    start, end = parts[number]
    if text[end] == ",":
        end += 1
    elif number:
        start = parts[number - 1][1]
    return text[:start] + lines_of(text[start:end]) + text[end:]


def conditions(text, python):
    """Conditions among others in a call or record of a query."""
    names = re.compile(
        rf"{OWNER}(__\w+)?\s*=[^=]|(\w+\.)*\w+\.{OWNER}\s*==" if python else rf"{OWNER}\s*(:(?!\s*(true|false)\b)|$)|(\w+\.)?eq\(\s*[\w.]+\.{OWNER}\s*,"
    )
    for head in (PYTHON_QUERY if python else SCRIPT_QUERY).finditer(text):
        parts, close = pieces(text, head.end() - 1)
        for number, (start, end) in enumerate(parts):
            said = text[start:end].strip()
            if names.match(said) and (len(parts) > 1 or ".where" not in head.group()):
                yield "condition", head.start(), without(text, parts, number), said
            elif names.match(said):
                yield "condition", head.start(), text[: head.start()] + lines_of(text[head.start() : close + 1]) + text[close + 1 :], said


def chained(text, _python):
    """`.eq("user_id", …)` of a chain."""
    for head in re.finditer(rf"\.eq\(\s*[\"']{OWNER}[\"']", text):
        _, close = pieces(text, text.index("(", head.start()))
        if close:
            yield "chain", head.start(), text[: head.start()] + lines_of(text[head.start() : close + 1]) + text[close + 1 :], head.group()


def sql(text, _python):
    """`AND user_id = $2` in a text, and the parameter with it."""
    pattern = rf"(?i)\s+AND\s+{COLUMN}\s*=\s*{HOLE}(::\w+)?|{COLUMN}\s*=\s*{HOLE}(::\w+)?\s+AND\s+"
    for head in re.finditer(pattern, text):
        start = max(text.rfind(quote, 0, head.start()) for quote in "\"'`")
        end = text.find(text[start], head.end()) if start >= 0 else -1
        if end < 0 or end - start > 3000 or not re.search(r"(?i)\b(select|update|delete)\b", text[start:end]):
            continue
        hole, rest, number = head.group(1) or head.group(3), text[end:], None
        if hole in ("?", "%s"):
            number = text[start : head.start() + head.group().index(hole)].count(hole)
        elif re.fullmatch(r"[$?]\d+", hole):
            number = int(hole[1:]) - 1
        said = text[: head.start()] + (lines_of(head.group()) or " ") + text[head.end() : end]
        if number is not None:
            list_ = re.match(r"[\"'`]+\s*\)?\s*(,|\.bind|\.get|\.all|\.run|\.first)?\s*([\[(])", rest)
            parts = pieces(rest, list_.end() - 1)[0] if list_ else []
            if number >= len(parts):
                continue
            rest = without(rest, parts, number)
            if len(hole) > 1 and hole != "%s":
                lower = lambda found: found.group(1) + str(int(found.group(2)) - (int(found.group(2)) > number + 1))
                said = said[:start] + re.sub(r"([$?])(\d+)", lower, said[start:])
        yield "sql", start, said + rest, head.group().strip()


def checks(text, python):
    """An `if` that refuses a row whose owner is not the caller."""
    for head in (PYTHON_CHECK if python else SCRIPT_CHECK).finditer(text):
        if re.search(r"raise|return|abort|throw", head.group()):
            yield "check", head.start() + 1, text[: head.start()] + lines_of(head.group()) + text[head.end() :], head.group().strip()


def owner_left(text, line):
    """Whether the statement at a line still names an owner beside what is read and written."""
    lines, depth, statement = text.split("\n"), 0, []
    for number in range(line - 1, min(line + 24, len(lines))):
        statement.append(lines[number])
        depth += sum(lines[number].count(char) for char in "([{") - sum(lines[number].count(char) for char in ")]}")
        goes_on = number + 1 < len(lines) and re.match(r"\s*\.", lines[number + 1])
        if depth <= 0 and not goes_on:
            break
    said = "\n".join(statement)
    said = re.sub(r"(select|include|data)\s*:\s*\{[^{}]*\}", "", said)
    said = re.sub(r"(?is)select\s+.*?\sfrom", "select from", said)
    said = re.sub(r"^\s*((const|let|var)\s+)?[\w{}, ]+=(?!=)", "", said, count=1)
    said = re.sub(r"\b[A-Z]\w*\b|(prisma|db|tx)\.\w+|from\([^)]*\)", "", said)
    return bool(STILL.search(said))


def guards(text, python):
    """All guards of a text: the kind, where, the text without it, and what it says."""
    for find in (conditions, chained, sql, checks):
        for kind, at, bare, said in find(text, python):
            line = text.count("\n", 0, at) + 1
            made = re.search(r"create\(|insert\(", " ".join(bare.split("\n")[line - 1 : line + 3]))
            if not made and (kind == "check" or not owner_left(bare, line)):
                yield kind, at, bare, said
