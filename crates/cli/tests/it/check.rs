//! `check --config` and `serve --check` of a PostgreSQL source: one judges as the other does.

use std::{fs, path::Path, process::Output};

use crate::support::{fails, partywall, sql, superuser};

/// A database whose table of orders has a tenant's column of an own name, tested through a function.
struct Base {
    name: String,
    folder: tempfile::TempDir,
}

impl Base {
    fn new() -> Self {
        let name = format!("pw_cli_check_{}", std::process::id());
        sql(&superuser(), &format!("CREATE ROLE {name} LOGIN PASSWORD 'app pass'"));
        sql(&superuser(), &format!("CREATE DATABASE {name}"));
        let base = Self { name, folder: tempfile::tempdir().unwrap() };
        base.sql(
            "CREATE TABLE orders (company text NOT NULL CHECK (company <> ''), id bigint, PRIMARY KEY (company, id));
             ALTER TABLE orders ENABLE ROW LEVEL SECURITY; ALTER TABLE orders FORCE ROW LEVEL SECURITY;
             CREATE FUNCTION whose() RETURNS text STABLE LANGUAGE sql AS
                 $$SELECT nullif(current_setting('app.tenant', true), '')$$;
             CREATE POLICY own ON orders TO APP USING (company = whose());
             GRANT SELECT, INSERT, UPDATE, DELETE ON orders TO APP",
        );
        base
    }

    fn url(&self, own: bool) -> String {
        let mut url = url::Url::parse(&superuser()).unwrap();
        url.set_path(&self.name);
        if own {
            url.set_username(&self.name).unwrap();
            url.set_password(Some("app pass")).unwrap();
        }
        url.into()
    }

    fn sql(&self, text: &str) {
        sql(&self.url(false), &text.replace("APP", &self.name));
    }

    fn configure(&self, lines: &str) {
        let text = format!(
            "[server]\nlisten = \"127.0.0.1:0\"\n[identity]\ndevelopment = true\n[data.shop]\ndriver = \"postgres\"\n\
             url = \"file:url\"\nisolation = \"rls\"\n{lines}\n"
        );
        fs::write(self.folder.path().join("url"), self.url(true)).unwrap();
        fs::write(self.folder.path().join("partywall.toml"), text).unwrap();
    }

    fn here(&self) -> &Path {
        self.folder.path()
    }

    /// The check of the configuration: its status, and all that it says.
    fn check(&self, arguments: &[&str]) -> (Option<i32>, String) {
        let all = [&["check", "--config", "partywall.toml", "--catalogue-only"], arguments].concat();
        let Output { status, stdout, stderr } = partywall(&all).current_dir(self.here()).output().unwrap();
        (status.code(), String::from_utf8_lossy(&[stdout, stderr].concat()).into_owned())
    }
}

impl Drop for Base {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            sql(&superuser(), &format!("DROP DATABASE {} WITH (FORCE)", self.name));
            sql(&superuser(), &format!("DROP ROLE {}", self.name));
        }
    }
}

#[test]
fn the_configuration_names_tenants_columns_and_what_is_allowed_of_which_object() {
    let base = Base::new();
    base.configure("");
    let said = fails(base.here(), &["serve", "--check"], "");
    assert!(
        said.contains("rls-without-tenant-column")
            && said.contains("public.orders")
            && said.contains("tenant_columns"),
        "{said}"
    );
    let (status, said) = base.check(&[]);
    assert_eq!(status, Some(2), "the server would not start: {said}");
    assert!(said.contains("rls-without-tenant-column"), "{said}");

    base.configure("tenant_columns = [\"company\"]");
    let (status, said) = base.check(&[]);
    assert!(status == Some(0) && said.contains("the configuration is good"), "{said}");
    crate::support::ok(base.here(), &["serve", "--check"], "");

    base.sql("CREATE POLICY wide ON orders FOR SELECT TO APP USING (id = 0)");
    let (status, said) = base.check(&[]);
    assert!(status == Some(1) && said.contains("policy-without-tenant-test"), "{said}");
    let allow = |object: &str| {
        base.configure(&format!(
            "tenant_columns = [\"company\"]\n\
             allow = [{{ rule = \"policy-without-tenant-test\", object = \"{object}\", reason = \"a sample\" }}]"
        ));
        base.check(&[])
    };
    let (status, said) = allow("other on public.orders");
    assert_eq!(status, Some(1), "{said}");
    let (status, said) = allow("wide on public.orders");
    assert_eq!(status, Some(0), "{said}");
    let (status, said) = base.check(&["--tenant-column", "id"]);
    assert!(said.contains("own on public.orders"), "the argument stands for all others: {status:?} {said}");
}

/// What `serve` refuses is a list of findings here, in every form that findings have.
#[test]
fn a_configuration_that_is_refused_is_findings_with_file_line_and_key() {
    let folder = tempfile::tempdir().unwrap();
    let check = |arguments: &[&str]| {
        let all = [&["check", "--config", "partywall.toml"], arguments].concat();
        let Output { status, stdout, stderr } = partywall(&all).current_dir(folder.path()).output().unwrap();
        (status.code(), String::from_utf8(stdout).unwrap(), String::from_utf8(stderr).unwrap())
    };
    let bad = "[server]\nlisten = \"127.0.0.1:0\"\n[identity]\ndevelopment = true\n[data.desk]\ndriver = \"sqlite\"\n\
               max_open_files = 0\n[[tool]]\nname = \"rows\"\ndescription = \"x\"\nsource = \"desk\"\n\
               args.tenant_id = { type = \"string\" }\n";
    fs::write(folder.path().join("partywall.toml"), bad).unwrap();
    let (status, stdout, stderr) = check(&["--format", "json"]);
    assert_eq!((status, stderr.as_str()), (Some(1), ""), "{stdout}");
    let document: serde_json::Value = serde_json::from_str(&stdout).unwrap();
    let findings = document["findings"].as_array().unwrap();
    let at: Vec<_> = findings
        .iter()
        .map(|one| {
            (one["layer"].as_str().unwrap(), one["path"].as_str().unwrap(), one["line"].as_u64().unwrap())
        })
        .collect();
    assert!(at.contains(&("data", "partywall.toml", 7)), "{at:?}");
    assert!(at.contains(&("identity", "partywall.toml", 8)), "{at:?}");
    assert!(at.iter().filter(|one| one.0 == "data").count() == 2, "the tool has no `sql`: {at:?}");
    assert_eq!(document["grade"], "F");
    let said = |part: &str| findings.iter().any(|one| one["message"].as_str().unwrap().contains(part));
    assert!(said("`data.desk.max_open_files`") && said("tenant_id"), "{stdout}");
    let (status, stdout, _) = check(&["--format", "sarif"]);
    assert!(status == Some(1) && stdout.contains("\"configuration-refused\""), "{stdout}");
    let (status, stdout, _) = check(&["--fix"]);
    assert!(
        status == Some(1) && stdout.lines().all(|line| line.is_empty() || line.starts_with("--")),
        "{stdout}"
    );
    assert_eq!(check(&["--fail-on", "never"]).0, Some(0));
    // What is no TOML has a line too, and what is not there is no finding.
    fs::write(folder.path().join("partywall.toml"), "[server\n").unwrap();
    let (status, stdout, _) = check(&[]);
    assert!(status == Some(1) && stdout.contains("partywall.toml:1"), "{stdout}");
    fs::remove_file(folder.path().join("partywall.toml")).unwrap();
    let (status, stdout, stderr) = check(&["--format", "json"]);
    assert!(status == Some(2) && stdout.is_empty() && stderr.contains("cannot read"), "{stderr}");
}
