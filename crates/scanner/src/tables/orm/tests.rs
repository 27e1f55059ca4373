//! The same two tables in the models of every mapper.

use std::sync::Arc;

use super::*;
use crate::{
    lang::{lower, sql::Change},
    tables::{Level, Place, Replay, Source},
};

fn module(path: &str, text: &str) -> Module {
    lower(path, Arc::from(text)).unwrap().module
}

/// The schema of a module's models.
fn schema(path: &str, text: &str) -> crate::tables::Schema {
    let module = module(path, text);
    let mut replay = Replay::default();
    replay.apply(path, &crate::lang::sql::Changes { changes: changes(&module), unread: Vec::new() });
    let place = Place { path: Arc::from(path), line: 1, column: 1 };
    replay.models(models(&module).into_iter().map(|model| (model, place.clone(), Source::Model)).collect());
    replay.finish()
}

#[track_caller]
fn has_two_tables(path: &str, text: &str, code: &str, column: &str) {
    let schema = schema(path, text);
    let found = schema.model(code).unwrap_or_else(|| panic!("no model {code} in {schema:#?}"));
    let owner = found.owner.as_ref().unwrap_or_else(|| panic!("no owner in {found:#?}"));
    assert_eq!((owner.column.as_str(), owner.level), (column, Level::Tenant), "{path} {code}");
}

#[test]
fn drizzle() {
    let text = "import { pgTable, uuid, text } from 'drizzle-orm/pg-core'
        export const docs = pgTable('documents', { id: uuid('id').primaryKey(), orgId: uuid('org_id').notNull() }, t => [])
        export const notes = pgTable('notes', () => ({ docId: uuid().notNull().references(() => docs.id) })).enableRLS()
        const other = table('x', {})";
    has_two_tables("a.ts", text, "docs", "org_id");
    has_two_tables("a.ts", text, "notes", "docId");
    assert!(schema("a.ts", text).tables["notes"].enabled);
    assert_eq!(schema("a.ts", text).tables.len(), 2);
}

#[test]
fn sequelize_and_mongoose() {
    has_two_tables(
        "a.js",
        "const Doc = sequelize.define('Doc', { id: DataTypes.UUID, orgId: { type: DataTypes.UUID, allowNull: false } }, { tableName: 'docs' })",
        "Doc",
        "orgId",
    );
    has_two_tables(
        "a.js",
        "class Doc extends Model {}\nDoc.init({ tenantId: { type: X, field: 'tenant_id' } }, { sequelize, tableName: 'docs' })",
        "Doc",
        "tenant_id",
    );
    has_two_tables(
        "a.js",
        "const s = new mongoose.Schema({ title: String, workspaceId: { type: ObjectId, ref: 'Workspace', required: true } })\nconst Doc = mongoose.model('Doc', s)",
        "Doc",
        "workspaceId",
    );
}

#[test]
fn typeorm() {
    let text = "@Entity('docs') export class Doc { @PrimaryGeneratedColumn() id: string; @Column({ name: 'org_id' }) orgId: string }
        @Entity() export class Note { @ManyToOne(() => Doc) @JoinColumn({ name: 'doc_id' }) doc: Doc }";
    has_two_tables("a.ts", text, "Doc", "org_id");
    has_two_tables("a.ts", text, "Note", "doc_id");
}

#[test]
fn sqlalchemy_and_sqlmodel() {
    let text = "class Doc(Base):\n    __tablename__ = 'docs'\n    id = Column(Integer, primary_key=True)\n    org_id = Column(ForeignKey('orgs.id'), nullable=False)\n
class Note(Base):\n    __tablename__ = 'notes'\n    doc_id: Mapped[int] = mapped_column(ForeignKey('docs.id'), nullable=False)\n    title: Mapped[str]\n";
    has_two_tables("a.py", text, "Doc", "org_id");
    has_two_tables("a.py", text, "Note", "doc_id");
    has_two_tables(
        "a.py",
        "class Doc(SQLModel, table=True):\n    id: int | None = Field(default=None, primary_key=True)\n    tenant_id: int = Field(foreign_key='tenant.id')\n",
        "Doc",
        "tenant_id",
    );
    let text = "class Doc(db.Model):\n    id = db.Column(db.Integer, primary_key=True)\n    org_id = db.Column(db.ForeignKey('org.id'), nullable=False)\n
class DocPart(db.Model):\n    doc_id = db.Column(db.ForeignKey('doc.id'), nullable=False)\n";
    has_two_tables("a.py", text, "Doc", "org_id");
    has_two_tables("a.py", text, "DocPart", "doc_id");
    assert!(schema("a.py", text).tables.contains_key("doc_part"));
    has_two_tables(
        "a.py",
        "docs = Table('docs', metadata, Column('id', Integer), Column('tenant_id', Integer, nullable=False))",
        "docs",
        "tenant_id",
    );
    let schema = schema("a.py", "class Body(BaseModel):\n    org_id: str = Field(description='x')\n");
    assert!(schema.tables.is_empty(), "a body of a request is no table");
}

