//! What a gateway promises before it serves.

use std::sync::LazyLock;

use super::*;

/// One set of services for all unit tests of what lies behind the guards; it has no tenants and no tools.
pub(crate) fn for_test() -> Arc<Services> {
    static SERVICES: LazyLock<(tempfile::TempDir, Arc<Services>)> = LazyLock::new(|| {
        let folder = tempfile::tempdir().expect("a folder");
        let config = Config::parse("[identity]\ndevelopment = true\n", "test", folder.path())
            .expect("a configuration");
        let gateway = Gateway::builder(config).open().expect("a gateway");
        (folder, gateway.live.services())
    });
    Arc::clone(&SERVICES.1)
}

#[test]
fn a_native_tool_writes_only_when_it_says_so() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::create_dir(folder.path().join("migrations")).unwrap();
    std::fs::write(folder.path().join("migrations/1_notes.sql"), "CREATE TABLE notes (body TEXT)").unwrap();
    let text =
        "[identity]\ndevelopment = true\n[data.desk]\ndriver = \"sqlite\"\nmigrations = \"migrations\"\n";
    let gateway = Gateway::builder(Config::parse(text, "test", folder.path()).unwrap()).open().unwrap();
    let statement = |sql, writes| gateway.live.services().statement("desk", sql, &[], writes);
    let write = "DELETE FROM notes";
    assert!(statement(write, true).unwrap().writes());
    assert!(statement(write, false).is_err(), "a prepared write is not found by a read");
    assert!(!statement("SELECT body FROM notes", false).unwrap().writes());
}
