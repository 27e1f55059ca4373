//! What is another's must look like what nobody has.

use std::future::Future;

use serde_json::Value;

use crate::{
    arguments,
    oracle::{difference, reading::failed},
    probes::attempt,
    site::{Party, Site},
    tally::Tally,
    target::Exchange,
};

/// Two ids of the same shape that nobody has.
pub(super) fn unknown(site: &Site, id: &Value) -> [Value; 2] {
    let mut chance = site.chance(&id.to_string());
    [arguments::unknown(id, &mut chance), arguments::unknown(id, &mut chance)]
}

/// Asks for what is the victim's and for two ids that nobody has, and notes whether they can be told apart; the answer to
/// the first. Unless the answers to the last two are alike, a difference means nothing.
pub(super) async fn compare<F, A>(
    tally: &mut Tally,
    site: &Site,
    (attacker, victim): (&Party, &Party),
    what: &str,
    (id, twins): (&Value, &[Value; 2]),
    ask: F,
) -> Exchange
where
    F: Fn(Value) -> A + Send + Sync,
    A: Future<Output = Exchange> + Send,
{
    let [first, second] = twins;
    let stolen = ask(id.clone()).await;
    let strange = ask(first.clone()).await;
    let control = ask(second.clone()).await;
    if let Some(evidence) = site.foreign(&attacker.tenant, &stolen) {
        tally.leak(vec![evidence]);
    } else if !stolen.replied() {
        tally.doubt(failed(&stolen));
    } else if let Some(noise) = difference(&strange, first, &control, second) {
        tally.doubt(format!("two ids that nobody has are answered in two ways: {noise}"));
    } else if stolen.success().is_some() && strange.success().is_none() {
        let why = format!("{} was served {what} of {}", attacker.tenant, victim.tenant);
        tally.leak(vec![
            attempt::shown(site, &strange, "an id that nobody has"),
            attempt::shown(site, &stolen, why),
        ]);
    } else if let Some(how) = difference(&stolen, id, &strange, first) {
        let why = format!(
            "{} can tell {what} of {} from one that is not there: {how}",
            attacker.tenant, victim.tenant
        );
        tally.leak(vec![
            attempt::shown(site, &strange, "an id that nobody has"),
            attempt::shown(site, &stolen, why),
        ]);
    } else {
        tally.held();
    }
    stolen
}
