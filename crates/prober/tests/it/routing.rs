//! Routing: sessions, events, ids and tasks.

use partywall_model::Outcome;

use crate::support::{sensitive, verdict};

#[tokio::test(flavor = "multi_thread")]
async fn sessions_without_an_owner_are_found() {
    sensitive(&[
        ("session-without-owner", "SE-01"),
        ("session-without-owner", "SE-02"),
        ("session-without-owner", "SE-03"),
        ("any-session", "SE-08"),
        ("chosen-session", "SE-09"),
        ("session-identity", "SE-12"),
        ("session-identity", "SE-16"),
        ("session-identity", "SE-17"),
    ])
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn handles_that_can_be_guessed_or_outlive_their_end_are_found() {
    sensitive(&[
        ("events-without-owner", "SE-06"),
        ("events-without-owner", "SE-07"),
        ("counted-session", "SE-10"),
        ("undying-session", "SE-14"),
    ])
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn answers_that_follow_ids_are_found() {
    sensitive(&[
        ("routes-by-id", "RT-01"),
        ("routes-by-id", "RT-02"),
        ("routes-by-id", "RT-03"),
        ("routes-by-progress", "RT-04"),
        ("cancel-by-id", "RT-10"),
    ])
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_target_that_is_slow_for_all_has_lost_no_answer_to_an_equal_id() {
    let slow = verdict(&["slow-in-a-crowd"], "RT-04", |_| {}).await;
    assert_eq!(slow.verdict, Outcome::Inconclusive, "{}", slow.reason);
    assert!(slow.reason.contains("take as long"), "{}", slow.reason);
}

#[tokio::test(flavor = "multi_thread")]
async fn foreign_origins_are_found_to_be_served() {
    sensitive(&[("any-origin", "XP-08")]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn tasks_without_an_owner_are_found() {
    sensitive(&[
        ("tasks-without-owner", "TK-01"),
        ("tasks-without-owner", "TK-02"),
        ("tasks-without-owner", "TK-03"),
        ("tasks-without-owner", "TK-04"),
        ("task-not-yours", "TK-01"),
    ])
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_second_user_a_colleague_is_not_tried() {
    let verdict = verdict(&[], "SE-18", |_| {}).await;
    assert_eq!(verdict.verdict, Outcome::NotRun);
    assert!(verdict.reason.contains("--user"), "{}", verdict.reason);
}

#[tokio::test(flavor = "multi_thread")]
async fn requests_that_contradict_themselves_are_found_to_be_served() {
    sensitive(&[
        ("headers-are-not-compared", "XP-01"),
        ("headers-are-not-compared", "XP-03"),
        ("open-text", "XP-06"),
        ("open-slash", "XP-07"),
        ("connection-identity", "XP-10"),
    ])
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn answers_that_were_left_behind_are_found() {
    sensitive(&[("leaves-behind", "RT-14"), ("batch-by-id", "RT-12")]).await;
}
