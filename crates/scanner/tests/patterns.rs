//! The six failure patterns that the scanner was started for, dangerous and safe, as files of `tests/patterns`.
//!
//! `<layer>.bad.<language>` must have a finding of its layer that is high (low, where the pattern is latent), and
//! `<layer>.good.<language>` no finding that is high, of any layer, and none of its own.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::{fs, path::Path};

use partywall_model::{Layer, Severity};
use partywall_scanner::{Options, Tenancy, scan};

/// Files in which nothing waits between the write and the read.
const LATENT: &[&str] = &["state.bad.js"];

/// Dangerous files in which nothing is found yet. One that is found has to leave this list.
const MISSED: &[&str] = &[];

/// A table with a tenant, for queries to be about.
const SCHEMA: &str = "create table invoices (id uuid primary key, tenant_id uuid not null, month text, total int);\n\
     create table project (id uuid primary key, organization_id uuid not null, name text, state text);\n";

fn findings(name: &str) -> Vec<(Layer, Severity, String)> {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/patterns").join(name);
    let folder = tempfile::tempdir().unwrap();
    // The name must not look like that of a test, which is left out.
    let extension = name.rsplit('.').next().unwrap();
    fs::copy(&source, folder.path().join(format!("server.{extension}"))).unwrap();
    fs::write(folder.path().join("schema.sql"), SCHEMA).unwrap();
    let mut options = Options { tenancy: Tenancy::Multi, ..Options::default() };
    options.selection.targets = vec![folder.path().to_owned()];
    let scan = scan(&options, &()).unwrap();
    let own = scan.document.findings.into_iter().filter(|finding| !finding.path.ends_with(".sql"));
    own.map(|finding| (finding.layer, finding.severity, format!("{}:{}", finding.rule, finding.line)))
        .collect()
}

fn check(layer: Layer) {
    let mut wrong = Vec::new();
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/patterns");
    let mut names: Vec<String> = fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .filter(|name| name.split(['.', '-']).next() == Some(layer.name()))
        .collect();
    names.sort();
    assert!(names.len() >= 4, "too few files for {}: {names:?}", layer.name());
    for name in &names {
        let all = findings(name);
        let own: Vec<_> = all.iter().filter(|(of, ..)| *of == layer).collect();
        if name.contains(".good.") {
            if !own.is_empty() || all.iter().any(|(_, severity, _)| *severity == Severity::High) {
                wrong.push(format!("{name} is safe, but: {all:?}"));
            }
            continue;
        }
        if MISSED.contains(&name.as_str()) {
            if !own.is_empty() {
                wrong.push(format!("{name} is found now: take it off the list of those that are missed"));
            }
            continue;
        }
        let wanted = if LATENT.contains(&name.as_str()) { Severity::Low } else { Severity::High };
        if !own.iter().any(|(_, severity, _)| *severity == wanted) {
            wrong.push(format!("{name} has no finding that is {}: {all:?}", wanted.name()));
        }
    }
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
}

#[test]
fn state_of_a_module() {
    check(Layer::State);
}

#[test]
fn rows_without_a_tenant() {
    check(Layer::Data);
}

#[test]
fn caches_without_a_tenant() {
    check(Layer::Cache);
}

#[test]
fn one_credential_for_all() {
    check(Layer::Credentials);
}

#[test]
fn a_tenant_from_the_arguments() {
    check(Layer::Identity);
}

#[test]
fn no_context() {
    check(Layer::Context);
}

/// A server whose rows say whose they are, and whose code names hardly anybody.
const FEW_WORDS: &str = r#"import { Hono } from "hono";
const app = new Hono();
app.get("/pins", async (c) => c.json(await c.env.DB.prepare("SELECT x FROM pins WHERE owner_id = ?").bind(c.get("who")).all()));
app.delete("/pins/:id", async (c) => {
  await c.env.DB.prepare("DELETE FROM pins WHERE id = ?").bind(c.req.param("id")).run();
  return c.json({ gone: true });
});
export default app;
"#;

