//! What each tenant sees alone: what the target speaks and offers, what can be read, and which values are whose.

mod further;
mod learn;
mod negotiate;
mod notes;
mod plant;
mod quiet;
mod surface;
mod verbs;

use std::{collections::BTreeMap, sync::Arc};

pub(crate) use further::Beyond;
pub(crate) use surface::{Kind, Surface, Tool, tools, words};
use url::Url;
pub(crate) use verbs::Chosen;

use crate::{
    Credential, Plan, ProbeError,
    canary::{Marks, Origin},
    site::{Found, Party, Site},
    target::{Caller, Era, Target, Transport},
    transcript::Redactor,
};

/// Finds out what there is to attack.
///
/// # Errors
///
/// When the plan contradicts itself, the target cannot be reached, or it lets a tenant do nothing.
pub(crate) async fn survey(
    plan: &Plan,
    target: &Arc<Target>,
    notes: &mut Vec<String>,
) -> Result<Site, ProbeError> {
    let [one, other] = plan.tenants.as_slice() else {
        return Err(ProbeError::Plan(format!(
            "two tenants attack each other, and {} were given: name two with --tenant NAME=TOKEN",
            plan.tenants.len()
        )));
    };
    check(plan, one, other)?;
    let mut parties = [party(target, plan, one).await?, party(target, plan, other).await?];
    let mut marks = Marks::default();
    for (tenant, seeds) in &plan.seeds {
        for seed in seeds {
            marks.add(tenant, seed, Origin::Seed);
        }
    }
    let (mut hanging, mut heard) = (learn::Hanging::new(), Vec::new());
    for party in &mut parties {
        learn::explore(party, &mut hanging, &mut heard).await;
    }
    if plan.allow_writes {
        // What was there before the run wrote is not what is there afterwards.
        heard.clear();
        for party in &parties {
            let wrote = plant::plant(party, &mut marks).await;
            notes.push(format!(
                "as {}, {wrote} {} written through the tools; what was written begins with \"cnry-\" and stays there",
                party.tenant,
                if wrote == 1 { "value was" } else { "values were" }
            ));
        }
    }
    let mut readings = learn::readings(&parties, plan.pauses.clock, &mut hanging, &mut heard).await;
    let pause = plan.pauses.alone;
    let told = quiet::alone(&mut parties, (&mut readings, &mut heard), (pause, &mut hanging), &marks).await;
    leave_out(&mut parties, &hanging, notes);
    learn::marks(&parties, &readings, &mut marks);
    learn::settle(&parties, &heard, &mut marks);
    let early = told.judged(&mut marks, &redactor(plan));
    let unread = parties.iter().filter_map(|party| learn::broken(party, &heard)).collect();
    let further = further::read_on(plan, &mut parties, &readings, &marks, &mut hanging).await;
    notes.extend(further.notes);
    readings.extend(further.readings);
    for party in &mut parties {
        learn::ids(party, &readings);
    }
    let site = Site {
        colleague: colleague(target, plan, &parties[0].caller).await?,
        nobody: nobody(&parties[0])?,
        redactor: redactor(plan),
        plan: plan.clone(),
        target: Arc::clone(target),
        parties,
        marks,
        readings,
        survey: heard.into_iter().map(|heard| heard.exchange).collect(),
        found: Found::default(),
        away: std::sync::Mutex::default(),
        named: std::sync::Mutex::default(),
        beyond: further.beyond,
        reached: std::sync::Mutex::default(),
        kept: std::collections::BTreeSet::new(),
        unread,
        early,
    };
    notes::tell(&site, notes);
    Ok(site)
}

/// Leaves out what gave no answer.
fn leave_out(parties: &mut [Party; 2], hanging: &learn::Hanging, notes: &mut Vec<String>) {
    if hanging.is_empty() {
        return;
    }
    for party in parties {
        party.surface.put_aside(|name| hanging.contains(name));
    }
    let names: Vec<&str> = hanging.iter().map(String::as_str).collect();
    notes.push(format!("gave no answer in time, and was left out: {}", names.join(", ")));
}

