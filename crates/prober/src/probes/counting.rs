//! Whether one tenant can count what another does.

use crate::{
    oracle::{
        reading::failed,
        shift::{self, Numbers, STEPS},
    },
    probes::attempt,
    site::{Party, Site},
    tally::Tally,
    target::{Exchange, Request},
};

/// One who looks at numbers, and one who does something meanwhile.
#[derive(Clone, Copy)]
pub(super) struct Pair<'a> {
    /// Who looks.
    pub(super) looker: &'a Party,
    /// Who acts.
    pub(super) actor: &'a Party,
}

/// Looks at numbers while nothing happens and after the other has acted some times. A number that moves exactly as often
/// leaks.
pub(super) async fn watch(
    tally: &mut Tally,
    site: &Site,
    pair: Pair<'_>,
    look: &(dyn Fn() -> Request + Sync),
    act: &(dyn Fn() -> Request + Sync),
    numbers: fn(&Exchange) -> Numbers,
) {
    let Pair { looker, actor } = pair;
    let mut looks = Vec::new();
    for _ in 0..shift::ALONE {
        looks.push(looker.caller.send(look()).await);
    }
    if looks.iter().all(|look| numbers(look).is_empty()) {
        return;
    }
    for times in STEPS {
        for _ in 0..times {
            let acted = actor.caller.send(act()).await;
            if acted.success().is_none() {
                tally.control(false, &format!("the neighbour could not act: {}", failed(&acted)));
                return;
            }
        }
        looks.push(looker.caller.send(look()).await);
    }
    let Some(last) = looks.last() else { return };
    let seen: Vec<Numbers> = looks.iter().map(numbers).collect();
    match shift::follows(&seen) {
        Ok(Some((path, by))) => {
            let why = format!(
                "{} can count what {} does: {path} moves by {by} each time",
                looker.tenant, actor.tenant
            );
            let mut evidence: Vec<_> = looks
                .iter()
                .rev()
                .skip(1)
                .take(1)
                .map(|look| attempt::shown(site, look, "the number before"))
                .collect();
            evidence.push(attempt::shown(site, last, why));
            tally.leak(evidence);
        }
        Ok(None) => {
            tally.control(true, "");
            tally.held();
        }
        // What moves by itself can hide anything.
        Err(()) => tally.note(format!("Some numbers that {} is shown move by themselves.", looker.tenant)),
    }
}