#[test]
fn rows_that_say_whose_they_are_speak_of_several_people() {
    let found = |source: &str| -> Vec<(String, u32, Severity)> {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("package.json"), r#"{"name":"pins","dependencies":{"hono":"*"}}"#)
            .unwrap();
        fs::write(folder.path().join("server.ts"), source).unwrap();
        let mut options = Options::default();
        options.selection.targets = vec![folder.path().to_owned()];
        let findings = scan(&options, &()).unwrap().document.findings.into_iter();
        findings.map(|finding| (finding.rule, finding.line, finding.severity)).collect()
    };
    assert_eq!(found(FEW_WORDS), [("unscoped-query".to_owned(), 5, Severity::Medium)]);
    let mended = FEW_WORDS
        .replace("WHERE id = ?", "WHERE id = ? AND owner_id = ?")
        .replace("c.req.param(\"id\"))", "c.req.param(\"id\"), c.get(\"who\"))");
    assert_eq!(found(&mended), []);
}

/// The ways that a handler may find out who calls, or look at something else of the request, before it asks for a row by the id of the
/// path: none of them looks at whose the row is. With each stands what the caller is then.
const WAYS_IN: &[(&str, &str)] = &[
    ("", "req.user.id"),
    ("const user = await getCurrentUser(req);", "user.id"),
    ("const { userId } = auth(); if (!userId) return res.status(401).end();", "userId"),
    ("const userId = requireUserId(req);", "userId"),
    ("ensureAuthenticated(req);", "req.user.id"),
    ("const caller = await authenticate(req);", "caller.id"),
    (
        "const user = await validateToken(req.headers.authorization); if (!user) return res.status(401).end();",
        "user.id",
    ),
    (
        "const session = await verifySession(req); if (!session) return res.status(401).end();",
        "session.userId",
    ),
    ("if (!req.session.userId) return res.status(401).end();", "req.session.userId"),
    ("if (req.user.role !== \"member\") return res.status(403).end();", "req.user.id"),
    ("if (!isValidUuid(req.params.id)) return res.status(400).end();", "req.user.id"),
    ("await checkRateLimit(req);", "req.user.id"),
    ("verifyCsrf(req);", "req.user.id"),
    ("logger.info({ user: req.user.id, id: req.params.id });", "req.user.id"),
];

/// The ways to ask for the caller's own rows, and for one by the id of the path.
const WAYS_TO_ASK: &[(&str, &str)] = &[
    (
        r#"pool.query("select * from notes where user_id = $1", [OWNER])"#,
        r#"pool.query("select * from notes where id = $1", [req.params.id])"#,
    ),
    (
        "prisma.note.findMany({ where: { userId: OWNER } })",
        "prisma.note.findUnique({ where: { id: req.params.id } })",
    ),
    (
        "db.select().from(notes).where(eq(notes.userId, OWNER))",
        "db.delete(notes).where(eq(notes.id, req.params.id))",
    ),
    (r#"knex("notes").where({ user_id: OWNER })"#, r#"knex("notes").where({ id: req.params.id }).first()"#),
    (
        r#"db.selectFrom("notes").selectAll().where("user_id", "=", OWNER).execute()"#,
        r#"db.selectFrom("notes").selectAll().where("id", "=", req.params.id).execute()"#,
    ),
    ("Note.find({ userId: OWNER })", "Note.findByIdAndDelete(req.params.id)"),
    (
        r#"db.collection("notes").find({ userId: OWNER }).toArray()"#,
        r#"db.collection("notes").findOne({ _id: req.params.id })"#,
    ),
    (
        "noteRepository.find({ where: { userId: OWNER } })",
        "noteRepository.findOne({ where: { id: req.params.id } })",
    ),
    ("Note.findAll({ where: { userId: OWNER } })", "Note.findByPk(req.params.id)"),
    (
        r#"supabase.from("notes").select("*").eq("user_id", OWNER)"#,
        r#"supabase.from("notes").select("*").eq("id", req.params.id).single()"#,
    ),
    (
        r#"db.prepare("select * from notes where user_id = ?").all(OWNER)"#,
        r#"db.prepare("select * from notes where id = ?").get(req.params.id)"#,
    ),
    (
        "sql`select * from notes where user_id = ${OWNER}`",
        "sql`select * from notes where id = ${req.params.id}`",
    ),
];

/// The same in Python, with FastAPI.
const PYTHON_WAYS: &[(&str, &str)] = &[
    ("session.query(Note).filter(Note.user_id == user.id).all()", "session.get(Note, note_id)"),
    (
        "(await session.execute(select(Note).where(Note.user_id == user.id))).all()",
        "(await session.execute(select(Note).where(Note.id == note_id))).one()",
    ),
    (
        r#"await pool.fetch("select * from notes where user_id = $1", user.id)"#,
        r#"await pool.fetchrow("select * from notes where id = $1", note_id)"#,
    ),
    (
        r#"await db.notes.find({"user_id": user.id}).to_list(10)"#,
        r#"await db.notes.find_one({"_id": note_id})"#,
    ),
    (
        r#"supabase.table("notes").select("*").eq("user_id", user.id).execute()"#,
        r#"supabase.table("notes").delete().eq("id", note_id).execute()"#,
    ),
    ("list(Note.objects.filter(user_id=user.id))", "Note.objects.get(id=note_id)"),
    ("list(Note.select().where(Note.user_id == user.id))", "Note.get_by_id(note_id)"),
    ("await repo.list_for_user(user.id)", "await repo.get(note_id)"),
];

/// The lines below the first route of a file in which the scanner finds something about rows.
fn lines_about_rows(name: &str, source: &str) -> Vec<u32> {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join(name), source).unwrap();
    let mut options = Options { tenancy: Tenancy::Multi, ..Options::default() };
    options.selection.targets = vec![folder.path().to_owned()];
    let findings = scan(&options, &()).unwrap().document.findings.into_iter();
    findings.filter(|finding| finding.layer == Layer::Data).map(|finding| finding.line).collect()
}