fn check(plan: &Plan, one: &Credential, other: &Credential) -> Result<(), ProbeError> {
    use secrecy::ExposeSecret;
    if one.tenant == other.tenant {
        return Err(ProbeError::Plan(format!(
            "both tenants are called {:?}: the names tell them apart; for two users of one tenant there is --user",
            one.tenant
        )));
    }
    if one.token.expose_secret() == other.token.expose_secret() {
        return Err(ProbeError::Plan(format!(
            "{} and {} were given the same token: whatever the target does, they would see the same",
            one.tenant, other.tenant
        )));
    }
    let known = |name: &str| plan.tenants.iter().any(|credential| credential.tenant == name);
    if let Some(stranger) = plan.seeds.keys().find(|name| !known(name)) {
        return Err(ProbeError::Plan(format!(
            "the seeds name {stranger:?}, which is none of the tenants {} and {}",
            one.tenant, other.tenant
        )));
    }
    if let Some(user) = plan.users.iter().find(|user| !known(&user.tenant)) {
        return Err(ProbeError::Plan(format!(
            "--user {0}=…: {0:?} is none of the tenants; a user is named by the tenant that he belongs to",
            user.tenant
        )));
    }
    if let Some(key) = &plan.issuer_key {
        crate::probes::identity::signs(key, one.token.expose_secret()).map_err(ProbeError::Plan)?;
    }
    for id in &plan.probes {
        if !crate::probes().iter().any(|probe| probe.answers_to(id)) {
            return Err(ProbeError::Plan(format!(
                "there is no probe or technique {id:?}; `partywall probes` lists them"
            )));
        }
    }
    Ok(())
}

async fn party(target: &Arc<Target>, plan: &Plan, credential: &Credential) -> Result<Party, ProbeError> {
    // What the target says may repeat the token.
    let unreachable = |reason: String| {
        let reason = redactor(plan).clean(&reason);
        ProbeError::Unreachable { target: shown(plan), reason }
    };
    let (caller, modern, legacy) = reached(target, plan, credential).await.map_err(&unreachable)?;
    let first = modern.as_ref().or(legacy.as_ref()).unwrap_or(&caller);
    let surface = surface::discover(first).await;
    let caller = first.speaking(first.era().clone());
    caller.begin().await;
    Ok(Party { tenant: credential.tenant.clone(), caller, legacy, modern, surface, ids: Vec::new() })
}

/// A caller and what it speaks: by the version of HTTP that everybody speaks, or by HTTP/2 where only that is answered.
async fn reached(
    target: &Arc<Target>,
    plan: &Plan,
    credential: &Credential,
) -> Result<(Caller, Option<Caller>, Option<Caller>), String> {
    let (name, token) = (&credential.tenant, &credential.token);
    let caller = || Caller::new(target, name, name, Some(token.clone()), Era::Modern);
    let first = caller()?;
    let silent = match negotiate::callers(&first, plan.protocol).await {
        Ok((modern, legacy)) => return Ok((first, modern, legacy)),
        Err(silent) => silent,
    };
    // With TLS both sides have agreed on a version by now.
    if !silent.broke || plan.url.scheme() != "http" || target.second() {
        return Err(silent.why);
    }
    target.set_second(true);
    let second = caller()?;
    match negotiate::callers(&second, plan.protocol).await {
        Ok((modern, legacy)) => Ok((second, modern, legacy)),
        Err(_) => {
            target.set_second(false);
            if target.speaks_tls().await {
                let why = "TLS is spoken there: write the address with https, and --ca FILE names the certificate if \
                           this machine does not know it";
                return Err(format!("{why} ({})", silent.why));
            }
            Err(silent.why)
        }
    }
}

async fn colleague(target: &Arc<Target>, plan: &Plan, like: &Caller) -> Result<Option<Caller>, ProbeError> {
    let Some(user) = plan.users.first() else { return Ok(None) };
    let name = format!("{} (another user)", user.tenant);
    let caller = Caller::new(target, &name, &user.tenant, Some(user.token.clone()), like.era().clone())
        .map_err(|reason| ProbeError::Unreachable { target: shown(plan), reason })?;
    let caller = if like.streams() { caller.over(Transport::Streams) } else { caller };
    caller.begin().await;
    Ok(Some(caller))
}

