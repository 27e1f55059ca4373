//! The other tenant: it makes the same calls again and again, and must be answered as if it were alone.

use std::{
    sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst},
    thread,
};

use serde_json::json;

use super::{
    house::{House, OTHER},
    wire::Ask,
};

/// What the other tenant is told while nothing is wrong.
pub(super) struct Neighbour {
    /// Whether its calls go to the upstream too.
    upstream: bool,
    /// Whether it writes.
    writes: bool,
    alone: Vec<String>,
}

impl Neighbour {
    /// Writes down what the tenant is told while it is alone; with `upstream` its calls go there too.
    pub(super) fn of(house: &House, upstream: bool) -> Self {
        Self { upstream, writes: true, alone: Vec::new() }.heard(house)
    }

    /// One that only reads.
    pub(super) fn reading(house: &House) -> Self {
        Self { upstream: false, writes: false, alone: Vec::new() }.heard(house)
    }

    fn heard(mut self, house: &House) -> Self {
        let this = &mut self;
        // The first time fills what is cached.
        this.transcript(house);
        this.alone = this.transcript(house);
        let good = this.alone.iter().filter(|answer| answer.contains("\"result\":{")).count();
        assert!(good * 4 > this.alone.len() * 3, "{:#?}", this.alone);
        self
    }

    /// The standard script. It leaves everything as it found it, so that it can be said again.
    fn transcript(&self, house: &House) -> Vec<String> {
        let token = house.token(OTHER);
        let call = |tool, arguments| Ask::call(token, tool, &arguments);
        let mut script = vec![
            Ask::legacy(token, "initialize", &json!({ "protocolVersion": "2025-06-18" })),
            Ask::legacy(token, "tools/list", &json!({})),
            call("whoami", json!({})),
            call("list_tickets", json!({ "limit": 5 })),
            call("add_comment", json!({ "ticket_id": 3, "body": "one" })),
            call("add_comment", json!({ "ticket_id": 3, "body": "two" })),
            call("get_ticket", json!({ "id": 3 })),
            Ask::modern(token, "get_ticket", &json!({ "id": 4 })),
            call("remove_comments", json!({ "ticket_id": 3 })),
            call("get_ticket", json!({ "id": 3 })),
            call("get_ticket", json!({ "id": 404 })),
            call("add_comment", json!({ "ticket_id": "three", "body": "x" })),
            call("page", json!({})),
        ];
        if self.upstream {
            script.push(call("customer_profile", json!({ "customer_id": "c1" })));
            script.push(call("customer_now", json!({ "customer_id": "c2" })));
        }
        if !self.writes {
            script.retain(|ask| !ask.body.contains("comment"));
        }
        // A connection for some of them, and a new one for each of the others.
        let mut kept = house.connect();
        let mut told = Vec::new();
        for (n, ask) in script.iter().enumerate() {
            let answer = if n % 3 == 0 { house.connect().ask(ask) } else { kept.ask(ask) };
            let answer = answer.unwrap_or_else(|error| panic!("{} was not answered: {error}", ask.body));
            told.push(answer.comparable());
        }
        told
    }

    /// The tenant is told now what it was told alone.
    #[track_caller]
    pub(super) fn is_undisturbed(&self, house: &House) {
        let now = self.transcript(house);
        for (now, alone) in now.iter().zip(&self.alone) {
            assert_eq!(now, alone, "the neighbour sees that something is wrong elsewhere");
        }
    }

    /// The same again and again while `fault` runs; at least once from after its beginning to before its end.
    pub(super) fn is_undisturbed_during<T: Send>(
        &self,
        house: &House,
        fault: impl FnOnce(&(dyn Fn() + Sync)) -> T + Send,
    ) -> T {
        let (over, rounds) = (AtomicBool::new(false), AtomicUsize::new(0));
        // Lets a fault go on until the script was said once more from beginning to end.
        let another_round = || {
            let seen = rounds.load(SeqCst);
            super::house::wait_until("the neighbour's calls", || {
                over.load(SeqCst) || rounds.load(SeqCst) >= seen + 2
            });
        };
        thread::scope(|scope| {
            let calling = scope.spawn(|| {
                let _over = OnDrop(&over);
                while !over.load(SeqCst) {
                    self.is_undisturbed(house);
                    rounds.fetch_add(1, SeqCst);
                }
            });
            let done = {
                let _over = OnDrop(&over);
                fault(&another_round)
            };
            calling.join().unwrap();
            done
        })
    }
}

/// Says that it is over, also when it ended with a panic.
struct OnDrop<'a>(&'a AtomicBool);

impl Drop for OnDrop<'_> {
    fn drop(&mut self) {
        self.0.store(true, SeqCst);
    }
}