fn express(way: &str, mine: &str, other: &str) -> String {
    format!(
        "import express from \"express\";\nimport {{ pool, prisma, db, knex, Note, noteRepository, supabase, sql, notes }} from \"./rows\";\n\
         const app = express();\napp.use(requireAuth);\n\
         app.get(\"/mine\", async (req, res) => {{ {way} res.json(await {mine}); }});\n\
         app.get(\"/notes/:id\", async (req, res) => {{ {way} const note = await {other}; res.json(note); }});\n"
    )
}

#[test]
fn a_row_by_the_id_of_the_path_is_found_however_the_caller_signed_in_and_the_database_is_asked() {
    let mut silent = Vec::new();
    let (first_mine, first_other) = WAYS_TO_ASK[0];
    for (way, owner) in WAYS_IN {
        let source = express(way, &first_mine.replace("OWNER", owner), first_other);
        if !lines_about_rows("server.ts", &source).contains(&6) {
            silent.push((*way).to_owned());
        }
    }
    for (mine, other) in WAYS_TO_ASK {
        let mine = mine.replace("OWNER", "req.user.id");
        if lines_about_rows("server.ts", &express("", &mine, other)) != [6] {
            silent.push((*other).to_owned());
        }
        let own = lines_about_rows("server.ts", &express("", &mine, &mine));
        assert!(
            own.is_empty(),
            "{mine} asks for the caller's own rows, and is reported in the lines {own:?}"
        );
    }
    for (mine, other) in PYTHON_WAYS {
        let source = format!(
            "from fastapi import Depends, FastAPI\nfrom .auth import get_current_user\nfrom .rows import db, session, Note, pool, supabase, repo, select\n\
             app = FastAPI()\n@app.get(\"/mine\")\nasync def mine(user=Depends(get_current_user)):\n    return {mine}\n\
             @app.get(\"/notes/{{note_id}}\")\nasync def one(note_id: str, user=Depends(get_current_user)):\n    return {other}\n"
        );
        if !lines_about_rows("server.py", &source).iter().any(|line| *line > 7) {
            silent.push((*other).to_owned());
        }
    }
    assert!(silent.is_empty(), "nothing is found in:\n{}", silent.join("\n"));
}
