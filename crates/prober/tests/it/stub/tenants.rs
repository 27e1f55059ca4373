//! Tenants that are suspended or made anew by commands, which leave word in a folder.

use super::{ACME, App, GLOBEX, wire::Asked};

/// The token of a tenant after it was made anew.
pub(crate) const ANEW: &str = "globex-token-of-the-second-life";

fn word(app: &App, what: &str) -> bool {
    let office = app.office.lock().unwrap();
    office.as_ref().is_some_and(|folder| folder.join(format!("{what}-globex")).exists())
}

/// Whose a token is, where there is word of its tenant.
pub(super) fn of_office(app: &App, token: &str) -> Option<Option<String>> {
    let has = |defect| app.defects.has(defect);
    if word(app, "anew") {
        if app.shelf.lock().unwrap().insert("anew".to_owned(), true.into()).is_none() {
            if !has("old-rows-stay") {
                app.notes.lock().unwrap().remove("globex");
                app.shelf.lock().unwrap().retain(|name, _| !name.contains("globex"));
            }
            if !has("old-sessions-stay") {
                app.sessions.lock().unwrap().retain(|_, owner| owner != "globex");
            }
        }
        return match token {
            ANEW => Some(Some("globex".to_owned())),
            GLOBEX => Some(has("old-token-lives").then(|| "globex".to_owned())),
            ACME => None,
            _ => Some(None),
        };
    }
    let out = word(app, "suspended") && token == GLOBEX && !has("suspension-is-not-seen");
    out.then_some(None)
}

/// The tenant whose session it is, for a server that asks no more once a session stands.
pub(super) fn of_session(app: &App, asked: &Asked) -> Option<String> {
    let lives = (app.defects.has("suspended-session-lives") && word(app, "suspended"))
        || (app.defects.has("old-sessions-stay") && word(app, "anew"));
    if !lives {
        return None;
    }
    let sessions = app.sessions.lock().unwrap();
    sessions.get(asked.header("mcp-session-id")?).cloned()
}