#[test]
fn django_and_others() {
    let text = "class Doc(models.Model):\n    title = models.CharField(max_length=9)\n    org = models.ForeignKey('accounts.Organization', on_delete=models.CASCADE)\n";
    has_two_tables("a.py", text, "Doc", "org_id");
    has_two_tables("a.py", "class Doc(Document):\n    title: str\n    tenant_id: str\n", "Doc", "tenant_id");
    let form = schema("a.py", "class DocForm(forms.Form):\n    org_id = forms.CharField()\n");
    assert!(form.tables.is_empty(), "a form is no table");
}

#[test]
fn strings_of_a_program_change_the_schema() {
    let text = "db.exec(`CREATE TABLE IF NOT EXISTS notes (\n  id TEXT,\n  tenant_id TEXT NOT NULL)`)\nasync function down(q) { await q.query('ALTER TABLE notes DISABLE ROW LEVEL SECURITY') }\n
        await q.query(\"ALTER TABLE notes ENABLE ROW LEVEL SECURITY\")";
    let found = schema("m/1.ts", text);
    assert!(found.tables["notes"].enabled && found.tables["notes"].owner.is_some());
    let alembic = "TABLES = ['notes', 'files']\ndef upgrade():\n    op.execute('CREATE TABLE notes (tenant_id int)')\n    for t in TABLES:\n        op.execute(f'ALTER TABLE {t} ENABLE ROW LEVEL SECURITY')\ndef downgrade():\n    op.execute('DROP TABLE notes')\n";
    let found = schema("m/1.py", alembic);
    assert!(found.tables["notes"].enabled, "{found:#?}");
    let changes = changes(&module("m/1.py", alembic));
    assert!(matches!(&changes[0].change, Change::CreateTable { .. }) && changes[0].line == 3, "{changes:?}");
}

#[test]
fn columns_that_a_later_statement_adds_say_whose_a_row_is() {
    let added = |column: &str| {
        let made = "db.exec(`CREATE TABLE IF NOT EXISTS reminders (id INTEGER PRIMARY KEY, body TEXT)`);";
        // The statement may stand in a file of its own.
        let module = module("m/1.ts", &format!("db.exec(`ALTER TABLE reminders ADD COLUMN {column}`);"));
        let mut replay = Replay::default();
        for module in [super::tests::module("m/0.ts", made), module] {
            let changes = crate::lang::sql::Changes { changes: changes(&module), unread: Vec::new() };
            replay.apply(&module.path, &changes);
        }
        replay.finish().tables["reminders"].owner.clone().map(|owner| owner.column)
    };
    assert_eq!(added("org_id TEXT NOT NULL DEFAULT 'none'").as_deref(), Some("org_id"));
    assert_eq!(added("tenant_id TEXT").as_deref(), Some("tenant_id"));
    // A label that may be empty, of a file in one of a repository's packages.
    assert_eq!(added("workspace TEXT"), None);
    assert_eq!(added("due TEXT NOT NULL DEFAULT ''"), None);
}

#[test]
fn what_a_program_makes_in_sqlite_has_no_roles() {
    let made =
        "    cursor.execute('CREATE TABLE IF NOT EXISTS events (id INTEGER PRIMARY KEY, user_id TEXT)')";
    let closed = |import: &str| {
        let module = module("a.py", &format!("{import}\ndef start(cursor):\n{made}\n"));
        let found = crate::lang::sql::Changes { changes: changes(&module), unread: Vec::new() };
        let mut replay = Replay::default();
        replay.apply("a.py", &found);
        if speaks_to_sqlite(&module) {
            replay.without_roles(&found);
        }
        replay.finish().tables["events"].closed
    };
    assert!(closed("import sqlite3"));
    assert!(!closed("import psycopg"));
}

#[test]
fn a_column_names_its_table_without_a_reference() {
    let text = "class Agent(Base):\n    __tablename__ = 'agents'\n    id = Column(Integer)\n    organisation_id = Column(Integer)\nclass Resource(Base):\n    __tablename__ = 'resources'\n    agent_id = Column(Integer)\nclass Color(Base):\n    __tablename__ = 'colors'\n    palette_id = Column(Integer)\n";
    let found = schema("a.py", text);
    let owner = found.tables["resources"].owner.as_ref().unwrap();
    assert!(
        owner.guessed && owner.through.as_deref().is_some_and(|name| name.ends_with("agents")),
        "{owner:?}"
    );
    assert!(
        !found.tables["agents"].owner.as_ref().unwrap().guessed && found.tables["colors"].owner.is_none()
    );
}
