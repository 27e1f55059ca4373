//! Routing: sessions, events, ids and tasks.

use partywall_model::Outcome;
use partywall_prober::{Credential, Plan};

use crate::{
    stub::COLLEAGUE,
    support::{leaky, plain, safe, verdict},
};

/// A second user of `acme`.
fn with_a_colleague(plan: &mut Plan) {
    plan.users = vec![Credential { tenant: "acme".to_owned(), token: COLLEAGUE.to_owned().into() }];
}

/// The same, whose token may be revoked.
fn with_a_colleague_who_may_go(plan: &mut Plan) {
    with_a_colleague(plan);
    plan.allow_writes = true;
}

leaky! {
    sessions_without_an_owner_are_found(plain) = [
        ("session-without-owner", "SE-01"),
        ("session-without-owner", "SE-02"),
        ("session-without-owner", "SE-03"),
        ("any-session", "SE-08"),
        ("chosen-session", "SE-09"),
        ("session-identity", "SE-12"),
        ("initialize-takes-over", "SE-13"),
        ("session-identity", "SE-16"),
        ("session-identity", "SE-17"),
    ];
    sessions_of_a_colleague_are_found(with_a_colleague) = [("session-of-tenant", "SE-18")];
    tokens_that_live_on_are_found(with_a_colleague_who_may_go) = [("revoked-token-lives", "TK-09")];
    handles_that_can_be_guessed_or_outlive_their_end_are_found(plain) = [
        ("events-without-owner", "SE-06"),
        ("events-without-owner", "SE-07"),
        ("counted-session", "SE-10"),
        ("undying-session", "SE-14"),
    ];
    answers_that_follow_ids_are_found(plain) = [
        ("routes-by-id", "RT-01"),
        ("routes-by-id", "RT-02"),
        ("routes-by-id", "RT-03"),
        ("routes-by-progress", "RT-04"),
        ("cancel-by-id", "RT-10"),
        ("session-without-owner one-answer-an-id", "RT-01"),
        ("session-without-owner cancel-in-session", "RT-10"),
    ];
    foreign_origins_are_found_to_be_served(plain) = [("any-origin", "XP-08")];
    tasks_without_an_owner_are_found(plain) = [
        ("tasks-without-owner", "TK-01"),
        ("tasks-without-owner", "TK-02"),
        ("tasks-without-owner", "TK-03"),
        ("tasks-without-owner", "TK-04"),
        ("task-not-yours", "TK-01"),
        ("tasks-without-owner", "TK-05"),
        ("tasks-without-owner", "TK-06"),
        ("counted-tasks", "TK-07"),
        ("headers-are-not-compared", "TK-08"),
        ("related-task-is-shown", "TK-10"),
        ("tasks-without-owner", "RT-09"),
    ];
    requests_that_contradict_themselves_are_found_to_be_served(plain) = [
        ("headers-are-not-compared", "XP-01"),
        ("headers-are-not-compared", "XP-03"),
        ("tenant-beside-params", "XP-04"),
        ("lax-proxy", "XP-05"),
        ("open-text", "XP-06"),
        ("open-slash", "XP-07"),
        ("connection-identity", "XP-10"),
    ];
    one_connection_and_one_moment_for_both_are_found(plain) = [
        ("connection-identity", "RT-15"),
        ("http2-only connection-identity", "RT-15"),
        ("module-state", "RT-17"),
        ("http2-only module-state", "RT-17"),
    ];
    names_and_headers_that_choose_the_tenant_are_found(plain) = [
        ("prefix-is-tenant", "XP-09"),
        ("sessions-in-metrics", "SE-15"),
        ("with-regions headers-are-not-compared", "XP-02"),
    ];
    answers_that_were_left_behind_are_found(plain) = [("leaves-behind", "RT-14"), ("batch-by-id", "RT-12")];
}

safe! {
    targets_that_speak_nothing_but_http2_are_attacked_as_others_are(plain) = [
        ("http2-only", "DA-01"),
        ("http2-only", "RT-15"),
        ("http2-only", "RT-17"),
        ("http2-only", "SE-01"),
    ];
    what_a_session_is_asked_by_itself_is_no_strangers(plain) = [("asks-at-the-beginning", "RT-13")];
    headers_that_are_compared_hold(plain) = [("with-regions", "XP-02")];
    cancellations_of_ones_own_requests_are_no_strangers(plain) = [("slow-calls", "RT-10")];
    tokens_that_are_over_hold(with_a_colleague_who_may_go) = [("", "TK-09")];
    sessions_of_one_user_hold(with_a_colleague) = [("", "SE-18")];
}

#[tokio::test(flavor = "multi_thread")]
async fn a_target_that_is_slow_for_all_has_lost_no_answer_to_an_equal_id() {
    let slow = verdict("slow-in-a-crowd", "RT-04", plain).await;
    assert_eq!(slow.verdict, Outcome::Inconclusive, "{}", slow.reason);
    assert!(slow.reason.contains("take as long"), "{}", slow.reason);
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_second_user_a_colleague_is_not_tried() {
    for technique in ["SE-18", "TK-09"] {
        let verdict = verdict("", technique, plain).await;
        assert_eq!(verdict.verdict, Outcome::NotRun);
        assert!(verdict.reason.contains("--user"), "{}", verdict.reason);
    }
    let kept = verdict("", "TK-09", with_a_colleague).await;
    assert!(kept.verdict == Outcome::NotRun && kept.reason.contains("--allow-writes"), "{}", kept.reason);
}

/// Who loses the answers of one round, to whatever ids, loses none because of ids.
#[tokio::test(flavor = "multi_thread")]
async fn a_machine_that_stands_still_once_mixes_no_ids_up() {
    let once = verdict("stalls-once", "RT-03", plain).await;
    assert_eq!(once.verdict, Outcome::Inconclusive, "{}", once.reason);
    assert!(once.reason.contains("in no other"), "{}", once.reason);
}