fn nobody(party: &Party) -> Result<Vec<Caller>, ProbeError> {
    let mut all = Vec::new();
    for caller in party.callers() {
        let nobody = Caller::new(&party.caller.target().clone(), "nobody", "", None, caller.era().clone())
            .map_err(|reason| ProbeError::Unreachable { target: shown_url(&caller.target().url), reason })?;
        all.push(if caller.streams() { nobody.over(Transport::Streams) } else { nobody });
    }
    Ok(all)
}

fn redactor(plan: &Plan) -> Redactor {
    let mut redactor = Redactor::default();
    for credential in plan.tenants.iter().chain(&plan.users) {
        redactor.add(&format!("token of {}", credential.tenant), &credential.token);
    }
    for (name, value) in &plan.headers {
        redactor.add(&format!("value of {name}"), value);
    }
    let query = plan.url.query_pairs().map(|(_, value)| value.into_owned());
    for value in query.filter(|value| value.len() >= 8) {
        redactor.add("value of the address", &value.into());
    }
    for part in plan.url.path().split('/').filter(|part| secret(part)) {
        redactor.add("part of the address", &part.into());
    }
    redactor
}

/// The endpoint without what may be a credential in it.
pub(crate) fn shown(plan: &Plan) -> String {
    shown_url(&plan.url)
}

/// What stands for a part of the path that may be a secret.
const HIDDEN: &str = "SECRET";

fn shown_url(url: &Url) -> String {
    let mut url = url.clone();
    url.set_query(None);
    url.set_fragment(None);
    // A URL that cannot have them has none.
    let _none = url.set_password(None);
    let _none = url.set_username("");
    let path: Vec<&str> =
        url.path().split('/').map(|part| if secret(part) { HIDDEN } else { part }).collect();
    let path = path.join("/");
    url.set_path(&path);
    url.to_string()
}

/// Whether a part of a path may be a secret, as hosted servers are given out by them: long, and of letters and digits. A name of
/// words with a version or a year is none.
fn secret(part: &str) -> bool {
    let has = |kind: fn(&char) -> bool| part.chars().any(|letter| kind(&letter));
    let is_version = |piece: &str| {
        let digits = piece.strip_prefix('v').unwrap_or(piece);
        digits.len() <= 4 && digits.chars().all(|letter| letter.is_ascii_digit())
    };
    let is_word = |piece: &str| piece.chars().all(|letter| letter.is_ascii_lowercase());
    let named = part.split(['-', '_', '.']).all(|piece| is_word(piece) || is_version(piece));
    part.len() >= 16 && has(char::is_ascii_digit) && has(char::is_ascii_alphabetic) && !named
}

/// What tenants are shown alone, by tenant.
pub(crate) type Alone = BTreeMap<String, crate::facts::Facts>;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_shown_without_what_opens_it() {
        for (url, wanted) in [
            ("https://u:p@host/mcp?key=abc#x", "https://host/mcp"),
            ("https://host/s/k3yK3yk3yK3yk3y4/mcp", "https://host/s/SECRET/mcp"),
            ("https://host/0d9f6a52-1c1e-4a5b-9f5e-0a1b2c3d4e5f/mcp", "https://host/SECRET/mcp"),
            ("https://host/customer-support-v2/mcp", "https://host/customer-support-v2/mcp"),
            ("https://host/customer-support-v2-k3yK3y/mcp", "https://host/SECRET/mcp"),
            ("https://host/abcdefghijklmnopq1/mcp", "https://host/SECRET/mcp"),
            ("https://host/organizations/api/v1/mcp", "https://host/organizations/api/v1/mcp"),
            ("http://127.0.0.1:8787", "http://127.0.0.1:8787/"),
        ] {
            assert_eq!(shown_url(&Url::parse(url).unwrap()), wanted, "{url}");
        }
        let plan = Plan::new(Url::parse("https://host/s/k3yK3yk3yK3yk3y4/mcp").unwrap(), Vec::new());
        let told = redactor(&plan).clean("GET /s/k3yK3yk3yK3yk3y4/mcp HTTP/1.1");
        assert_eq!(told, "GET /s/[part of the address]/mcp HTTP/1.1");
    }
}
