//! Where the token stands in the request, and what stands beside it.

use http::{HeaderMap, header::AUTHORIZATION};
use serde_json::json;

use super::{GLOBEX, World, plus};
use crate::guards::identity::tests::support::{authorization, b64, bearer, claims, with};

/// ID-01, 20 to 23: no credential, or one in the wrong place.
pub(super) fn credentials(world: &mut World) {
    let token = world.login.token(&world.good());
    let twin = bearer(&token);
    world.refused("ID-01", "no header", HeaderMap::new(), "no-token", twin.clone());
    world.refused("ID-01", "another scheme", authorization("Basic YTpi"), "other-scheme", twin.clone());
    world.refused("ID-01", "no scheme", authorization(&token), "other-scheme", twin.clone());
    let query = plus(HeaderMap::new(), &[("referer", "https://mcp.example.com/mcp?access_token=x")]);
    world.refused("ID-23", "token in the query only", query, "no-token", twin.clone());
    let both = plus(twin.clone(), &[("referer", "https://mcp.example.com/mcp?access_token=x")]);
    world.accepted("ID-23", "another token in the query", both, "acme", "ann");
    for value in ["", "0", "false"] {
        let headers = plus(HeaderMap::new(), &[("x-user", value)]);
        world.refused("ID-22", "an empty identity header", headers, "no-token", twin.clone());
    }
    world.refused("ID-22", "an empty authorization", authorization(""), "other-scheme", twin.clone());
    world.refused("ID-22", "an empty bearer", authorization("Bearer "), "malformed-token", twin);
}

/// ID-20 and 21: what else a request says about who it is.
pub(super) fn side_channels(world: &mut World) {
    let good = bearer(&world.login.token(&world.good()));
    let theirs = world.globex.token(&claims(GLOBEX));
    for name in [
        "x-tenant-id",
        "x_tenant_id",
        "x-org",
        "x-user",
        "x-forwarded-user",
        "x-forwarded-email",
        "x-original-url",
        "forwarded",
        "x-real-ip",
        "x-ms-client-principal",
    ] {
        let alone = plus(HeaderMap::new(), &[(name, "globex"), (name, "globex")]);
        world.refused("ID-20", name, alone, "no-token", good.clone());
        world.accepted("ID-20", name, plus(good.clone(), &[(name, "globex")]), "acme", "ann");
    }
    for name in ["x-api-key", "cookie", "x-access-token", "proxy-authorization", "x-authorization"] {
        let value = format!("Bearer {theirs}");
        world.accepted("ID-21", name, plus(good.clone(), &[(name, &value)]), "acme", "ann");
        world.refused("ID-21", name, plus(HeaderMap::new(), &[(name, &value)]), "no-token", good.clone());
    }
}

/// ID-21 and 24: two credentials, or another host.
pub(super) fn second_credentials(world: &mut World) {
    let good = bearer(&world.login.token(&world.good()));
    let theirs = world.globex.token(&claims(GLOBEX));
    let second = [(AUTHORIZATION.as_str(), &*format!("Bearer {theirs}"))];
    world.refused("ID-21", "two tokens", plus(good.clone(), &second), "several-credentials", good.clone());
    let reversed = plus(
        plus(HeaderMap::new(), &second),
        &[("authorization", good["authorization"].to_str().expect("text"))],
    );
    world.refused("ID-21", "two tokens, reversed", reversed, "several-credentials", good.clone());
    let same = plus(good.clone(), &[("authorization", good["authorization"].to_str().expect("text"))]);
    world.refused("ID-21", "one token twice", same, "several-credentials", good.clone());
    let joined = format!("{}, Bearer {theirs}", good["authorization"].to_str().expect("text"));
    world.refused("ID-21", "two in one header", authorization(&joined), "malformed-token", good.clone());
    let hosts = [("host", "globex.example.com"), ("x-forwarded-host", "globex.example.com")];
    world.accepted("ID-24", "host", plus(good, &hosts), "acme", "ann");
}

/// ID-28: tokens that one parser reads and another does not.
pub(super) fn forms(world: &mut World) {
    let token = world.login.token(&world.good());
    let twin = bearer(&token);
    for scheme in ["bearer", "BEARER", "bEaReR"] {
        world.accepted("ID-28", scheme, authorization(&format!("{scheme} {token}")), "acme", "ann");
    }
    let (message, signature) = token.rsplit_once('.').expect("parts");
    let mut short = signature.to_owned();
    short.pop();
    let malformed = [
        ("two spaces", format!("Bearer  {token}")),
        ("a space behind", format!("Bearer {token} ")),
        ("a tab", format!("Bearer \t{token}")),
        ("garbage behind", format!("Bearer {token} x")),
        ("padding", format!("Bearer {token}=")),
        ("a comma", format!("Bearer {token},")),
        ("quotes", format!("Bearer \"{token}\"")),
        ("a fourth part", format!("Bearer {token}.x")),
        ("an empty fourth part", format!("Bearer {token}.")),
        ("a JWE", "Bearer e30.AA.AA.AA.AA".to_owned()),
        ("two parts", format!("Bearer {message}")),
        ("a dot before", format!("Bearer .{token}")),
        ("plain base64", format!("Bearer {message}.{signature}+/")),
        ("cut off", format!("Bearer {message}.{short}")),
        ("no object", format!("Bearer {}.{}.{signature}", b64("[]"), b64("{}"))),
        ("something behind the object", format!("Bearer {}.{}.{signature}", b64("{} {}"), b64("{}"))),
    ];
    for (aspect, value) in malformed {
        world.refused("ID-28", aspect, authorization(&value), "malformed-token", twin.clone());
    }
    let none = authorization(&format!("Bearer {message}."));
    world.refused("ID-28", "no signature", none, "bad-signature", twin.clone());
    let behind = authorization(&format!("Bearer {message}.{signature}AAAA"));
    world.refused("ID-28", "a longer signature", behind, "bad-signature", twin.clone());
    world.refused(
        "ID-28",
        "a tab for the space",
        authorization(&format!("Bearer\t{token}")),
        "other-scheme",
        twin,
    );
}

/// ID-28: length.
pub(super) fn lengths(world: &mut World) {
    // 8 KiB are read, and one byte more is not.
    let long = |pad: usize| world.login.token(&with(&world.good(), "pad", json!("x".repeat(pad))));
    let pad = (5500..).find(|pad| long(pad + 1).len() > 8192).expect("a length");
    let (fits, over) = (long(pad), long(pad + 1));
    assert!(fits.len() <= 8192 && over.len() <= 8194);
    world.refused("ID-28", "too long", bearer(&over), "token-too-long", bearer(&fits));
}
