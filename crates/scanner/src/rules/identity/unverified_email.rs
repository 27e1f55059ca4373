//! An address that a provider passes on and nobody verified, as the name of an account: whoever may write it at the provider signs in as
//! somebody else. `user = find_by_email(claims["email"])` without `email_verified`.

use partywall_model::{Confidence, Severity};

use crate::{
    flow::Lifetimes,
    ir::{BindingId, Call, ExprId, ExprKind, FunctionId, Kinds, NameRef, walk},
    project::{At, Fun, Project, Step, Unit},
    rules::Report,
    vocabulary,
};

/// What the claims of a provider are called.
const CLAIMS: &[&str] = &[
    "claims",
    "idTokenClaims",
    "id_token_claims",
    "userinfo",
    "userInfo",
    "user_info",
    "idinfo",
    "id_info",
    "idInfo",
    "oidcUser",
    "oidc_user",
    "oauthUser",
    "oauth_user",
    "tokenClaims",
    "token_claims",
];

/// How the claim is called that says whether the address was verified, in standards and at providers. Source: OpenID Connect Core 1.0,
/// section 5.1; section 5.7 says that an address alone is no name of an account.
const VERIFIED: &[&str] = &[
    "email_verified",
    "emailVerified",
    "verified_email",
    "verifiedEmail",
    "is_email_verified",
    "isEmailVerified",
    "xms_edov",
];

/// Words of where somebody signs in with a provider.
const SIGN_IN: &[&str] =
    &["oidc", "oauth", "oauth2", "openid", "sso", "callback", "saml", "federated", "social"];

/// Words of functions that find an account or make one.
const ACCOUNTS: &[&str] =
    &["user", "users", "account", "accounts", "member", "members", "profile", "profiles"];

/// Reports the first such address of a function.
pub(super) fn unverified_email(project: &Project, report: &mut Report<'_>) {
    let lives = Lifetimes::new(project);
    for (module, unit) in
        project.units().filter(|(_, unit)| unit.ir.has_name(&["email"]) && unit.ir.has_name(CLAIMS))
    {
        if unit.ir.has_name(VERIFIED) {
            continue;
        }
        for (id, _) in unit.ir.functions() {
            let fun = Fun { module, id };
            if id == FunctionId::MODULE || !is_sign_in(project, unit, fun) {
                continue;
            }
            let Some(at) =
                named_by_address(project, unit, fun).filter(|_| !is_verified_below(project, unit, fun))
            else {
                continue;
            };
            let text = "an account is found by the address that the provider passes on, and nobody asks whether it was verified";
            let severity = if lives.is_per_request(fun) { Severity::Medium } else { Severity::Low };
            report.reached(at, text).severity(severity).confidence(Confidence::Medium).why(
                "At many providers people write the address themselves, and at one with several tenants each tenant's administrator does. \
                 Whoever writes another's signs in as them.",
            );
        }
    }
}

/// Whether somebody signs in with a provider here: by the name of the function or of its file.
fn is_sign_in(project: &Project, unit: &Unit, fun: Fun) -> bool {
    let says = |text: &str| vocabulary::words(text).iter().any(|word| SIGN_IN.contains(&word.as_str()));
    says(project.function_name(fun)) || unit.ir.path.split(['/', '.']).any(says)
}

/// Where a function finds an account by the address out of a provider's claims.
fn named_by_address(project: &Project, unit: &Unit, fun: Fun) -> Option<At> {
    let mut found = None;
    walk::function_exprs(&unit.ir, fun.id, &mut |expr| {
        let at = At { module: fun.module, expr };
        let ExprKind::Call(call) = unit.ir.expr(expr) else { return };
        if found.is_none()
            && is_of_accounts(project, at, call)
            && call.args.iter().any(|arg| has_address(unit, arg.value))
        {
            found = Some(at);
        }
    });
    found
}

/// Whether a call finds accounts or makes them, by the names in it.
fn is_of_accounts(project: &Project, at: At, call: &Call) -> bool {
    let path = project.written(at.to(call.callee));
    let words: Vec<String> = path.iter().flat_map(|part| vocabulary::words(part).to_vec()).collect();
    let verb = path.last().is_some_and(|name| {
        vocabulary::words(name).iter().any(|word| {
            matches!(
                word.as_str(),
                "find"
                    | "get"
                    | "by"
                    | "lookup"
                    | "create"
                    | "upsert"
                    | "ensure"
                    | "provision"
                    | "first"
                    | "one"
                    | "link"
                    | "where"
            )
        })
    });
    verb && words.iter().any(|word| ACCOUNTS.contains(&word.as_str()))
}

/// Whether a value has the address of a provider's claims in it: directly, or through one variable.
fn has_address(unit: &Unit, value: ExprId) -> bool {
    let mut found = false;
    walk::exprs_below(&unit.ir, value, &mut |expr| {
        found |= is_address(unit, expr)
            || matches!(unit.ir.expr(expr), ExprKind::Name(NameRef::Binding(id)) if is_set_to_address(unit, *id));
    });
    found
}

fn is_set_to_address(unit: &Unit, id: BindingId) -> bool {
    unit.index.sources(id).iter().any(|source| match &*source.path {
        [] => {
            // `(claims.get("email") or "").lower()`
            let mut found = false;
            walk::exprs_below(&unit.ir, source.value, &mut |expr| found |= is_address(unit, expr));
            found
        }
        // `const { email } = claims`
        [Step::Key(name)] => unit.ir.text(*name) == "email" && is_claims(unit, source.value),
        _ => false,
    })
}

/// Whether a value is the address: `claims["email"]`, `claims.email`, `claims.get("email")`.
fn is_address(unit: &Unit, expr: ExprId) -> bool {
    let is_email = |value: ExprId| matches!(unit.ir.expr(value), ExprKind::String(text) if unit.ir.text(*text) == "email");
    match unit.ir.expr(expr) {
        ExprKind::Member { object, property, .. } => {
            unit.ir.text(*property) == "email" && is_claims(unit, *object)
        }
        ExprKind::Index { object, index, .. } => is_email(*index) && is_claims(unit, *object),
        ExprKind::Call(call) => match unit.ir.expr(call.callee) {
            ExprKind::Member { object, property, .. } => {
                unit.ir.text(*property) == "get"
                    && call.positional(0).is_some_and(is_email)
                    && is_claims(unit, *object)
            }
            _ => false,
        },
        _ => false,
    }
}

fn is_claims(unit: &Unit, expr: ExprId) -> bool {
    match unit.ir.expr(expr) {
        ExprKind::Name(NameRef::Binding(id)) => CLAIMS.contains(&unit.ir.binding_name(*id)),
        ExprKind::Member { property, .. } => CLAIMS.contains(&unit.ir.text(*property)),
        ExprKind::Await(value) => is_claims(unit, *value),
        _ => false,
    }
}

/// Whether a function of the project that is called here speaks of the claim.
fn is_verified_below(project: &Project, unit: &Unit, fun: Fun) -> bool {
    unit.ir.exprs_of(Kinds::CALL).any(|(expr, _)| {
        unit.index.function(expr) == fun.id
            && project
                .callee(At { module: fun.module, expr })
                .is_some_and(|callee| callee.targets.iter().any(|target| speaks_of_it(project, *target)))
    })
}

/// Whether a function has the claim's name in its text.
fn speaks_of_it(project: &Project, fun: Fun) -> bool {
    project.unit(fun.module).is_some_and(|unit| {
        let text = unit.ir.function(fun.id).map(|function| unit.ir.snippet(function.span));
        text.is_some_and(|text| VERIFIED.iter().any(|name| text.contains(name)))
    })
}
