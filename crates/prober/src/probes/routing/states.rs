//! Calls that wait for answers without a session: the state that the client carries back.

use base64::{
    Engine as _,
    engine::general_purpose::{STANDARD_NO_PAD, URL_SAFE_NO_PAD},
};
use futures_util::future::join_all;
use partywall_model::{Layer, Severity};
use serde_json::{Value, json};
use tokio::time::Instant;

use super::{
    asking::{Flow, NO_QUESTIONS, NO_STATE, completed},
    echo::{says, word},
};
use crate::{
    arguments,
    facts::{Facts, key},
    oracle::reading::failed,
    probes::{Probe, Technique, attempt},
    site::{Party, Site, What},
    tally::Tally,
    target::{Caller, Exchange},
};

pub(super) static PROBE: Probe = Probe::new(
    "request-state",
    Layer::Routing,
    Severity::High,
    "Carries back, changes and reads the state of calls that wait for answers.",
    include_str!("states.md"),
    &[
        Technique::new("MR-01", "another tenant's state", Severity::High, |site| Box::pin(stolen(site))),
        Technique::new("MR-02", "an own state with other arguments", Severity::Medium, |site| {
            Box::pin(elsewhere(site))
        }),
        Technique::new("MR-03", "a state that was changed", Severity::High, |site| Box::pin(tampered(site))),
        Technique::new("MR-04", "what a state tells", Severity::Medium, |site| Box::pin(readable(site))),
        Technique::new("MR-05", "questions for another tenant", Severity::High, |site| Box::pin(mixed(site))),
        Technique::new("MR-08", "answers that nobody asked for", Severity::High, |site| {
            Box::pin(unasked(site))
        }),
    ],
);

/// The most rounds of questions.
const ROUNDS: usize = 40;

/// A call of the party's own that waits, and its caller.
async fn flow<'a>(tally: &mut Tally, site: &Site, party: &'a Party) -> Option<(Flow, &'a Caller)> {
    begun(tally, site, party, false).await
}

async fn begun<'a>(
    tally: &mut Tally,
    site: &Site,
    party: &'a Party,
    stated: bool,
) -> Option<(Flow, &'a Caller)> {
    let Some(caller) = &party.modern else {
        tally.absent("the target does not speak 2026-07-28, in which clients carry a state back");
        return None;
    };
    match Flow::find(site, party, caller, stated).await {
        Some(flow) => Some((flow, caller)),
        None => {
            tally.absent(if stated { NO_STATE } else { NO_QUESTIONS });
            None
        }
    }
}

/// The same with the state.
async fn stated<'a>(tally: &mut Tally, site: &Site, party: &'a Party) -> Option<(Flow, String, &'a Caller)> {
    let (flow, caller) = begun(tally, site, party, true).await?;
    let state = flow.state.clone()?;
    Some((flow, state, caller))
}

/// A state that nobody was given.
fn garbage(site: &Site, state: &str) -> String {
    arguments::unknown(&json!(state), &mut site.chance(state)).as_str().unwrap_or("0").to_owned()
}

/// Judges a call with a state that is not the caller's to use here. A target that goes on with any state does not use it.
fn judge(tally: &mut Tally, site: &Site, party: &Party, exchange: &Exchange, twin: &Exchange, why: &str) {
    if let Some(evidence) = site.foreign(&party.tenant, exchange) {
        tally.leak(vec![evidence]);
    } else if !exchange.replied() {
        tally.doubt(failed(exchange));
    } else if completed(exchange) && !completed(twin) {
        tally.leak(vec![
            attempt::shown(site, twin, "a state that nobody was given is refused"),
            attempt::shown(site, exchange, why),
        ]);
    } else {
        tally.held();
    }
}

