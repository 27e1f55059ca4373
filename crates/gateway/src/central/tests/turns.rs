//! Who has to wait for whom, and what it is called when a wait was too long.

use std::time::Instant;

use super::*;
use crate::tenants::TenantState;

/// Whoever adds many tenants has the writers' lock for as long: a start and a look need nobody's leave, a suspension waits,
/// and what does not wait so long says why.
#[test]
fn while_tenants_are_added_a_process_starts_and_a_suspension_waits() {
    let base = Base::new();
    let stores = base.stores();
    stores.registry.add(&id("acme")).expect("added");
    std::thread::scope(|scope| {
        scope.spawn(|| {
            base.sql(&format!("BEGIN; SELECT pg_advisory_xact_lock({WRITERS}); SELECT pg_sleep(6); COMMIT"))
        });
        let held = "SELECT count(*) FROM pg_stat_activity WHERE query LIKE '%pg_sleep(6)%' AND wait_event = 'PgSleep'";
        while base.sql(held) != [["1"]] {
            std::thread::yield_now();
        }
        let begun = Instant::now();
        let late = scope.spawn(|| stores.registry.suspend(&id("acme")));
        let other = base.stores();
        assert_eq!(other.registry.list().expect("readable").len(), 1);
        assert!(begun.elapsed() < Duration::from_secs(3), "{:?}", begun.elapsed());
        let told = other.vault.rotate_master(master(8)).expect_err("it is somebody else's turn").to_string();
        assert!(told.contains("somebody else is changing tenants"), "{told}");
        let suspended = late.join().expect("no panic").expect("it was its turn at last");
        assert_eq!(suspended.state, TenantState::Suspended);
    });
}

/// A schema that lacks something is made whole by one at a time.
#[test]
fn who_makes_the_tables_waits_for_its_turn() {
    let base = Base::new();
    base.central();
    base.sql("DROP FUNCTION partywall.note_new CASCADE");
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| base.stores());
        }
    });
    let triggers = "SELECT tgname FROM pg_trigger WHERE tgrelid = 'partywall.tenant'::regclass ORDER BY 1";
    assert_eq!(base.sql(triggers), [["begun"], ["noted"], ["noted_new"]]);
}
