//! What keeps a finding from being as bad as its rule says: that nobody may be there whose data it is, or that not all of the way from
//! the callers was looked at.

use partywall_model::{Check, Layer};

use crate::{
    flow::Assumed,
    project::{Fun, ModuleId, Project},
};

/// How many functions may stand between a handler and a place: with more, any of them may have asked whose a thing is.
const NEAR: usize = 1;

/// Rules that say what nobody asks on the way from the caller: they are as sure as that way is short.
const ON_THE_WAY: &[&str] = &[
    "default-tenant",
    "first-caller-cached",
    "overridden-tenant",
    "request-in-shared-variable",
    "shared-client-defaults",
    "tenant-from-input",
    "unscoped-cache-key",
    "unscoped-query",
];

/// Rules whose medium findings are as sure as that way is short, and whose high ones do not rest on it.
const MEDIUM_ON_THE_WAY: &[&str] =
    &["environment-credential", "foreign-told-apart", "skipped-check", "unverified-token"];

/// Rules that say that callers may reach what is another tenant's: the operator's own people may, and are no tenant's.
const OF_TENANTS: &[&str] = &[
    "author-left-out",
    "foreign-parent",
    "foreign-told-apart",
    "ignored-caller",
    "lost-predicate",
    "membership-not-required",
    "optional-owner-filter",
    "overridden-tenant",
    "owner-from-body",
    "owner-left-out",
    "request-in-shared-variable",
    "role-instead-of-tenant",
    "sibling-without-check",
    "skipped-check",
    "tenant-from-input",
    "unscoped-query",
];

/// Rules about which credential and whose id a request is served with: far from where it comes in, they are a guess.
const LOWEST_FAR_AWAY: &[&str] =
    &["environment-credential", "first-caller-cached", "shared-credential", "tenant-from-input"];

/// Whether a finding of a rule is a guess where many calls lie between.
pub(super) fn is_lowest_far_away(rule: &str) -> bool {
    LOWEST_FAR_AWAY.contains(&rule)
}

/// Whether a medium finding of a rule is as sure as the way from the callers is short: far away, what is medium near them is a guess.
/// Of the medium findings of strange servers that were read, 4 of 61 such were true, and 43 of 208 of those near the callers.
pub(super) fn is_on_the_way(rule: &str) -> bool {
    ON_THE_WAY.contains(&rule) || MEDIUM_ON_THE_WAY.contains(&rule)
}

/// Rules that say what becomes of a request's values in code that any program may have: without a way from the callers they are a guess.
const ONLY_IF_REACHED: &[&str] = &["default-tenant", "unscoped-cache-key"];

/// Whether a finding of a rule to which no way from the callers was found is a guess.
pub(super) fn is_only_if_reached(rule: &str) -> bool {
    ONLY_IF_REACHED.contains(&rule)
}

/// Whether a rule says nothing where only the operator's own people come.
pub(super) fn is_of_tenants(rule: &str) -> bool {
    OF_TENANTS.contains(&rule)
}

/// What is said of a finding that would be high if the server had callers whom it tells apart.
const ONE_USERS: &str = " Nothing in this package asks who calls, or it is a program for a desktop: if it is one user's own program, or all who have its key are the operator, \
                          nobody else is there; if it is not, anybody who reaches it is everybody.";

/// What is said of a finding that would be high if the way from the callers were short.
const FAR: &str = " Several functions lie between the caller and this place, or one that is only a guess: one of them may ask whose it is.";

/// Why a finding is at most medium, if it is.
pub(super) fn doubt(project: &Project, check: &Check, module: ModuleId, far: bool) -> Option<&'static str> {
    // Who shares a connection or a session is told apart by the protocol; whose data is another's, only by a caller who is known.
    let of_protocol = check.layer == Layer::Routing;
    if !of_protocol && is_one_users(project, module) {
        return Some(ONE_USERS);
    }
    (far && ON_THE_WAY.contains(&check.id)).then_some(FAR)
}

/// What is said of a finding that would be high if something were seen to mount what holds it.
const NOT_MOUNTED: &str =
    " Nothing in this code names what makes or registers it: where it is not mounted, nobody comes there.";

/// What is said of a finding that would be high if its process had several callers.
const ON_STDIO: &str = " Its server is only seen to speak over standard input, where one process has one user: if it is put behind HTTP, its callers meet here.";

/// What is said of a finding that would be high if its server went on listening.
const FOR_ONE: &str = " Its server ends once it was called, as one does that waits for a browser to come back from a sign-in: whoever started it is alone there.";

/// What is said of a finding that would be high if those who come there were told apart.
const ONE_KEY: &str = " All who come there have the same key out of the configuration, which tells nobody apart: if only the operator has it, nobody else is there.";

/// Which link between the callers and a place is only assumed, if one is.
pub(super) fn assumed(
    project: &Project,
    check: &Check,
    handler: Option<Fun>,
    holders: bool,
) -> Option<&'static str> {
    let handler = handler?;
    match project.assumed(handler) {
        Some(Assumed::Mounted) => return Some(NOT_MOUNTED),
        Some(Assumed::Several) => return Some(ON_STDIO),
        Some(Assumed::Again) => return Some(FOR_ONE),
        None => {}
    }
    let one_key = holders
        && check.layer != Layer::Routing
        && !project.is_asked_multi()
        && !project.knows_who_asks(handler);
    one_key.then_some(ONE_KEY)
}

/// Whether nothing in a module's package asks for the verified caller, or it is a part of a program that runs on somebody's desk.
fn is_one_users(project: &Project, module: ModuleId) -> bool {
    !project.is_asked_multi() && (!project.knows_callers(module) || project.is_of_desktop(module))
}

/// Whether more than a few functions lie between a handler and a function, or it is a guess that it is called at all.
pub(super) fn is_far(project: &Project, fun: Fun) -> bool {
    let Some(reach) = project.reach(fun) else { return true };
    if !reach.certain {
        return true;
    }
    let (mut at, mut steps) = (fun, 0_usize);
    while let Some((from, _)) = project.reach(at).and_then(|reach| reach.from) {
        // A function inside of another is no step: what stands around it is looked at.
        steps += usize::from(!project.around(at).contains(&from));
        if steps > NEAR {
            return true;
        }
        at = from;
    }
    false
}