/// The owner's own call must still come to its end; if only a fresh one does, somebody used it up.
async fn finish(tally: &mut Tally, site: &Site, caller: &Caller, flow: &Flow, attack: &Exchange) {
    let done = flow.go_on(caller, flow.state.as_deref(), flow.answers(&word())).await;
    if completed(&done) {
        tally.control(true, "");
        return;
    }
    let again = Flow::begin(caller, &flow.what).await;
    let fresh = match &again {
        Some(again) => completed(&again.go_on(caller, again.state.as_deref(), again.answers(&word())).await),
        None => false,
    };
    if fresh {
        tally.control(true, "");
        let why = format!("after the other tenant's request, {} cannot finish its own call", caller.tenant);
        tally.leak(vec![attempt::shown(site, attack, "the request"), attempt::shown(site, &done, why)]);
    } else {
        tally.control(false, &format!("the owner cannot finish its own call: {}", failed(&done)));
    }
}

async fn stolen(site: &Site) -> Tally {
    let mut tally = Tally::default();
    for (attacker, victim) in site.directions() {
        let Some((flow, state, theirs)) = stated(&mut tally, site, victim).await else { continue };
        let Some(own) = &attacker.modern else { continue };
        let answers = || flow.answers(&word());
        let twin = flow.go_on(own, Some(&garbage(site, &state)), answers()).await;
        let exchange = flow.go_on(own, Some(&state), answers()).await;
        let why = format!("{} went on with a call of {} by its state", attacker.tenant, victim.tenant);
        judge(&mut tally, site, attacker, &exchange, &twin, &why);
        finish(&mut tally, site, theirs, &flow, &exchange).await;
    }
    tally
}

/// The same call with another value in one argument.
fn other_arguments(what: &What) -> Option<What> {
    let What::Tool { name, arguments } = what else { return None };
    let mut arguments = arguments.clone();
    let place = arguments.as_object_mut()?.values_mut().find(|value| value.is_string() || value.is_u64())?;
    *place = match place.as_u64() {
        Some(number) => json!(number + 1),
        None => json!("another"),
    };
    Some(What::Tool { name: name.clone(), arguments })
}

async fn elsewhere(site: &Site) -> Tally {
    let mut tally = Tally::default();
    for party in &site.parties {
        let Some((flow, state, caller)) = stated(&mut tally, site, party).await else { continue };
        let Some(what) = other_arguments(&flow.what) else {
            tally.absent("the call that asks takes no argument that could be another");
            continue;
        };
        let Some(other) = Flow::begin(caller, &what).await else {
            tally.absent("with other arguments the call asks nothing");
            continue;
        };
        let twin = other.go_on(caller, Some(&garbage(site, &state)), other.answers(&word())).await;
        let exchange = other.go_on(caller, Some(&state), other.answers(&word())).await;
        let why = "a state that was given for a call with other arguments was taken";
        judge(&mut tally, site, party, &exchange, &twin, why);
        finish(&mut tally, site, caller, &flow, &exchange).await;
    }
    tally
}

async fn tampered(site: &Site) -> Tally {
    let mut tally = Tally::default();
    for (attacker, victim) in site.directions() {
        let Some((flow, state, caller)) = stated(&mut tally, site, attacker).await else { continue };
        let theirs = match &victim.modern {
            Some(other) => Flow::begin(other, &flow.what).await.and_then(|flow| flow.state),
            None => None,
        };
        let twin = flow.go_on(caller, Some(&garbage(site, &state)), flow.answers(&word())).await;
        let mut last = twin.clone();
        for (how, changed) in changes(&state, theirs.as_deref(), (&attacker.tenant, &victim.tenant)) {
            let exchange = flow.go_on(caller, Some(&changed), flow.answers(&word())).await;
            let why = format!("a state {how} was taken");
            judge(&mut tally, site, attacker, &exchange, &twin, &why);
            last = exchange;
            if tally.has_leaked() || site.target.late() {
                break;
            }
        }
        finish(&mut tally, site, caller, &flow, &last).await;
    }
    tally
}

