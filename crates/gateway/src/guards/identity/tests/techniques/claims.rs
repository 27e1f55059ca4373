//! For whom, by whom and when.

use serde_json::{Value, json};

use super::{GLOBEX, LOGIN, SHARED, TYPED, World};
use crate::guards::identity::tests::support::{NOW, RESOURCE, bearer, claims, with};

/// ID-06: for whom.
pub(super) fn audiences(world: &mut World) {
    for aud in [
        json!("https://other.example.com/mcp"),
        json!("https://mcp.example.com"),
        json!("https://mcp.example.com/mcp/"),
        json!("https://mcp.example.com/mcp2"),
        json!("https://mcp.example.com:443/mcp"),
        json!("https://MCP.example.com/mcp"),
        json!("http://mcp.example.com/mcp"),
        json!([RESOURCE, "https://other.example.com/mcp"]),
        json!([[RESOURCE]]),
        json!([]),
        json!(null),
        json!({ RESOURCE: true }),
    ] {
        world.claim("ID-06", "aud", Some(aud), "wrong-audience");
    }
    world.claim("ID-06", "aud", None, "wrong-audience");
    let alone = world.login.token(&with(&world.good(), "aud", json!([RESOURCE])));
    world.accepted("ID-06", "an array of just ours", bearer(&alone), "acme", "ann");
    let shared = |aud: Value| with(&claims(SHARED), "aud", aud);
    let twin = bearer(&world.login.token(&shared(json!(["https://other.example.com", RESOURCE]))));
    for aud in [json!(["https://other.example.com"]), json!([RESOURCE, 1]), json!([])] {
        let bad = bearer(&world.login.token(&shared(aud)));
        world.refused("ID-06", "others allowed, ours missing", bad, "wrong-audience", twin.clone());
    }
}

/// ID-07 and 08: by whom and about whom.
pub(super) fn issuers(world: &mut World) {
    for iss in [
        json!("https://login.example.com"),
        json!("https://LOGIN.example.com/"),
        json!("https://login.example.com/ "),
        json!("https://login.example.com.evil.example/"),
        json!("urn:partywall:development"),
        json!([LOGIN]),
        json!(null),
    ] {
        world.claim("ID-07", "iss", Some(iss), "unknown-issuer");
    }
    world.claim("ID-07", "iss", None, "unknown-issuer");
    let crossed = bearer(&world.login.token(&claims(GLOBEX)));
    let twin = bearer(&world.globex.token(&claims(GLOBEX)));
    world.refused("ID-07", "signed by another issuer", crossed, "unknown-key", twin.clone());

    let here = bearer(&world.login.token(&world.good()));
    world.accepted("ID-08", "the same subject here", here, "acme", "ann");
    // It names acme in the claim that another issuer uses, and is globex all the same.
    world.accepted("ID-08", "the same subject there", twin, "globex", "ann");
    for sub in [json!(""), json!(7), json!(null), json!("a\u{0}b"), json!("a\nb"), json!("x".repeat(257))] {
        world.claim("ID-08", "sub", Some(sub), "bad-subject");
    }
    world.claim("ID-08", "sub", None, "bad-subject");
}

/// ID-09 and 10: when.
pub(super) fn times(world: &mut World) {
    const YEAR: u64 = 366 * 24 * 3600;
    for (name, value, reason) in [
        ("exp", json!(NOW), "expired"),
        ("exp", json!(NOW - 1), "expired"),
        ("exp", json!(0), "expired"),
        ("exp", json!(NOW + YEAR + 1), "expires-too-late"),
        ("exp", json!(u64::MAX), "expires-too-late"),
        ("exp", json!((NOW + 60).to_string()), "bad-times"),
        ("exp", json!(NOW as f64 + 60.0), "bad-times"),
        ("exp", json!(-1), "bad-times"),
        ("exp", json!(null), "bad-times"),
        ("exp", json!([NOW + 60]), "bad-times"),
        ("nbf", json!(NOW + 31), "not-yet-valid"),
        ("nbf", json!("0"), "bad-times"),
        ("nbf", json!(null), "bad-times"),
        ("iat", json!(NOW + 31), "not-yet-valid"),
        ("iat", json!(1.5), "bad-times"),
    ] {
        world.claim("ID-09", name, Some(value), reason);
    }
    world.claim("ID-09", "exp", None, "bad-times");
    for (name, value) in
        [("exp", NOW + 1), ("exp", NOW + YEAR), ("nbf", NOW + 30), ("iat", NOW + 30), ("iat", 0)]
    {
        let token = world.login.token(&with(&world.good(), name, json!(value)));
        world.accepted("ID-09", &format!("{name} = {value}"), bearer(&token), "acme", "ann");
    }
    let last = bearer(&world.login.token(&with(&world.good(), "exp", json!(NOW + 1))));
    let ended = bearer(&world.login.token(&with(&world.good(), "exp", json!(NOW))));
    world.refused("ID-10", "no leeway after the end", ended, "expired", last);
}

/// ID-26 and 27: a token of another kind, or with other rights.
pub(super) fn token_kinds(world: &mut World) {
    let twin = bearer(&world.login.token(&world.good()));
    let id_token = with(&world.good(), "aud", json!("client-1"));
    world.refused(
        "ID-26",
        "an ID token",
        bearer(&world.login.token(&id_token)),
        "wrong-audience",
        twin.clone(),
    );
    let opaque = bearer("v1.MDAwMDAwMDAwMDAw");
    world.refused("ID-26", "a refresh token", opaque, "malformed-token", twin);
    let typed = |typ: Option<&str>| {
        let header = with(&world.login.header(), "typ", typ.map(|typ| json!(typ)));
        bearer(&world.login.sign(&header.to_string(), &claims(TYPED).to_string()))
    };
    let good = typed(Some("at+jwt"));
    let rows: Vec<_> = [Some("JWT"), Some("application/jwt"), Some(""), Some("at+jwtx"), None]
        .map(|typ| (format!("typ {typ:?}"), typed(typ)))
        .into();
    let fine = ["AT+JWT", "application/at+jwt", "Application/At+Jwt"].map(|typ| typed(Some(typ)));
    for (aspect, bad) in rows {
        world.refused("ID-26", &aspect, bad, "wrong-token-type", good.clone());
    }
    for headers in fine {
        world.accepted("ID-26", "spelled otherwise", headers, "acme", "ann");
    }
    for (name, value) in [
        ("scope", json!(["desk:admin"])),
        ("scope", json!(7)),
        ("scope", json!(null)),
        ("scope", json!("desk\nadmin")),
        ("scp", json!({"desk": "admin"})),
        ("scp", json!(["desk:read", 7])),
        ("scp", json!(["desk:read desk:admin"])),
        ("scp", json!(["desk:admin"])),
        ("scp", json!("desk:admin")),
    ] {
        world.claim("ID-27", name, Some(value), "bad-scopes");
    }
    for scp in [json!("desk:read"), json!(["desk:read"])] {
        let token = world.login.token(&with(&world.good(), "scp", scp));
        world.accepted("ID-27", "scope and scp agree", bearer(&token), "acme", "ann");
    }
}
