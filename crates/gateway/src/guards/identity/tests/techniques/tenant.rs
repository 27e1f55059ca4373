//! In which tenant.

use serde_json::json;

use super::{BOTH, EMPTIED, MAPPED, World};
use crate::guards::identity::tests::support::{bearer, claims, with};

/// ID-11 and 12: tenants that are not one string.
pub(super) fn tenant_types(world: &mut World) {
    for value in [
        json!(1),
        json!(true),
        json!({"id": "acme"}),
        json!("{\"id\":\"acme\"}"),
        json!("\"acme\""),
        json!(null),
        json!(1.0),
    ] {
        world.claim("ID-11", "org_id", Some(value), "bad-tenant");
    }
    for value in [json!(["acme"]), json!(["acme", "globex"]), json!([])] {
        world.claim("ID-12", "org_id", Some(value), "bad-tenant");
    }
    let twin = bearer(&world.login.token(&world.good()));
    let header = world.login.header().to_string();
    let payload = world.good().to_string();
    for (what, more) in [
        ("the tenant twice", r#","org_id":"globex"}"#),
        ("the tenant twice, escaped", r#","\u006frg_id":"globex"}"#),
        ("the same tenant twice", r#","org_id":"acme"}"#),
        ("the audience twice", r#","aud":"x"}"#),
        ("twice inside", r#","x":{"a":[{"b":1,"b":2}]}}"#),
    ] {
        let twice = format!("{}{more}", payload.strip_suffix('}').expect("an object"));
        let bad = bearer(&world.login.sign(&header, &twice));
        world.refused("ID-12", what, bad, "duplicate-json-key", twin.clone());
    }
    let twice = bearer(&world.login.sign(r#"{"alg":"none","alg":"ES256","kid":"k1"}"#, &payload));
    world.refused("ID-12", "the algorithm twice", twice, "duplicate-json-key", twin.clone());
    let two_names = with(&with(&world.good(), "tenant", json!("globex")), "tenant_id", json!("globex"));
    world.accepted(
        "ID-12",
        "other claims name globex",
        bearer(&world.login.token(&two_names)),
        "acme",
        "ann",
    );
    let differ = bearer(&world.login.token(&with(&claims(BOTH), "org_id", json!("globex"))));
    let agree = bearer(&world.login.token(&claims(BOTH)));
    world.refused("ID-12", "the claim and the issuer's tenant disagree", differ, "bad-tenant", agree.clone());
}

/// ID-13 to 16: missing tenants, and words that are none.
pub(super) fn tenant_words(world: &mut World) {
    let agree = bearer(&world.login.token(&claims(BOTH)));
    world.claim("ID-13", "org_id", None, "bad-tenant");
    let missing = bearer(&world.login.token(&with(&claims(BOTH), "org_id", None)));
    world.refused("ID-13", "missing where the issuer's tenant is known", missing, "bad-tenant", agree);

    for value in ["", " ", "null", "undefined", "None", "*", "%", ".", "..", "-"] {
        world.claim("ID-14", "org_id", Some(json!(value)), "bad-tenant");
    }
    // Words without a special meaning here: tenants of that very name, if there are such.
    for value in ["default", "0"] {
        let token = world.login.token(&with(&world.good(), "org_id", json!(value)));
        world.accepted("ID-14", value, bearer(&token), value, "ann");
    }
    for value in
        ["acme ", " acme", "acme\0", "аcme", "ａｃｍｅ", "ac\u{200b}me", "acmé", "acme\u{301}", "acme\n"]
    {
        world.claim("ID-15", "org_id", Some(json!(value)), "bad-tenant");
    }
    for value in ["ACME", "acme."] {
        let token = world.login.token(&with(&world.good(), "org_id", json!(value)));
        world.accepted("ID-15", "a tenant of its own", bearer(&token), value, "ann");
    }
    for value in ["a:doc1", "a,b", "a/../b", "a|b", "a\\b", "a;b"] {
        world.claim("ID-16", "org_id", Some(json!(value)), "bad-tenant");
    }
    let mapped = |value: &str| with(&claims(MAPPED), "org_id", json!(value));
    let listed = bearer(&world.login.token(&mapped("org-1")));
    world.accepted("ID-16", "listed", listed.clone(), "acme", "ann");
    world.accepted(
        "ID-16",
        "listed with a colon",
        bearer(&world.login.token(&mapped("a:b"))),
        "globex",
        "ann",
    );
    for value in ["acme", "globex", "ORG-1", "org-2", ""] {
        let bad = bearer(&world.login.token(&mapped(value)));
        world.refused("ID-14", "not in the list", bad, "bad-tenant", listed.clone());
    }
    for value in ["acme", "globex"] {
        let bad = bearer(&world.login.token(&with(&claims(EMPTIED), "org_id", json!(value))));
        world.refused("ID-14", "in a list that has become empty", bad, "bad-tenant", listed.clone());
    }
}