/// A state in wrong forms. The very last letter is left alone: some of its bits may mean nothing.
fn changes(state: &str, theirs: Option<&str>, (own, other): (&str, &str)) -> Vec<(String, String)> {
    let letters: Vec<char> = state.chars().collect();
    let mut all = Vec::new();
    for (part, name) in [(0, "first"), (1, "second"), (2, "third"), (3, "last")] {
        let at = letters.len() * part / 4 + letters.len() / 8;
        let flipped: String = letters
            .iter()
            .enumerate()
            .map(|(place, letter)| if place == at { other_letter(*letter) } else { *letter })
            .collect();
        all.push((format!("with another letter in its {name} quarter"), flipped));
    }
    let (first, second) = letters.split_at(letters.len() / 2);
    all.push(("without its second half".to_owned(), first.iter().collect()));
    all.push(("with its halves swapped".to_owned(), second.iter().chain(first).collect()));
    if let Some((rest, _)) = state.rsplit_once('.') {
        all.push(("without its signature".to_owned(), format!("{rest}.")));
        if let Some((_, theirs)) = theirs.and_then(|theirs| theirs.rsplit_once('.')) {
            all.push(("with the signature of another".to_owned(), format!("{rest}.{theirs}")));
        }
    }
    if let Some(text) = decoded(state).filter(|text| text.contains(own)) {
        let edited = text.replace(own, other);
        all.push(("that names the other tenant".to_owned(), URL_SAFE_NO_PAD.encode(&edited)));
        all.push(("that names the other tenant".to_owned(), STANDARD_NO_PAD.encode(&edited)));
    } else if state.contains(own) {
        all.push(("that names the other tenant".to_owned(), state.replace(own, other)));
    }
    all.retain(|(_, changed)| changed != state);
    all
}

fn other_letter(letter: char) -> char {
    match letter {
        'a'..='y' | 'A'..='Y' | '0'..='8' => char::from_u32(u32::from(letter) + 1).unwrap_or('a'),
        'z' => 'a',
        'Z' => 'A',
        _ => '0',
    }
}

/// The text in an encoded state, if it is one.
fn decoded(text: &str) -> Option<String> {
    let text = text.trim_end_matches('=');
    let bytes = URL_SAFE_NO_PAD.decode(text).or_else(|_| STANDARD_NO_PAD.decode(text)).ok()?;
    String::from_utf8(bytes).ok()
}

const SECRETS: [&str; 7] =
    ["password", "secret", "clientsecret", "apikey", "privatekey", "accesstoken", "authorization"];

async fn readable(site: &Site) -> Tally {
    let mut tally = Tally::default();
    for party in &site.parties {
        let Some((flow, state, caller)) = stated(&mut tally, site, party).await else { continue };
        tally.control(true, "");
        let open: Vec<String> = state.split('.').filter_map(decoded).chain([state.clone()]).collect();
        let token = caller.token().unwrap_or_default();
        let shown = open.iter().find_map(|text| {
            let parsed: Value = serde_json::from_str(text).ok()?;
            let facts = Facts::of(&parsed);
            let secret = facts.leaves().find(|(path, text)| {
                let name: String = key(path).chars().filter(char::is_ascii_alphanumeric).collect();
                SECRETS.contains(&name.to_ascii_lowercase().as_str()) && text.len() >= 8
            })?;
            Some(key(secret.0).to_owned())
        });
        let hit = site.marks.foreign(&party.tenant, open.join("\n").as_bytes(), b"");
        if let Some(doubt) = hit.as_ref().and_then(|hit| hit.doubt.as_deref()) {
            tally.doubt(doubt);
        }
        if let Some(hit) = hit.filter(|hit| hit.doubt.is_none()) {
            let why = format!("the state of {} holds {:?}, which is {}'s", party.tenant, hit.text, hit.owner);
            tally.leak(vec![site.redactor.evidence(&flow.exchange, why, &hit.text)]);
        } else if let Some(name) = shown {
            let why = format!("the state can be read, and holds a {name}");
            tally.leak(vec![attempt::shown(site, &flow.exchange, why)]);
        } else if token.len() >= 8 && open.iter().any(|text| text.contains(token)) {
            let why = "the state can be read, and holds the caller's token";
            tally.leak(vec![attempt::shown(site, &flow.exchange, why)]);
        } else {
            tally.held();
        }
    }
    tally
}

/// What the questions of a call say.
fn asked(flow: &Flow) -> Facts {
    Facts::of(&Value::Object(flow.questions.clone()))
}

async fn mixed(site: &Site) -> Tally {
    let mut tally = Tally::default();
    let [one, other] = &site.parties;
    let (Some((first, own)), Some(theirs)) = (flow(&mut tally, site, one).await, &other.modern) else {
        return tally;
    };
    let what = first.what.clone();
    let (Some(again), Some(second), Some(third)) =
        (Flow::begin(own, &what).await, Flow::begin(theirs, &what).await, Flow::begin(theirs, &what).await)
    else {
        tally.absent("the two tenants are not asked by the same call");
        return tally;
    };
    let alone = [asked(&first).stable(&asked(&again)), asked(&second).stable(&asked(&third))];
    let [mine, others] = &alone;
    if mine.holds_in(others) || others.holds_in(mine) {
        return Tally::not_run(
            "the questions say the same to both tenants, so that nobody can tell whose they are",
        );
    }
    tally.control(true, "");
    let end = Instant::now() + site.plan.racing / 4;
    for _ in 0..ROUNDS {
        if Instant::now() > end || tally.has_leaked() || site.target.late() {
            break;
        }
        let round = [(one, own), (other, theirs), (one, own), (other, theirs)].map(|(party, caller)| {
            let what = &what;
            async move { (party, Flow::begin(caller, what).await) }
        });
        for (party, flow) in join_all(round).await {
            let Some(flow) = flow else {
                tally.doubt(format!("{} was not asked among the other's calls", party.tenant));
                continue;
            };
            let said = asked(&flow);
            let (right, wrong) = if party.tenant == one.tenant { (mine, others) } else { (others, mine) };
            if let Some(evidence) = site.foreign(&party.tenant, &flow.exchange) {
                tally.leak(vec![evidence]);
            } else if right.holds_in(&said) {
                tally.held();
            } else if wrong.holds_in(&said) {
                let why = format!("{} was asked what the other tenant is asked", party.tenant);
                tally.leak(vec![attempt::shown(site, &flow.exchange, why)]);
            } else {
                tally.doubt(format!("{} was asked something else than alone", party.tenant));
            }
        }
    }
    tally
}

async fn unasked(site: &Site) -> Tally {
    let mut tally = Tally::default();
    for (attacker, victim) in site.directions() {
        let Some((flow, theirs)) = flow(&mut tally, site, victim).await else { continue };
        let Some(own) = &attacker.modern else { continue };
        let (mine, right) = (word(), word());
        let mut answers = flow.answers(&mine);
        if let Some(answers) = answers.as_object_mut() {
            answers.insert(format!("unasked-{mine}"), json!({"action": "accept", "content": {"text": mine}}));
        }
        let exchange = flow.go_on(own, None, answers).await;
        if !attempt::denied(&mut tally, site, &attacker.tenant, &exchange) {
            continue;
        }
        let done = flow.go_on(theirs, flow.state.as_deref(), flow.answers(&right)).await;
        if says(&done, &mine) {
            let why = format!(
                "an answer that {} gave unasked stands in the call of {}",
                attacker.tenant, victim.tenant
            );
            tally.leak(vec![
                attempt::shown(site, &exchange, "the answer that nobody asked for"),
                attempt::shown(site, &done, why),
            ]);
        } else if completed(&done) {
            tally.control(true, "");
        } else {
            finish(&mut tally, site, theirs, &flow, &exchange).await;
        }
    }
    tally
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_change_is_one_and_names_are_edited_where_they_can_be_read() {
        let state = URL_SAFE_NO_PAD.encode("{\"tenant\":\"acme\",\"step\":1}");
        let all = changes(&state, None, ("acme", "globex"));
        assert!(all.iter().all(|(_, changed)| *changed != state));
        let edited =
            all.iter().find_map(|(_, changed)| decoded(changed).filter(|text| text.contains("globex")));
        assert_eq!(edited.as_deref(), Some("{\"tenant\":\"globex\",\"step\":1}"));
        let signed = changes("abcdefgh.sig1", Some("ijklmnop.sig2"), ("x", "y"));
        assert!(signed.iter().any(|(_, changed)| changed == "abcdefgh.sig2"));
    }
}
